import CAllocationCount
import Conntrack
import FrameFixture
import Hooks
import PacketIO
import Routing
import Ruleset
import Testing
import VirtualServer
import Wire

@testable import Dataplane

/// Ten rules, tracking and translation: what an ordinary gateway has.
private func tenRules() -> Ruleset {
    var rules = Rules()
    for port: UInt16 in 9000..<9006 {
        rules.add(.filter, "FORWARD", .drop, protocol: .tcp, port: port)
    }
    rules.add(.filter, "FORWARD", .accept, matches: [.state(Invertible(.established))])
    rules.add(.filter, "FORWARD", .accept, matches: [.state(Invertible(.new))])
    rules.add(
        .nat, "PREROUTING",
        .dnat(NATTarget(addresses: AddressRange(server, server), ports: PortRange(Port(8080)))),
        protocol: .tcp, port: 80)
    rules.add(.nat, "POSTROUTING", .masquerade(PortMapping()))
    return rules.ruleset
}

private func dataplane(_ rules: Ruleset) throws -> Dataplane {
    let engine = HookEngine(
        rules: try CompiledRuleset(rules), connections: ConnectionTable(capacity: 4096, seed: 1),
        routes: WorkerNode.routes(mtu: 1500), seed: 1)
    let dataplane = Dataplane(engine: engine, seed: 1)
    let now = Timestamp(nanoseconds: 1_000_000_000_000)
    for (address, interface, mac) in [(client, eth0, clientMAC), (server, eth1, serverMAC)] {
        dataplane.apply(
            NeighbourUpdate(interface: interface, address: address, mac: mac, state: .reachable),
            now: now)
    }
    return dataplane
}

/// Allocations per 1,000 packets, once everything is warm.
private func allocations(_ dataplane: Dataplane, _ port: LoopPort) -> UInt64 {
    let now = Timestamp(nanoseconds: 1_000_000_000_001)
    port.perBatch = 250
    // The first step stores paths, the second takes them for the first time.
    for _ in 0..<2 { dataplane.step(now: now) }
    let before = sluice_allocation_count()
    for _ in 0..<4 { dataplane.step(now: now) }
    return sluice_allocation_count() - before
}

@Suite(
    "Heap allocations on the packet path",
    .enabled(if: sluice_counts_allocations(), "a sanitizer owns malloc"))
struct AllocationTests {
    @Test("the counter sees an allocation")
    func counts() {
        let before = sluice_allocation_count()
        let array = [Int](repeating: 1, count: 100_000)
        #expect(sluice_allocation_count() > before)
        #expect(array.count == 100_000)
    }

