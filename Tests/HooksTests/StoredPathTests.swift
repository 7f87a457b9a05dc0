// When a packet takes the path of the one before it, and when it must walk.

import Hooks
import NodeFixture
import Ruleset
import Testing
import Wire

@Suite("Stored paths")
struct StoredPathTests {
    /// A node with `build`'s rules, behind it an established connection from the client to blue, port 80.
    private func connected(_ build: (inout Node) -> Void) -> Node {
        var here = Node {
            $0.add(.mangle, "PREROUTING", matches: [.state(Invertible(.invalid))], .drop)
            build(&$0)
            $0.add(.nat, "PREROUTING", matches: [port(8080)], dnat(blue, 80)) {
                $0.protocol = Invertible(.tcp)
            }
        }
        send(.syn, sequence: 100, &here)
        here.handle(
            segment(
                blue, 80, client, 40000, flags: [.syn, .ack], sequence: 500, acknowledgement: 101),
            on: br0, traced: false)
        send(.ack, &here)
        return here
    }

    @discardableResult
    private func send(
        _ flags: TCPFlags, sequence: UInt32 = 101, mark: UInt32 = 0,
        from ingress: InterfaceIndex = eth0,
        timeToLive: UInt8 = 64, _ here: inout Node
    ) -> Sent {
        here.handle(
            segment(
                client, 40000, node, 8080, flags: flags, timeToLive: timeToLive, sequence: sequence,
                acknowledgement: flags.contains(.ack) ? 501 : 0),
            on: ingress, traced: false, mark: mark)
    }

    private let accept: (inout Node) -> Void = { $0.add(.filter, "FORWARD", .accept) }

    @Test(
        "the second plain packet takes the first one's, translated and counted as if it had walked")
    func taken() {
        var here = connected(accept)
        #expect(here.engine.storedPathUses == 0)
        let sent = send(.ack, &here)
        #expect(here.engine.storedPathUses == 1)
        #expect(sent.disposition == .forward(Egress(interface: br0, nextHop: blue, mtu: 1500)))
        #expect(sent.view.destination == blue && sent.view.destinationPort == Port(80))
        #expect(sent.view.timeToLive == 63)
        #expect(here.counters(.filter, "FORWARD") == [4])
        #expect(here.counters(.nat, "PREROUTING") == [1])
        // Reading does not count again, and counting goes on.
        send([.ack, .psh], &here)
        #expect(here.counters(.filter, "FORWARD") == [5])
        #expect(here.engine.storedPathUses == 2)
    }

    @Test("what opens, ends, or arrives otherwise walks")
    func walks() {
        var here = connected(accept)
        send(.ack, mark: 7, &here)
        send(.ack, from: lo, &here)
        send(.ack, timeToLive: 1, &here)
        send([.fin, .ack], &here)
        #expect(here.engine.storedPathUses == 0)
    }

    @Test("a segment out of window is INVALID to the rules, seen by tracking once")
    func invalid() {
        var here = connected(accept)
        let sent = send(.ack, sequence: 0x4000_0000, &here)
        #expect(sent.disposition == .drop(.rule))
        #expect(here.engine.connections.statistics.invalid == 1)
        #expect(here.counters(.mangle, "PREROUTING") == [1])
        send(.ack, &here)
        #expect(here.engine.storedPathUses == 1)
    }

    @Test("other rules and other routes are walked anew")
    func changes() {
        var here = connected(accept)
        send(.ack, &here)
        #expect(here.engine.storedPathUses == 1)
        for table in here.ruleset.tables.indices where here.ruleset.tables[table].name == .filter {
            for chain in here.ruleset.tables[table].chains.indices {
                here.ruleset.tables[table].chains[chain].rules = []
            }
        }
        here.add(.filter, "FORWARD", .drop)
        here.install()
        #expect(send(.ack, &here).disposition == .drop(.rule))
        here = connected(accept)
        here.engine.routes = Node.routes(forwarding: false)
        #expect(
            send(.ack, &here).disposition
                != .forward(Egress(interface: br0, nextHop: blue, mtu: 1500)))
        #expect(here.engine.storedPathUses == 0)
    }

    @Test("rules that look further, and targets that somebody sees, keep packets walking")
    func looksFurther() {
        let length = Match.stateless(.length(Invertible(Interval(0, 1000))))
        for (matches, target) in [
            ([length], Target.accept), ([], .log(LogTarget())), ([], .mangle(.ttl(.set(9)))),
            ([.tcp(TCPMatch(flags: Invertible(TCPFlagsTest(mask: .psh, compare: .psh))))], .accept),
        ] {
            var here = connected { node in
                node.add(.mangle, "FORWARD", matches: matches, target) {
                    $0.protocol = Invertible(.tcp)
                }
            }
            send(.ack, &here)
            #expect(here.engine.storedPathUses == 0, "\(matches) \(target)")
        }
        // A rule whose addresses do not fit asks nothing of its matches.
        var here = connected { node in
            node.add(.mangle, "FORWARD", matches: [length], .accept) {
                $0.source = AddressMatch(IPv4Network(blue, prefixLength: 32))
            }
        }
        send(.ack, &here)
        #expect(here.engine.storedPathUses == 1)
    }
}
