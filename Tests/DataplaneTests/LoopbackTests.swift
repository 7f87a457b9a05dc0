import FrameFixture
import PacketIO
import Ruleset
import Testing
import Wire

@testable import Dataplane

@Suite("The worker and the loopback")
struct WorkerLoopbackTests {
    @Test("a local connection that OUTPUT redirects stays on lo, its reply translated back")
    func redirect() throws {
        var rules = Rules()
        rules.add(
            .nat, "OUTPUT", .redirect(PortMapping(ports: PortRange(Port(8080)))), protocol: .tcp,
            port: 30080)
        let node = try WorkerNode(rules.ruleset)
        let loopback = MemoryPort(interface: lo, name: "lo")
        node.dataplane.add(loopback)
        let here = TestFrame(
            source: .loopback, destination: .loopback, targetMAC: MACAddress(rawValue: 0),
            sourceMAC: MACAddress(rawValue: 0))
        loopback.inject(here.tcp(40_000, 30080, .syn).bytes)
        node.dataplane.step(now: node.now)
        let request = parsed(try #require(loopback.sent.first?.bytes))
        #expect(request.destination == .loopback && request.destinationPort == Port(8080))
        #expect(request.timeToLive == 64)
        loopback.inject(here.tcp(8080, 40_000, [.syn, .ack], acknowledgement: 1001).bytes)
        node.dataplane.step(now: node.now)
        let reply = parsed(try #require(loopback.sent.last?.bytes))
        #expect(reply.sourcePort == Port(30080) && reply.destinationPort == Port(40_000))
        #expect(node.host.sent.isEmpty)
        #expect(node.dataplane.counters.host.delivered == 2)
    }

    @Test("INPUT stops a local client on lo, and a REJECT reaches it there")
    func firewall() throws {
        var rules = Rules()
        rules.add(.filter, "INPUT", .drop, protocol: .tcp, port: 9000)
        rules.add(.filter, "INPUT", .reject(.tcpReset), protocol: .tcp, port: 9001)
        let node = try WorkerNode(rules.ruleset)
        let loopback = MemoryPort(interface: lo, name: "lo")
        node.dataplane.add(loopback)
        let here = TestFrame(
            source: .loopback, destination: .loopback, targetMAC: MACAddress(rawValue: 0))
        loopback.inject(here.tcp(40_000, 9000, .syn).bytes)
        node.dataplane.step(now: node.now)
        #expect(loopback.sent.isEmpty)
        #expect(node.dataplane.counters.host.drops[.rule] == 1)
        loopback.inject(here.tcp(40_000, 9001, .syn).bytes)
        node.dataplane.step(now: node.now)
        let bytes = try #require(loopback.sent.last?.bytes)
        #expect(Array(bytes[..<14]) == [UInt8](repeating: 0, count: 12) + [8, 0])
        let reset = parsed(bytes)
        #expect(reset.tcpFlags.contains(.rst) && reset.destinationPort == Port(40_000))
    }

    @Test("the node calls itself and is sent to a server: the reply comes back over lo")
    func ownAddressElsewhere() throws {
        var rules = Rules()
        rules.add(
            .nat, "OUTPUT",
            .dnat(NATTarget(addresses: AddressRange(server, server), ports: PortRange(Port(8080)))),
            protocol: .tcp, port: 30080)
        let node = try WorkerNode(rules.ruleset)
        let loopback = MemoryPort(interface: lo, name: "lo")
        node.dataplane.add(loopback)
        let own = IPv4Address(10, 1, 0, 1)
        let request = TestFrame(
            source: own, destination: own, targetMAC: MACAddress(rawValue: 0),
            sourceMAC: MACAddress(rawValue: 0))
        loopback.inject(request.tcp(40_000, 30080, .syn).bytes)
        node.dataplane.step(now: node.now)
        #expect(parsed(try #require(node.right.sent.first?.bytes)).destination == server)
        let reply = TestFrame(
            source: server, destination: own, targetMAC: eth1MAC, sourceMAC: serverMAC)
        node.right.inject(reply.tcp(8080, 40_000, [.syn, .ack], acknowledgement: 1001).bytes)
        node.dataplane.step(now: node.now)
        let seen = parsed(try #require(loopback.sent.last?.bytes))
        #expect(seen.source == own && seen.sourcePort == Port(30080))
        #expect(node.host.sent.isEmpty)
    }
}

@Suite("Fragments without tracking")
struct UntrackedFragmentTests {
    @Test("INPUT sees the whole datagram, once, whatever it decides")
    func input() throws {
        for (target, delivered) in [(Target.accept, 1), (.drop, 0)] {
            var rules = Rules()
            rules.add(.filter, "INPUT", target, protocol: .udp, port: 2000)
            let node = try WorkerNode(rules.ruleset)
            let whole = TestFrame(destination: IPv4Address(10, 1, 0, 1)).udp(
                1000, 2000, pattern(3000))
            for part in whole.fragments(of: 1480) { node.receive(part) }
            #expect(node.host.sent.count == delivered)
            if delivered == 1 {
                #expect(node.host.sent.first?.bytes.dropFirst(14) == whole.bytes.dropFirst(14))
                #expect(node.received.delivered == 3)
            } else {
                #expect(node.received.drops[.rule] == 3)
            }
        }
    }

    @Test("what is sent on stays in its fragments")
    func forward() throws {
        let node = try WorkerNode()
        let whole = TestFrame().udp(1000, 2000, pattern(3000))
        for part in whole.fragments(of: 1000) { node.receive(part) }
        #expect(node.right.sent.count == 4)
        #expect(node.dataplane.counters.reassembled == 0)
    }

    @Test("OUTPUT sees the datagram that the node's socket sent")
    func output() throws {
        var rules = Rules()
        rules.add(.filter, "OUTPUT", .drop, protocol: .udp, port: 2000)
        let node = try WorkerNode(rules.ruleset)
        let whole = TestFrame(source: IPv4Address(10, 2, 0, 1)).udp(1000, 2000, pattern(3000))
        for part in whole.fragments(of: 1480) { node.host.inject(part.bytes) }
        node.dataplane.step(now: node.now)
        #expect(node.right.sent.isEmpty)
        #expect(node.dataplane.counters.host.drops[.rule] == 3)
    }
}
