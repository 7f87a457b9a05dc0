import FrameFixture
import Testing
import Wire

@testable import Dataplane

private let start = Timestamp(nanoseconds: 1_000_000_000)
private let ingress = InterfaceIndex(rawValue: 3)

/// A reassembly whose calls take arrays.
private final class Assembler {
    var reassembly: Reassembly
    private(set) var datagram: ReassembledDatagram?
    private(set) var frame: [UInt8] = []

    init(byteCount: Int = 4 << 20, datagrams: Int = 1024) {
        reassembly = Reassembly(byteCount: byteCount, datagrams: datagrams, seed: 1)
    }

    @discardableResult
    func insert(_ fragment: TestFrame, at time: Timestamp = start) -> ReassemblyOutcome {
        let bytes = fragment.bytes
        let outcome = reassembly.insert(
            bytes.span.bytes, parsed(bytes), ingress: ingress, time: time)
        guard outcome == .complete else { return outcome }
        frame = [UInt8](repeating: 0xEE, count: reassembly.completedFrameLength)
        var storage = frame.mutableSpan
        var span = storage.mutableBytes
        datagram = reassembly.takeCompleted(into: &span)
        return outcome
    }
}

@Suite("Reassembly")
struct ReassemblyTests {
    private let whole = TestFrame().udp(1000, 2000, pattern(3000))

    @Test("fragments in any order become the datagram again")
    func anyOrder() {
        let seed = UInt64.random(in: 0 ... .max)
        var random = SeededRandom(seed: seed)
        for _ in 0..<50 {
            let assembler = Assembler()
            let size = Int.random(in: 1...200, using: &random) * 8
            let fragments = whole.fragments(of: size).shuffled(using: &random)
            for fragment in fragments.dropLast() {
                #expect(assembler.insert(fragment) == .waiting, "seed \(seed)")
            }
            if fragments.count == 1 { continue }
            #expect(assembler.insert(fragments.last!) == .complete, "seed \(seed)")
            #expect(assembler.frame[14...] == whole.bytes[14...], "seed \(seed)")
            #expect(assembler.datagram?.frames == fragments.count)
            #expect(assembler.datagram?.dontFragment == false)
            #expect(assembler.reassembly.nextDeadline == nil)
        }
    }

    @Test("the size of the largest fragment is remembered, and DF if that one had it")
    func largestFragment() {
        let assembler = Assembler()
        for part in whole.fragments(of: 1480, dontFragment: true) { assembler.insert(part) }
        #expect(assembler.datagram?.largestFragment == 1500)
        #expect(assembler.datagram?.dontFragment == true)
        #expect(parsed(assembler.frame).dontFragment)
        #expect(assembler.reassembly.pieceLengths == [1480, 1480, 48])
    }

    @Test("the sizes of all pieces are remembered, however many there were")
    func manyPieces() {
        let assembler = Assembler()
        for part in whole.fragments(of: 16) { assembler.insert(part) }
        #expect(assembler.reassembly.pieceLengths == Array(repeating: 16, count: 188))
    }

    @Test("an overlap discards the datagram with all that arrived")
    func overlap() {
        let assembler = Assembler()
        let parts = whole.fragments(of: 1000)
        assembler.insert(parts[0])
        assembler.insert(parts[2])
        var bad = parts[1]
        bad.payload.append(contentsOf: [UInt8](repeating: 1, count: 8))
        #expect(assembler.insert(bad) == .discarded(.badFragment, others: 2))
        #expect(assembler.reassembly.nextDeadline == nil)
        // The rest starts a new datagram, which lacks its beginning.
        #expect(assembler.insert(parts[1]) == .waiting)
    }

    @Test("a duplicate is dropped alone, also one that is only a part of what arrived")
    func duplicate() {
        let assembler = Assembler()
        let parts = whole.fragments(of: 1000)
        assembler.insert(parts[0])
        assembler.insert(parts[1])
        #expect(assembler.insert(parts[1]) == .dropped(.badFragment))
        var within = parts[0]
        within.payload = Array(within.payload[..<504])
        #expect(assembler.insert(within) == .dropped(.badFragment))
        assembler.insert(parts[2])
        #expect(assembler.insert(parts[3]) == .complete)
        #expect(assembler.frame[14...] == whole.bytes[14...])
    }

    @Test("a second end, an end before data, and an empty fragment contradict the datagram")
    func contradictions() {
        let parts = whole.fragments(of: 1000)
        let assembler = Assembler()
        assembler.insert(parts[3])
        var otherEnd = parts[2]
        otherEnd.fragmentField &= ~0x2000
        #expect(assembler.insert(otherEnd) == .discarded(.badFragment, others: 1))

        assembler.insert(parts[3])
        var beyond = parts[3]
        beyond.fragmentField = 0x2000 | 500
        #expect(assembler.insert(beyond) == .discarded(.badFragment, others: 1))

        var empty = parts[1]
        empty.payload = [1, 2, 3]
        #expect(assembler.insert(empty) == .discarded(.badFragment, others: 0))
    }

    @Test("a datagram longer than 65,535 bytes is discarded once its last fragment is there")
    func oversized() {
        let assembler = Assembler()
        var random = SeededRandom(seed: 5)
        let huge = TestFrame(payload: (0..<65_528).map { _ in UInt8(random.next() & 255) })
        let parts = huge.fragments(of: 1480)
        for part in parts.dropLast() { #expect(assembler.insert(part) == .waiting) }
        #expect(
            assembler.insert(parts.last!) == .discarded(.badFragment, others: parts.count - 1))
        #expect(assembler.reassembly.nextDeadline == nil)
    }