    @Test("none for packets of an established, translated TCP connection behind ten rules")
    func established() throws {
        let dataplane = try dataplane(tenRules())
        let syn = TestFrame(destination: IPv4Address(10, 1, 0, 1)).tcp(40_000, 80, .syn)
        let handshake = MemoryPort(interface: eth0, name: "eth0")
        let back = MemoryPort(interface: eth1, name: "eth1")
        let now = Timestamp(nanoseconds: 1_000_000_000_000)
        dataplane.add(handshake)
        dataplane.add(back)
        handshake.inject(syn.bytes)
        dataplane.step(now: now)
        let translated = parsed(try #require(back.sent.first?.bytes))
        var reply = TestFrame(source: server, destination: translated.source)
        reply.targetMAC = eth1MAC
        back.inject(
            reply.tcp(
                8080, translated.sourcePort.rawValue, [.syn, .ack], sequence: 5000,
                acknowledgement: 1001
            ).bytes)
        dataplane.step(now: now)
        let acknowledgement = TestFrame(destination: IPv4Address(10, 1, 0, 1))
            .tcp(40_000, 80, .ack, sequence: 1001, acknowledgement: 5001)
        let port = LoopPort(interface: eth0, name: "eth0", frames: [acknowledgement.bytes])
        let sink = LoopPort(interface: eth1, name: "eth1")
        dataplane.add(port)
        dataplane.add(sink)
        let counted = allocations(dataplane, port)
        #expect(sink.statistics.sentFrames == 1500)
        #expect(counted == 0)
    }

    @Test("none for packets of connections that a virtual service sent to a server")
    func virtualService() throws {
        let dataplane = try dataplane(Ruleset())
        let vip = IPv4Address(10, 1, 0, 1)
        let key = ServiceKey.address(.tcp, vip, Port(80))
        var services = VirtualServices()
        try services.add(
            VirtualService(
                key: key, scheduler: "wlc", persistence: Persistence(timeout: Seconds(60))))
        try services.add(RealServer(address: server, port: Port(8080)), to: key)
        let now = Timestamp(nanoseconds: 1_000_000_000_000)
        dataplane.engine.director.follow(services, now: now)
        let frames = (0..<250).map {
            TestFrame(destination: vip).tcp(UInt16(10_000 + $0), 80, .syn).bytes
        }
        let port = LoopPort(interface: eth0, name: "eth0", frames: frames)
        let sink = LoopPort(interface: eth1, name: "eth1")
        dataplane.add(port)
        dataplane.add(sink)
        // The first batch opens the connections, those that are counted repeat it.
        #expect(allocations(dataplane, port) == 0)
        #expect(dataplane.engine.connections.count == 250)
        #expect(sink.statistics.sentFrames == 1500)
    }

    @Test("none for drops, fragments, reassembly and answers either")
    func slowPaths() throws {
        let dataplane = try dataplane(Rules.tracking)
        var dying = TestFrame().udp(1000, 2000, pattern(30))
        dying.timeToLive = 1
        var broken = dying.bytes
        broken[24] ^= 1
        let datagram = TestFrame().udp(1001, 2000, pattern(3000))
        let frames =
            [dying.bytes, broken, [1, 2, 3]] + datagram.fragments(of: 1000).map(\.bytes)
            + [TestFrame(destination: IPv4Address(10, 9, 0, 1)).udp(1, 2).bytes]
        let port = LoopPort(interface: eth0, name: "eth0", frames: frames)
        dataplane.add(port)
        dataplane.add(LoopPort(interface: eth1, name: "eth1"))
        #expect(allocations(dataplane, port) == 0)
        #expect(dataplane.counters.reassembled > 0)
        #expect(dataplane.counters.node.forwarded > 0)
    }

    @Test("none for stateless matches, and for a segment that a rule makes larger")
    func stateless() throws {
        var rules = Rules()
        var bridge = PhysdevMatch()
        bridge.inPort = Invertible(PhysdevMatch.PortName(InterfaceName("eth0")!), inverted: true)
        let matches: [StatelessMatch] = [
            .iprange(IPRangeMatch(source: Invertible(Interval(client, client)))),
            .length(Invertible(Interval(0, 100))), .ttl(TTLMatch(.greater, 1)), .physdev(bridge),
            .mac(Invertible(clientMAC)),
            .owner(OwnerMatch(users: Invertible(Interval(0, 0), inverted: true))),
            .pkttype(Invertible(.unicast)),
        ]
        rules.add(.raw, "PREROUTING", .none, matches: [.stateless(.rpfilter([]))])
        for match in matches {
            rules.add(.mangle, "PREROUTING", .none, matches: [.stateless(match)])
        }
        rules.add(.mangle, "PREROUTING", .mangle(.tos(TOSTarget(value: 0x10, mask: 0xFF))))
        rules.add(.mangle, "FORWARD", .mangle(.tcpmss(.clampToPathMTU)), protocol: .tcp)
        let dataplane = try dataplane(rules.ruleset)
        let frame = TestFrame().tcp(40_000, 80, .syn)
        let port = LoopPort(interface: eth0, name: "eth0", frames: [frame.bytes])
        let sink = LoopPort(interface: eth1, name: "eth1")
        dataplane.add(port)
        dataplane.add(sink)
        let counted = allocations(dataplane, port)
        #expect(counted == 0)
        #expect(dataplane.engine.rules.ruleCounters.allSatisfy { $0.packets == 1500 })
        #expect(sink.statistics.sentBytes == 1500 * UInt64(frame.bytes.count + 4))
    }
}
