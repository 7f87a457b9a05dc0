import FrameFixture
import Testing
import Wire

@Suite("Both ends of a packet")
struct PacketEndsTests {
    @Test("both ends at once give the bytes that the single steps give")
    func atOnce() {
        let seed = UInt64.random(in: 0..<1 << 32)
        var random = SeededRandom(seed: seed)
        /// Often a word whose change a sum does not show, or none.
        func word(_ old: UInt16) -> UInt16 {
            [old, 0, 0xFFFF, UInt16(truncatingIfNeeded: random.next())][Int(random.next() % 4)]
        }
        for _ in 0..<4000 {
            var frame = TestFrame(
                source: IPv4Address(rawValue: UInt32(word(0)) << 16 | UInt32(word(1))),
                destination: IPv4Address(rawValue: UInt32(word(2)) << 16 | UInt32(word(3))))
            frame.timeToLive = UInt8(1 + random.next() % 255)
            let payload = (0..<random.next() % 9).map { _ in
                UInt8(truncatingIfNeeded: random.next())
            }
            let isTCP = random.next() % 2 == 0
            var bytes =
                (isTCP
                ? frame.tcp(word(4), word(5), .ack, sequence: 7)
                : frame.udp(word(4), word(5), payload))
                .bytes
            let field = isTCP ? 50 : 40
            // UDP without a checksum, and sums that are 0 or -0.
            if random.next() % 4 == 0 {
                let value = word(0)
                bytes[field] = UInt8(value >> 8)
                bytes[field + 1] = UInt8(value & 255)
            }
            let partial = random.next() % 4 == 0
            guard case .packet(let view) = PacketView.parse(bytes.span.bytes),
                let packet = PlainPacket(bytes.span.bytes)
            else {
                Issue.record("seed \(seed): the test's frames are plain")
                return
            }
            var ends = packet.ends
            ends.source = IPv4Address(
                rawValue: UInt32(word(UInt16(ends.source.rawValue >> 16))) << 16
                    | UInt32(word(UInt16(truncatingIfNeeded: ends.source.rawValue))))
            ends.destination = IPv4Address(
                rawValue: UInt32(word(UInt16(ends.destination.rawValue >> 16))) << 16
                    | UInt32(word(UInt16(truncatingIfNeeded: ends.destination.rawValue))))
            ends.sourcePort = Port(word(ends.sourcePort.rawValue))
            ends.destinationPort = Port(word(ends.destinationPort.rawValue))

            var stepByStep = bytes
            var stepView = view
            stepByStep.withMutableRawSpan { frame in
                for (end, address, port) in [
                    (PacketEnd.destination, ends.destination, ends.destinationPort),
                    (.source, ends.source, ends.sourcePort),
                ] {
                    frame.rewriteAddress(end, to: address, in: &stepView, partialChecksum: partial)
                    frame.rewritePort(end, to: port, in: &stepView, partialChecksum: partial)
                    if end == .destination { frame.decrementTimeToLive(in: &stepView) }
                }
            }
            bytes.withMutableRawSpan {
                $0.rewriteAndForward(packet, to: ends, partialChecksum: partial)
            }
            guard bytes == stepByStep else {
                Issue.record("seed \(seed): \(view) to \(ends), partial \(partial)")
                return
            }
        }
    }
}
