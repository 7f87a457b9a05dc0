import Conntrack
import FrameFixture
import Hooks
import PacketIO
import Routing
import Ruleset
import Testing
import Wire

@testable import Dataplane

/// A node in the way of a capture: everything arrives on eth0, and a default route leads out of eth1.
private func node(_ rules: Ruleset, mtu: Int) throws -> (Dataplane, MemoryPort, [MemoryPort]) {
    let base = WorkerNode.routes(mtu: mtu)
    let byDefault = Route(
        prefix: .any, length: 0,
        nextHops: [NextHop(interface: eth1, gateway: server)])
    let routes = RoutingSnapshot(
        interfaces: base.interfaces, addresses: base.addresses, routes: base.routes + [byDefault])
    let engine = HookEngine(
        rules: try CompiledRuleset(rules), connections: ConnectionTable(capacity: 512, seed: 1),
        routes: routes, seed: 1)
    var configuration = Dataplane.Configuration.offline
    configuration.fragmentBytes = 1 << 18
    let dataplane = Dataplane(engine: engine, seed: 1, configuration: configuration)
    let ports = [
        MemoryPort(interface: eth0, name: "eth0"), MemoryPort(interface: eth1, name: "eth1"),
        MemoryPort(interface: InterfaceIndex(rawValue: 9), name: "sluice0"),
    ]
    dataplane.add(ports[0])
    dataplane.add(ports[1])
    dataplane.addHostPort(ports[2])
    return (dataplane, ports[0], ports)
}

/// Rules that look at everything: nothing at all, NAT with tracking, and refusals of all kinds.
private func rulesets() -> [Ruleset] {
    var strict = Rules()
    strict.add(.filter, "FORWARD", .reject(.tcpReset), protocol: .tcp, port: 80)
    strict.add(.filter, "FORWARD", .drop, matches: [.state(Invertible(.invalid))])
    strict.add(.filter, "FORWARD", .reject(.portUnreachable), protocol: .udp)
    strict.add(.filter, "INPUT", .reject(.adminProhibited))
    return [Ruleset(), Rules.nat, strict.ruleset]
}

@Suite("Captures through the offline path")
struct OfflineTests {
    @Test(
        "every capture passes without a crash, and every frame has exactly one fate",
        .enabled(if: !SharedData.captures.isEmpty, "the shared captures are absent"),
        .timeLimit(.minutes(5)))
    func captures() throws {
        var frames: UInt64 = 0
        var forwarded: UInt64 = 0
        var unreadable = 0
        for url in SharedData.captures {
            for rules in rulesets() {
                let (dataplane, _, _) = try node(rules, mtu: 576)
                // What is no capture at all is refused when it is opened.
                guard
                    let capture = try? CapturePort(
                        interface: eth0, name: "eth0", input: url.path)
                else {
                    unreadable += 1
                    break
                }
                dataplane.add(capture)
                let tally = OfflineRun.run(dataplane).interface
                #expect(capture.condition == .exhausted, "\(url.lastPathComponent)")
                #expect(
                    tally.received == capture.statistics.receivedFrames,
                    "\(url.lastPathComponent)")
                #expect(
                    tally.forwarded + tally.delivered + tally.drops.total == tally.received,
                    "\(url.lastPathComponent)")
                frames += tally.received
                forwarded += tally.forwarded
            }
        }
        #expect(frames > 20_000 && forwarded > 1000)
        #expect(unreadable < 20)
    }

    @Test("the same frames, rules and seed give the same bytes")
    func deterministic() throws {
        func output() throws -> [[[UInt8]]] {
            let (dataplane, ingress, ports) = try node(rulesets()[2], mtu: 300)
            var random = SeededRandom(seed: 3)
            for _ in 0..<300 { ingress.inject(randomFrame(&random)) }
            OfflineRun.run(dataplane)
            return ports.map { $0.sent.map(\.bytes) }
        }
        let first = try output()
        #expect(try output() == first)
        #expect(first.contains { !$0.isEmpty })
    }

    @Test("mutated frames neither crash nor lose count", .timeLimit(.minutes(5)))
    func mutations() throws {
        let seed = UInt64.random(in: 0 ... .max)
        var random = SeededRandom(seed: seed)
        for rules in rulesets() {
            let (dataplane, ingress, _) = try node(rules, mtu: 296)
            let count = 4000
            for _ in 0..<count { ingress.inject(mutated(randomFrame(&random), &random)) }
            let tally = OfflineRun.run(dataplane).interface
            #expect(tally.received == UInt64(count), "seed \(seed)")
            #expect(
                tally.forwarded + tally.delivered + tally.drops.total == tally.received,
                "seed \(seed)")
            // Enough of them are sound to reach the far side.
            #expect(tally.forwarded > 0, "seed \(seed)")
        }
    }

    /// A frame of any protocol, a fragment of one, or an ICMP error that quotes one.
    private func randomFrame(_ random: inout SeededRandom) -> [UInt8] {
        let addresses = [client, server, IPv4Address(10, 1, 0, 1), IPv4Address(10, 9, 9, 9)]
        var frame = TestFrame(
            source: addresses.randomElement(using: &random)!,
            destination: addresses.randomElement(using: &random)!)
        frame.timeToLive = UInt8.random(in: 1...4, using: &random)
        frame.identification = UInt16.random(in: 0..<8, using: &random)
        if Int.random(in: 0..<8, using: &random) == 0 { frame.options = [7, 7, 4, 0, 0, 0, 0, 0] }
        let data = pattern(Int.random(in: 0...700, using: &random))
        let ports = [UInt16(80), 53, 40_000, 40_001]
        let from = ports.randomElement(using: &random)!
        let to = ports.randomElement(using: &random)!
        switch Int.random(in: 0..<5, using: &random) {
        case 0: frame = frame.udp(from, to, data)
        case 1:
            let flags = TCPFlags(rawValue: UInt8.random(in: 0...63, using: &random))
            frame = frame.tcp(
                from, to, flags, sequence: UInt32.random(in: 0...9999, using: &random), data)
        case 2: frame = frame.icmp(8, rest: UInt32(from) << 16, data)
        case 3:
            let quoted = frame.udp(to, from, data).bytes[14...].prefix(120)
            frame = frame.icmp(3, 1, Array(quoted))
        default:
            frame.protocol = IPProtocol(rawValue: UInt8.random(in: 0...255, using: &random))
            frame.payload = data
        }
        if Int.random(in: 0..<3, using: &random) == 0 {
            frame =
                frame.fragments(of: 8 * Int.random(in: 1...40, using: &random))
                .randomElement(using: &random) ?? frame
        }
        return frame.bytes
    }

    /// A few bytes changed, or the frame cut; the header checksum mended half of the time, so that
    /// what lies behind it is reached.
    private func mutated(_ frame: [UInt8], _ random: inout SeededRandom) -> [UInt8] {
        var bytes = frame
        for _ in 0..<Int.random(in: 0...4, using: &random) where !bytes.isEmpty {
            let position = Int.random(in: 0..<min(bytes.count, 90), using: &random)
            bytes[position] = UInt8.random(in: 0...255, using: &random)
        }
        if Int.random(in: 0..<10, using: &random) == 0 {
            bytes.removeLast(Int.random(in: 0...bytes.count, using: &random))
        }
        let header = bytes.count > 14 ? Int(bytes[14] & 15) * 4 : 0
        if header >= 20, bytes.count >= 14 + header, Bool.random(using: &random) {
            var storage = bytes.mutableSpan
            var span = storage.mutableBytes
            span.setHeaderChecksum(networkOffset: 14, headerLength: header)
        }
        return bytes
    }
}
