import FrameFixture
import Testing
import Wire

@testable import Dataplane

private func answered(_ frame: TestFrame, trusted: Bool = false, group: Bool = false)
    -> (AnsweredPacket, [UInt8])
{
    let bytes = frame.bytes
    return (
        AnsweredPacket(view: parsed(bytes), isGroup: group, checksumTrusted: trusted), bytes
    )
}

@Suite("When the node answers")
struct AnswerPermissionTests {
    private func mayError(_ frame: TestFrame, group: Bool = false) -> Bool {
        let (packet, bytes) = answered(frame, group: group)
        return packet.mayDrawError(bytes.span.bytes)
    }

    @Test("errors answer queries, never ICMP errors, unknown types, later fragments or groups")
    func errors() {
        let frame = TestFrame()
        #expect(mayError(frame.udp(1, 2)))
        #expect(mayError(frame.icmp(8)))
        #expect(mayError(frame.icmp(13)))
        for type: UInt8 in [3, 4, 5, 11, 12, 19, 200] { #expect(!mayError(frame.icmp(type))) }
        var icmpWithoutHeader = frame
        icmpWithoutHeader.protocol = .icmp
        #expect(!mayError(icmpWithoutHeader))
        #expect(!mayError(frame.udp(1, 2), group: true))
        let parts = frame.udp(1, 2, pattern(100)).fragments(of: 64)
        #expect(mayError(parts[0]))
        #expect(!mayError(parts[1]))
    }

    @Test("errors go to single hosts only")
    func sources() {
        for source in ["0.0.0.0", "224.0.0.1", "255.255.255.255"] {
            #expect(!mayError(TestFrame(source: IPv4Address(source)!).udp(1, 2)))
        }
        for source in ["0.0.0.1", "0.1.2.3", "240.0.0.1"] {
            #expect(mayError(TestFrame(source: IPv4Address(source)!).udp(1, 2)))
        }
    }

    @Test("REJECT stays silent about a wrong transport checksum, where the protocol has one")
    func rejectChecksum() {
        func mayReject(_ frame: TestFrame, trusted: Bool = false) -> Bool {
            let (packet, bytes) = answered(frame, trusted: trusted)
            return packet.mayBeRejected(bytes.span.bytes)
        }
        var bad = TestFrame().udp(1, 2, pattern(11))
        #expect(mayReject(bad))
        bad.payload[10] ^= 1
        #expect(!mayReject(bad))
        #expect(mayReject(bad, trusted: true))
        bad.payload[6] = 0
        bad.payload[7] = 0
        #expect(mayReject(bad))
        #expect(mayReject(TestFrame(protocol: .gre, payload: [1, 2, 3, 4])))
        // The kernel sums an unknown protocol's payload as if it carried a checksum.
        #expect(!mayReject(TestFrame(protocol: IPProtocol(rawValue: 99), payload: [1, 2])))
        #expect(mayReject(TestFrame(protocol: IPProtocol(rawValue: 99), payload: [255, 255])))
    }

    @Test("a reset answers complete TCP headers with a good checksum, never another reset")
    func resets() {
        func mayReset(_ frame: TestFrame) -> Bool {
            let (packet, bytes) = answered(frame)
            return packet.mayDrawReset(bytes.span.bytes)
        }
        #expect(mayReset(TestFrame().tcp(1, 2, .syn)))
        #expect(!mayReset(TestFrame().tcp(1, 2, [.rst, .ack])))
        #expect(!mayReset(TestFrame().udp(1, 2)))
        var short = TestFrame().tcp(1, 2, .syn)
        short.payload.removeLast()
        #expect(!mayReset(short))
        var bad = TestFrame().tcp(1, 2, .syn)
        bad.payload[4] ^= 1
        #expect(!mayReset(bad))
    }
}

@Suite("The rate of the node's errors")
struct AnswerLimiterTests {
    private let host = IPv4Address(10, 0, 0, 1)

    private func count(
        _ limiter: inout AnswerLimiter, _ error: ICMPError, from: Double, every step: Double,
        times: Int, to: (Int) -> IPv4Address
    ) -> Int {
        var random = SeededRandom(seed: 1)
        return (0..<times).filter { index in
            let now = Timestamp(
                nanoseconds: UInt64((from + step * Double(index)) * 1_000_000_000))
            return limiter.allows(error, to: to(index), now: now, random: &random)
        }.count
    }

