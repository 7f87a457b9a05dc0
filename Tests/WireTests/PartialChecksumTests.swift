import FrameFixture
import Testing
import Wire

private let from = IPv4Address(10, 0, 0, 1)
private let to = IPv4Address(10, 0, 0, 2)

/// A frame whose TCP or UDP checksum field holds `field(pseudo-header sum)`.
private func frame(
    _ protocol: IPProtocol, payload: [UInt8], fragmentField: UInt16 = 0x4000,
    field: (UInt16) -> UInt16 = { $0 }
) -> [UInt8] {
    let header = `protocol` == .tcp ? 20 : 8
    var bytes = ipv4Frame(
        from, to, `protocol`, [UInt8](repeating: 0x11, count: header) + payload,
        fragmentField: fragmentField)
    var sum = InternetChecksum()
    sum.addPseudoHeader(
        source: from, destination: to, protocol: `protocol`, length: header + payload.count)
    let value = field(sum.folded)
    bytes.withMutableRawSpan { $0.set(value, at: 34 + ($0.u8(23) == 6 ? 16 : 6)) }
    return bytes
}

private func guess(_ bytes: [UInt8]) -> OffloadHeader {
    bytes.withRawSpan { OffloadHeader(guessedFrom: $0) }
}

@Suite("Partial checksums without a mark")
struct PartialChecksumTests {
    @Test("the pseudo-header sum is known, and completing it gives a right checksum")
    func completed() {
        for length in 0..<70 {
            for (kind, offset) in [(IPProtocol.tcp, UInt16(16)), (.udp, 6)] {
                var random = SystemRandomNumberGenerator()
                var bytes = frame(
                    kind, payload: (0..<length).map { _ in .random(in: 0...255, using: &random) })
                // Link-layer padding is not part of the packet.
                bytes += [0xEE, 0xEE]
                let offload = guess(bytes)
                #expect(offload.needsChecksum)
                #expect(offload.checksumStart == 34)
                #expect(offload.checksumOffset == offset)
                let end = bytes.count - 2
                let isComplete = bytes.withMutableRawSpan {
                    $0.completeChecksum(offload, end: end)
                }
                #expect(isComplete)
                let folded = bytes.withRawSpan { span in
                    var sum = InternetChecksum()
                    sum.addPseudoHeader(
                        source: from, destination: to, protocol: kind, length: end - 34)
                    sum.add(span, 34..<end)
                    return sum.folded
                }
                #expect(folded == 0xFFFF, "\(bytes)")
            }
        }
    }

    @Test("any other value is left to whoever verifies it")
    func others() {
        #expect(guess(frame(.tcp, payload: [1, 2, 3]) { ~$0 }) == .none)
        #expect(guess(frame(.tcp, payload: [1, 2, 3]) { $0 &+ 1 }) == .none)
        #expect(guess(frame(.udp, payload: [1, 2, 3]) { _ in 0 }) == .none)
    }

    @Test("fragments have none", arguments: [UInt16(0x2000), 0x0001, 0x2001])
    func fragments(_ field: UInt16) {
        #expect(guess(frame(.udp, payload: [1, 2, 3], fragmentField: field)) == .none)
    }

    @Test("frames that end anywhere, and lengths that lie, are harmless")
    func malformed() {
        let whole = frame(.tcp, payload: [1, 2, 3])
        for length in 0..<whole.count { #expect(guess(Array(whole.prefix(length))) == .none) }
        for first in UInt8(0)...255 {
            var bytes = whole
            bytes[14] = first
            let offload = guess(bytes)
            #expect(!offload.needsChecksum || Int(offload.checksumStart) + 18 <= bytes.count)
        }
        for total in [UInt16(0), 19, 20, 37, 38, 0xFFFF] {
            var bytes = whole
            bytes.withMutableRawSpan { $0.set(total, at: 16) }
            #expect(guess(bytes) == .none)
        }
    }
}
