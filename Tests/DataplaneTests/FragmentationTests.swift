import FrameFixture
import Testing
import Wire

@testable import Dataplane

/// All fragments of a frame.
private func fragments(
    _ frame: TestFrame, mtu: Int, pieces: [Int] = [], reassembled: ReassembledDatagram? = nil
) -> [[UInt8]]? {
    let bytes = frame.bytes
    guard
        var fragmenter = Fragmenter(
            parsed(bytes), mtu: mtu, pieceLengths: pieces, reassembled: reassembled)
    else { return nil }
    var all: [[UInt8]] = []
    while true {
        var out = [UInt8](repeating: 0xEE, count: fragmenter.largestFrame)
        var storage = out.mutableSpan
        var span = storage.mutableBytes
        guard
            let length = fragmenter.next(of: bytes.span.bytes, pieceLengths: pieces, into: &span)
        else { return all }
        all.append(Array(out[..<length]))
    }
}

@Suite("Fragmentation")
struct FragmentationTests {
    private let whole = TestFrame().udp(1000, 2000, pattern(3000))

    @Test("fragments fit the MTU, carry multiples of eight bytes, and add up to the datagram")
    func addUp() throws {
        for mtu in [68, 576, 1003, 1500] {
            let parts = try #require(fragments(whole, mtu: mtu))
            var payload: [UInt8] = []
            for (position, part) in parts.enumerated() {
                let view = parsed(part)
                #expect(view.totalLength <= mtu)
                #expect(view.fragmentOffset == payload.count)
                #expect(view.moreFragments == (position < parts.count - 1))
                #expect(view.identification == whole.identification)
                payload += part[view.transportOffset...]
            }
            #expect(payload == whole.payload)
        }
    }

    @Test("a fragment is fragmented again at its own offset")
    func fragmentOfFragment() throws {
        let middle = whole.fragments(of: 2000)[0]
        let parts = try #require(fragments(middle, mtu: 1500))
        #expect(parts.map { parsed($0).fragmentOffset } == [0, 1480])
        #expect(parts.map { parsed($0).moreFragments } == [true, true])
    }

    @Test(
        "an option without the copied flag is replaced by no-operations behind the first fragment")
    func options() throws {
        var frame = whole
        // Record route (not copied), then a loose source route (copied), then the end.
        frame.options = [7, 7, 4, 0, 0, 0, 0, 131, 3, 4, 0, 0]
        let parts = try #require(fragments(frame, mtu: 1500))
        #expect(Array(parts[0][34..<46]) == frame.options)
        #expect(Array(parts[1][34..<46]) == [1, 1, 1, 1, 1, 1, 1, 131, 3, 4, 0, 0])
    }

    @Test("a reassembled datagram leaves in the pieces in which it came")
    func pieces() throws {
        let memory = ReassembledDatagram(
            frameLength: 0, frames: 3, largestFragment: 1300, dontFragment: false)
        let kept = try #require(
            fragments(whole, mtu: 1500, pieces: [808, 1280, 920], reassembled: memory))
        #expect(kept.map { parsed($0).transportLength } == [808, 1280, 920])
        // A smaller MTU cuts anew.
        let cut = try #require(
            fragments(whole, mtu: 1000, pieces: [808, 1280, 920], reassembled: memory))
        #expect(cut.map { parsed($0).transportLength } == [976, 976, 976, 80])
        // Without memory of the pieces, the largest one limits.
        let limited = try #require(fragments(whole, mtu: 1500, reassembled: memory))
        #expect(limited.map { parsed($0).transportLength } == [1280, 1280, 448])
    }

    @Test("an MTU without room for eight bytes of payload makes no fragments")
    func tinyMTU() {
        #expect(fragments(whole, mtu: 27) == nil)
        #expect(fragments(whole, mtu: 28) != nil)
    }

    @Test("what fits, what is cut and what is too big")
    func verdicts() {
        func verdict(
            _ length: Int, df: Bool, mtu: Int = 1500, largest: Int = 0,
            offload: OffloadHeader = .none
        ) -> SizeVerdict {
            var frame = TestFrame(payload: pattern(length - 20))
            frame.fragmentField = df ? 0x4000 : 0
            return PacketSize(frame.view, offload, largestFragment: largest).verdict(mtu: mtu)
        }
        #expect(verdict(1500, df: true) == .fits)
        #expect(verdict(1501, df: true) == .tooBig)
        #expect(verdict(1501, df: false) == .fragment)
        #expect(verdict(1000, df: false, largest: 700) == .fragment)
        #expect(verdict(3000, df: true, largest: 1400) == .fragment)
        #expect(verdict(3000, df: true, largest: 1501) == .tooBig)
        let super1448 = OffloadHeader(segmentationType: 1, segmentSize: 1448)
        let segment = TestFrame(fragmentField: 0x4000)
            .tcp(1, 2, .ack, options: [UInt8](repeating: 1, count: 12), pattern(9000))
        func superVerdict(_ mtu: Int) -> SizeVerdict {
            PacketSize(segment.view, super1448, largestFragment: 0).verdict(mtu: mtu)
        }
        #expect(superVerdict(1500) == .fits)
        #expect(superVerdict(1499) == .tooBig)
    }
}