    @Test("one destination gets six at once and then one a second")
    func perDestination() {
        var limiter = AnswerLimiter()
        #expect(
            count(&limiter, .timeExceeded, from: 100, every: 0.0001, times: 50) { _ in host } == 6)
        #expect(
            count(&limiter, .timeExceeded, from: 101.1, every: 1, times: 10) { _ in host } == 10)
    }

    @Test("all destinations together get about fifty at once")
    func global() {
        var limiter = AnswerLimiter()
        let sent = count(&limiter, .timeExceeded, from: 100, every: 0, times: 500) {
            IPv4Address(10, 0, UInt8($0 / 256), UInt8($0 % 256))
        }
        #expect((25...120).contains(sent))
    }

    @Test("fragmentation needed is never limited, nor a type outside the mask")
    func unlimited() {
        var limiter = AnswerLimiter()
        let needed = ICMPError.fragmentationNeeded(mtu: 1400)
        #expect(count(&limiter, needed, from: 1, every: 0, times: 500) { _ in host } == 500)
        let redirect = ICMPError.redirectHost(gateway: host)
        #expect(count(&limiter, redirect, from: 1, every: 0, times: 500) { _ in host } == 500)
    }

    @Test("a first redirect empties the bucket of errors, which then fills up again")
    func redirectsAndErrors() {
        var limiter = AnswerLimiter()
        let first = limiter.allowsRedirect(to: host, now: Timestamp(nanoseconds: 0))
        #expect(first)
        #expect(count(&limiter, .timeExceeded, from: 0, every: 0, times: 9) { _ in host } == 0)
        #expect(count(&limiter, .timeExceeded, from: 2.5, every: 0, times: 9) { _ in host } == 2)
    }

    @Test("a table smaller than its destinations forgets the oldest and stays within its size")
    func displacement() {
        var limiter = AnswerLimiter(
            limits: AnswerLimits(messagesPerSecond: 1_000_000, burst: 1_000_000), capacityBits: 2)
        let sent = count(&limiter, .timeExceeded, from: 100, every: 0.1, times: 1000) {
            IPv4Address(rawValue: 0x0A00_0000 + UInt32($0))
        }
        #expect(sent == 1000)
    }
}

@Suite("Finishing checksums")
struct ChecksumCompletionTests {
    @Test("a partial checksum is completed to the one computed at once")
    func completes() {
        for frame in [
            TestFrame().tcp(1, 2, .ack, pattern(33)), TestFrame().udp(3, 4, pattern(77)),
        ] {
            let complete = frame.bytes
            var partial = complete
            let view = parsed(complete)
            let field = view.transportOffset + (view.protocol == .tcp ? 16 : 6)
            var pseudo = InternetChecksum()
            pseudo.addPseudoHeader(
                source: view.source, destination: view.destination, protocol: view.protocol,
                length: view.transportLength)
            partial[field] = UInt8(pseudo.folded >> 8)
            partial[field + 1] = UInt8(pseudo.folded & 255)
            // Padding behind the packet is not summed.
            partial += [1, 2, 3]
            let offload = OffloadHeader(
                needsChecksum: true, checksumStart: UInt16(view.transportOffset),
                checksumOffset: UInt16(field - view.transportOffset))
            var storage = partial.mutableSpan
            var span = storage.mutableBytes
            let done = span.completeChecksum(offload, end: view.end)
            #expect(done)
            #expect(Array(partial[..<complete.count]) == complete)
        }
    }

    @Test("offsets beyond the packet change nothing")
    func outside() {
        var bytes = TestFrame().udp(3, 4, pattern(7)).bytes
        let before = bytes
        let end = bytes.count
        var storage = bytes.mutableSpan
        var span = storage.mutableBytes
        for (start, offset) in [(60_000, 6), (34, 65_000), (end - 1, 0)] {
            let offload = OffloadHeader(
                needsChecksum: true, checksumStart: UInt16(start), checksumOffset: UInt16(offset))
            let done = span.completeChecksum(offload, end: end)
            #expect(!done)
        }
        #expect(bytes == before)
    }
}
