import Conntrack
import Hooks
import NodeFixture
import Routing
import Ruleset
import Testing
import Wire

@Suite("NAT at the hooks")
struct NATTests {
    static func exposed() -> Node {
        Node {
            $0.add(.nat, "PREROUTING", matches: [port(8080)], dnat(blue, 80)) {
                $0.inInterface = InterfaceMatch(name: "eth0")
                $0.protocol = Invertible(.tcp)
            }
            $0.add(.nat, "POSTROUTING", .masquerade(PortMapping())) {
                $0.source = AddressMatch(IPv4Network(blue, prefixLength: 24))
                $0.outInterface = InterfaceMatch(name: "eth0")
            }
        }
    }

    @Test("DNAT rewrites the request, and the reply comes from the node's address")
    func destination() {
        var here = Self.exposed()
        let request = here.handle(segment(client, 40000, node, 8080), on: eth0)
        #expect(request.disposition == .forward(Egress(interface: br0, nextHop: blue, mtu: 1500)))
        #expect(request.view.destination == blue && request.view.destinationPort == Port(80))
        #expect(here.engine.connections.count == 1)
        let reply = here.handle(
            segment(
                blue, 80, client, 40000, flags: [.syn, .ack], sequence: 500, acknowledgement: 101),
            on: br0)
        #expect(reply.view.source == node && reply.view.sourcePort == Port(8080))
        #expect(reply.packet.tracked.state == .established)
        #expect(here.counters(.nat, "PREROUTING") == [1])
        #expect(here.counters(.nat, "POSTROUTING") == [0])
    }

    @Test("MASQUERADE takes the outgoing interface's address")
    func masquerade() {
        var here = Self.exposed()
        let request = here.handle(segment(blue, 50000, client, 443), on: br0)
        #expect(request.view.source == node && request.view.sourcePort == Port(50000))
        let reply = here.handle(
            segment(
                client, 443, node, 50000, flags: [.syn, .ack], sequence: 7, acknowledgement: 101),
            on: eth0)
        #expect(reply.disposition == .forward(Egress(interface: br0, nextHop: blue, mtu: 1500)))
        #expect(reply.view.destination == blue)
    }

    @Test("a packet that a later table drops leaves no connection behind")
    func unconfirmed() {
        var here = Self.exposed()
        here.policy(.filter, "FORWARD", .drop)
        here.install()
        #expect(
            here.handle(segment(client, 40000, node, 8080), on: eth0).disposition
                == .drop(.policy))
        #expect(here.engine.connections.count == 0)
    }

    @Test("nat rules that translate nothing do not make the node track")
    func onDemand() {
        var here = Node { $0.add(.nat, "PREROUTING", .accept) }
        here.handle(segment(client, 1, blue, 80), on: eth0)
        #expect(here.counters(.nat, "PREROUTING") == [0])
        #expect(here.engine.connections.count == 0)
        here.add(
            .filter, "FORWARD", matches: [.state(Invertible(.established))], .accept)
        here.install()
        here.handle(segment(client, 1, blue, 80), on: eth0)
        #expect(here.counters(.nat, "PREROUTING") == [1])
        #expect(here.engine.connections.count == 1)
    }

    @Test("REDIRECT brings a packet to the node's own port, a local one over the loopback")
    func redirect() {
        var here = Node {
            let to = PortMapping(ports: PortRange(Port(8080)))
            $0.add(.nat, "PREROUTING", matches: [port(80)], .redirect(to))
            $0.add(.nat, "OUTPUT", matches: [port(80)], .redirect(to))
            $0.add(.filter, "INPUT", matches: [port(8080)], .none)
        }
        let outside = here.handle(segment(client, 1, IPv4Address(10, 0, 0, 9), 80), on: eth0)
        #expect(outside.disposition == .deliver && outside.view.destination == node)
        let own = here.handle(segment(node, 2, blue, 80), on: .none)
        #expect(own.disposition == .deliver && own.view.destination == .loopback)
        #expect(own.packet.inInterface == lo)
        #expect(here.counters(.filter, "INPUT") == [2])
    }

    @Test("an explanation shows the translation and leaves no trace in the node")
    func explanation() {
        var here = Self.exposed()
        let explained = here.handle(segment(client, 40000, node, 8080), on: eth0, dryRun: true)
        #expect(
            explained.disposition == .forward(Egress(interface: br0, nextHop: blue, mtu: 1500)))
        #expect(here.engine.connections.count == 0)
        #expect(here.counters(.nat, "PREROUTING") == [0])
        let real = here.handle(segment(client, 40000, node, 8080), on: eth0)
        #expect(real.disposition == explained.disposition && real.bytes == explained.bytes)
    }

    @Test("the hooks come in netfilter's order")
    func order() {
        var here = Self.exposed()
        here.add(.raw, "PREROUTING", .none)
        here.add(.mangle, "PREROUTING", .none)
        here.add(.filter, "FORWARD", .none)
        here.install()
        let sent = here.handle(segment(client, 40000, node, 8080), on: eth0)
        let steps = sent.trace.events.compactMap { event -> String? in
            switch event.kind {
            case .hook(let hook): hook.rawValue
            case .table(let table, _): table.rawValue
            case .tracked(let tracked): "\(tracked.state)"
            case .bound(_, let end, let byRule): "\(end) \(byRule ? "rule" : "null")"
            case .rewritten: "rewritten"
            case .routed: "routed"
            case .confirmed: "confirmed"
            case .timeToLive: "ttl"
            default: nil
            }
        }
        #expect(
            steps == [
                "PREROUTING", "raw", "NEW", "mangle", "nat", "destination rule", "rewritten",
                "routed", "ttl", "FORWARD", "mangle", "filter", "POSTROUTING", "mangle", "nat",
                "source null", "confirmed",
            ])
    }
}
