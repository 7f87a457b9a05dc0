// Fragments through the tracking node: in any order, twice, overlapping, never finished. What comes out, and
// when, is what the kernel sends.

import Dataplane
import FrameFixture
import KernelPath
import NamespaceFixture
import Scenario
import Testing
import Wire

@Suite("Fragments, through Sluice and through the kernel", .enabled(if: isRoot, needsRoot))
struct FragmentTests {
    /// A datagram that DNAT translates.
    private func datagram(_ identification: UInt16, _ count: Int) -> TestFrame {
        TestFrame(
            source: Gateway.far, destination: Gateway.outside, identification: identification
        ).udp(4000, 5353, pattern(count))
    }

    private func compare(_ frames: [TestFrame], insideMTU: Int = 1500) throws -> [Outcome] {
        try BothEngines.compare(
            Case(
                topology: Gateway.topology(insideMTU: insideMTU), rules: Gateway.rules,
                packets: frames.map(Gateway.fromOutside)))
    }

    @Test("8 KB through DNAT arrives, in any order, at any MTU")
    func anyOrder() throws {
        let seed = UInt64.random(in: 0 ... .max)
        var random = SeededRandom(seed: seed)
        for (round, mtu) in [1500, 1500, 1500, 1400, 576, 1500].enumerated() {
            let whole = datagram(UInt16(round + 1), 8192)
            var parts = whole.fragments(of: round == 5 ? 808 : 1480)
            if round == 1 { parts.reverse() }
            if round > 1 { parts.shuffle(using: &random) }
            let outcomes = try compare(parts, insideMTU: mtu)
            #expect(outcomes.dropLast().allSatisfy { $0.emissions.isEmpty }, "seed \(seed)")
            #expect(outcomes.last?.emissions.count ?? 0 >= 6, "seed \(seed)")
        }
    }

    @Test("a piece that came already is dropped alone; one that overlaps ends the datagram")
    func overlaps() throws {
        let whole = datagram(1, 4000)
        let parts = whole.fragments(of: 1000)
        // Of the same datagram: bytes `from..<to` of its payload.
        let piece = { (from: Int, to: Int) in
            var copy = whole
            copy.payload = Array(whole.payload[from..<min(to, whole.payload.count)])
            copy.fragmentField = UInt16(from / 8) | (to < whole.payload.count ? 0x2000 : 0)
            return copy
        }
        let rest = { (number: Int) in Array(parts[number...]) }
        let outcomes = try compare([parts[0], parts[0], parts[1], parts[1]] + rest(2))
        #expect(outcomes.last?.emissions.isEmpty == false)
        for odd in [
            piece(504, 1504), piece(992, 1000), piece(0, 504), piece(496, 1000), piece(0, 1008),
            piece(1000, 2008), piece(2000, 4008), piece(3992, 4008),
        ] {
            // Before, between and after the pieces that it meets.
            _ = try compare([odd] + parts)
            _ = try compare([parts[0], parts[2], odd] + parts)
            _ = try compare([parts[0], parts[1], odd] + rest(2))
            _ = try compare([parts[3], parts[1], odd, parts[2], parts[0]] + parts)
        }
    }

    /// `others` fragments of a sender's come between two of a datagram.
    struct Distance: Sendable {
        var others: Int
        var sender = Gateway.far
        var setting: String?
        var isGivenUp: Bool
    }

    @Test(
        "a datagram is given up once too many fragments of its sender's came between",
        arguments: [
            Distance(others: 63, isGivenUp: false), Distance(others: 64, isGivenUp: true),
            Distance(others: 64, sender: IPv4Address(198, 51, 100, 10), isGivenUp: false),
            Distance(others: 2, setting: "3", isGivenUp: false),
            Distance(others: 3, setting: "3", isGivenUp: true),
            Distance(others: 100, setting: "0", isGivenUp: false),
        ])
    func distance(_ distance: Distance) throws {
        let settings = distance.setting.map { ["net.ipv4.ipfrag_max_dist": $0] } ?? [:]
        let parts = datagram(1, 2000).fragments(of: 1000)
        let others = (0..<distance.others).map { number in
            var other = datagram(UInt16(100 + number), 2000).fragments(of: 1000)[0]
            other.source = distance.sender
            return other
        }
        // The first piece comes again: to the datagram that began anew it is what was missing. That the largest piece
        // said DF holds although that piece was given up.
        var first = parts[0]
        first.fragmentField |= 0x4000
        let frames = [first] + others + [parts[1], parts[2], parts[0]]
        let outcomes = try BothEngines.compare(
            Case(
                topology: Gateway.topology(settings: settings), rules: Gateway.rules,
                packets: frames.map(Gateway.fromOutside)))
        #expect(outcomes[frames.count - 2].emissions.isEmpty == distance.isGivenUp)
        #expect(outcomes[frames.count - 1].emissions.isEmpty != distance.isGivenUp)
    }