    @Test(
        "what is given up for its distance is counted, begins anew with new time, and leaks nothing"
    )
    func distance() {
        let assembler = Assembler()
        assembler.reassembly.maximumDistance = 2
        let parts = whole.fragments(of: 1000)
        var other = parts[0]
        assembler.insert(parts[0])
        assembler.insert(parts[1])
        for identification in 100..<102 as Range<UInt16> {
            other.identification = identification
            #expect(assembler.insert(other) == .waiting)
            #expect(assembler.reassembly.givenUp == 0)
        }
        #expect(assembler.insert(parts[2], at: start + Seconds(3)) == .waiting)
        #expect(assembler.reassembly.givenUp == 2)
        assembler.insert(parts[3])
        #expect(assembler.reassembly.givenUp == 0)
        var buffer = [UInt8](repeating: 0, count: 600)
        var storage = buffer.mutableSpan
        var span = storage.mutableBytes
        var frames: [Int] = []
        while let expired = assembler.reassembly.takeExpired(now: start + Seconds(32), into: &span)
        {
            frames.append(expired.frames)
        }
        #expect(frames == [1, 1])
        #expect(assembler.reassembly.senders.count == 1)
        #expect(assembler.reassembly.nextDeadline == start + Seconds(33))
        assembler.insert(parts[0])
        #expect(assembler.insert(parts[1]) == .complete)
        #expect(assembler.frame[14...] == whole.bytes[14...])
        #expect(assembler.reassembly.senders.isEmpty)
    }

    @Test("after 30 seconds the datagram is given up, with its first fragment to quote")
    func timeout() {
        let assembler = Assembler()
        let parts = whole.fragments(of: 1000)
        assembler.insert(parts[1])
        assembler.insert(parts[0], at: start + Seconds(10))
        var buffer = [UInt8](repeating: 0, count: 600)
        var storage = buffer.mutableSpan
        var span = storage.mutableBytes
        let early = assembler.reassembly.takeExpired(now: start + Seconds(29), into: &span)
        #expect(early == nil)
        let expired = assembler.reassembly.takeExpired(now: start + Seconds(30), into: &span)
        #expect(
            expired == ExpiredDatagram(frames: 2, ingress: ingress, firstFragmentLength: 600))
        #expect(buffer[14...] == parts[0].bytes[14..<600])
        #expect(assembler.reassembly.nextDeadline == nil)
    }

    @Test("when the pool or the queues are used up, a fragment is dropped and nothing leaks")
    func full() {
        let assembler = Assembler(byteCount: 4 * ChunkPool.chunkSize, datagrams: 3)
        var frame = whole.fragments(of: 1000)[0]
        for id in 0..<3 {
            frame.identification = UInt16(id)
            #expect(assembler.insert(frame) == .waiting)
        }
        frame.identification = 3
        #expect(assembler.insert(frame) == .dropped(.fragmentMemory))
        var second = whole.fragments(of: 1000)[1]
        second.identification = 0
        #expect(assembler.insert(second) == .waiting)
        second.identification = 1
        #expect(assembler.insert(second) == .dropped(.fragmentMemory))
        var buffer = [UInt8](repeating: 0, count: 600)
        var storage = buffer.mutableSpan
        var span = storage.mutableBytes
        var frames = 0
        while let expired = assembler.reassembly.takeExpired(now: start + Seconds(31), into: &span)
        {
            frames += expired.frames
        }
        #expect(frames == 4)
        #expect(assembler.reassembly.pool.freeChunks == 4)
    }

    @Test("congestion experienced on one fragment marks the whole; not-ECT with ECT is discarded")
    func congestion() {
        var parts = whole.fragments(of: 2000)
        parts[0].typeOfService = 2
        parts[1].typeOfService = 3
        let assembler = Assembler()
        for part in parts { assembler.insert(part) }
        #expect(parsed(assembler.frame).typeOfService == 3)
        parts[0].typeOfService = 0
        assembler.insert(parts[0])
        #expect(assembler.insert(parts[1]) == .discarded(.badFragment, others: 1))
    }

    @Test("random fragments neither crash nor leak memory")
    func fuzz() {
        let seed = UInt64.random(in: 0 ... .max)
        var random = SeededRandom(seed: seed)
        let assembler = Assembler(byteCount: 64 * ChunkPool.chunkSize, datagrams: 16)
        var inserted = 0
        var accounted = 0
        for round in 0..<20_000 {
            var frame = TestFrame()
            frame.identification = UInt16.random(in: 0..<20, using: &random)
            let offset = UInt16.random(in: 0..<12, using: &random)
            frame.fragmentField = offset | (Bool.random(using: &random) ? 0x2000 : 0)
            if frame.fragmentField == 0 { continue }
            frame.payload = pattern(Int.random(in: 0...64, using: &random))
            inserted += 1
            switch assembler.insert(frame, at: start + Seconds(UInt32(round / 1000))) {
            case .waiting: break
            case .complete: accounted += assembler.datagram?.frames ?? 0
            case .dropped: accounted += 1
            case .discarded(_, let others): accounted += 1 + others
            }
            accounted += assembler.reassembly.givenUp
        }
        var buffer = [UInt8](repeating: 0, count: 600)
        var storage = buffer.mutableSpan
        var span = storage.mutableBytes
        while let expired = assembler.reassembly.takeExpired(
            now: start + Seconds(1000), into: &span)
        {
            accounted += expired.frames
        }
        #expect(accounted == inserted, "seed \(seed)")
        #expect(assembler.reassembly.pool.freeChunks == 64, "seed \(seed)")
    }
}
