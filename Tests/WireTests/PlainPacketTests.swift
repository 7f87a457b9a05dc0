import FrameFixture
import Testing
import Wire

@Suite("Plain packets")
struct PlainPacketTests {
    /// What a parsed packet says of itself: the definition, field by field.
    private func isPlain(_ view: PacketView, _ bytes: [UInt8]) -> Bool {
        guard view.headerLength == 20, !view.isFragment else { return false }
        switch view.transport {
        case .tcp:
            return view.tcpFlags.contains(.ack)
                && view.tcpFlags.isDisjoint(with: [.syn, .fin, .rst, .urg])
                && (20...view.transportLength).contains(view.tcpHeaderLength)
        case .udp:
            let length = bytes.withRawSpan { Int($0.u16(view.transportOffset + 4)) }
            return length >= 8 && length <= view.transportLength
        default: return false
        }
    }

    @Test(
        "what is plain, and what lies where, is what the parser says of damaged and of whole frames"
    )
    func agreesWithTheParser() {
        let seed = UInt64.random(in: 0 ... .max)
        var random = SeededRandom(seed: seed)
        var plain = 0
        for _ in 0..<20_000 {
            let isTCP = Bool.random(using: &random)
            var frame = TestFrame(payload: [])
            frame.timeToLive = UInt8.random(in: 0...255, using: &random)
            frame.typeOfService = UInt8.random(in: 0...255, using: &random)
            if Int.random(in: 0..<20, using: &random) == 0 { frame.fragmentField = 0x2000 }
            let flags = TCPFlags(
                rawValue: [0x10, 0x18, 0x11, 0x02, 0x30, 0xD0].randomElement(using: &random)!)
            let payload = pattern(Int.random(in: 0...40, using: &random))
            var bytes =
                (isTCP
                ? frame.tcp(1, 2, flags, sequence: 7, payload)
                : frame.udp(3, 4, payload)).bytes
            // Padding, a cut, lengths that lie, any other byte; the header's checksum made right again, or not.
            switch Int.random(in: 0..<6, using: &random) {
            case 0: bytes += [UInt8](repeating: 9, count: Int.random(in: 1...20, using: &random))
            case 1: bytes.removeLast(Int.random(in: 0..<bytes.count, using: &random))
            case 2: bytes[isTCP ? 46 : 39] = UInt8.random(in: 0...255, using: &random)
            case 3:
                bytes[Int.random(in: 12..<42, using: &random)] = UInt8.random(
                    in: 0...255, using: &random)
            default: break
            }
            if bytes.count >= 34, Int.random(in: 0..<8, using: &random) > 0 {
                let length = min(Int(bytes[14] & 15) * 4, bytes.count - 14)
                bytes[24] = 0
                bytes[25] = 0
                var header = InternetChecksum()
                bytes.withRawSpan { header.add($0, 14..<14 + length) }
                bytes[24] = UInt8(header.complemented >> 8)
                bytes[25] = UInt8(header.complemented & 255)
            }
            let packet = PlainPacket(bytes.span.bytes)
            guard case .packet(let view) = PacketView.parse(bytes.span.bytes), isPlain(view, bytes)
            else {
                guard packet == nil else {
                    Issue.record("seed \(seed): \(bytes) is not plain")
                    return
                }
                continue
            }
            plain += 1
            var sum = InternetChecksum()
            sum.addPseudoHeader(
                source: view.source, destination: view.destination, protocol: view.protocol,
                length: view.transportLength)
            bytes.withRawSpan { sum.add($0, 34..<view.end) }
            let hasNone = view.protocol == .udp && bytes[40] == 0 && bytes[41] == 0
            let isRight = sum.folded == 0xFFFF || hasNone
            guard let packet, packet.ends == ends(view), packet.end == view.end,
                packet.typeOfService == view.typeOfService, packet.timeToLive == view.timeToLive,
                packet.protocol == view.protocol,
                packet.transportChecksumIsRight(bytes.span.bytes) == isRight,
                Int(packet.transportHeaderLength)
                    == (view.transport == .tcp ? view.tcpHeaderLength : 8)
            else {
                Issue.record("seed \(seed): \(bytes) is \(view), not \(String(describing: packet))")
                return
            }
        }
        #expect(plain > 5000, "seed \(seed)")
    }

    private func ends(_ view: PacketView) -> PacketEnds {
        PacketEnds(
            source: view.source, destination: view.destination, sourcePort: view.sourcePort,
            destinationPort: view.destinationPort)
    }
}