    @Test("random pieces of several datagrams, some overlapping, some contradicting, some tiny")
    func randomPieces() throws {
        let seed = UInt64.random(in: 0 ... .max)
        var random = SeededRandom(seed: seed)
        print("random fragments seed: \(seed)")
        for round in 0..<12 {
            var frames: [TestFrame] = []
            for identification in 0..<6 as Range<UInt16> {
                let whole = datagram(identification, Int.random(in: 20...3000, using: &random))
                var parts = whole.fragments(of: Int.random(in: 4...120, using: &random) * 8)
                for _ in 0..<Int.random(in: 0...3, using: &random) {
                    var odd = parts.randomElement(using: &random) ?? whole
                    switch Int.random(in: 0..<5, using: &random) {
                    case 0: break
                    case 1: odd.fragmentField &+= 1
                    case 2: odd.fragmentField ^= 0x2000
                    case 3: odd.payload = Array(odd.payload.dropLast(8))
                    default: odd.payload += [UInt8](repeating: 7, count: 8)
                    }
                    parts.append(odd)
                }
                frames += parts
            }
            frames.shuffle(using: &random)
            var packets = frames.map(Gateway.fromOutside)
            for index in packets.indices { packets[index].note = "seed \(seed) round \(round)" }
            try BothEngines.compare(
                Case(topology: Gateway.topology(), rules: Gateway.rules, packets: packets))
        }
    }

    @Test("a datagram that is never finished times out, is counted, and its receiver says so")
    func neverFinished() throws {
        var subject = Case(
            topology: Gateway.topology(settings: ["net.ipv4.ipfrag_time": "1"]),
            rules: Gateway.rules)
        // For the node itself, with and without its beginning; through the node; to the server.
        let own = TestFrame(
            source: Gateway.client, destination: Gateway.outside, identification: 1
        ).udp(4000, 9, pattern(3000)).fragments(of: 1000)
        let through = datagram(2, 3000).fragments(of: 1000)
        var late = own[1]
        late.identification = 3
        subject.packets = [own[0], through[0], late].map(Gateway.fromOutside)
        let sluice = try OfflineNode(subject)
        let kernel = try KernelNode(subject.topology, rules: subject.rules)
        for packet in subject.packets {
            #expect(try sluice.inject(packet).emissions.isEmpty)
            #expect(try kernel.inject(packet).emissions.isEmpty)
        }
        // Nothing that either would answer.
        var tick = CasePacket(origin: .wire(link: "eth1"), bytes: [UInt8](repeating: 0, count: 14))
        var theirs: [Emission] = []
        let end = ContinuousClock.now + .seconds(60)
        var timeouts = 0
        while timeouts < 3, ContinuousClock.now < end {
            let counted = try kernel.run("nstat", ["-asz", "IpReasmTimeout"])
            timeouts = counted.split(separator: " ").compactMap { Int($0) }.first ?? 0
        }
        #expect(timeouts == 3)
        theirs += try kernel.inject(tick).emissions
        tick.time = Timestamp(nanoseconds: 2_000_000_000)
        let ours = try sluice.inject(tick).emissions
        // Identifications and, with them, the header's checksum are each engine's own.
        let comparable = { (emission: Emission) -> [UInt8] in
            emission.bytes.enumerated().map { [18, 19, 24, 25].contains($0) ? 0 : $1 }
        }
        // Both fall due in the same moment; their order is that of a timer's bucket.
        let order = { (a: [UInt8], b: [UInt8]) in a.lexicographicallyPrecedes(b) }
        #expect(ours.map(comparable).sorted(by: order) == theirs.map(comparable).sorted(by: order))
        // About two of them: the second was sent to the node's address, whatever DNAT would have made of
        // it, and of the third the beginning is missing.
        #expect(ours.map { parsed($0.bytes).icmpType } == [11 as UInt8, 11])
        #expect(ours.map { parsed($0.bytes).icmpCode } == [1 as UInt8, 1])
        #expect(sluice.dataplane.counters.drops(.fragmentTimeout) == 3)
    }
}
