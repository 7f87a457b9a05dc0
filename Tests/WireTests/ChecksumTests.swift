import Testing
import Wire

@Suite("Checksums")
struct ChecksumTests {
    @Test("the example of RFC 1071, section 3, sums to ddf2")
    func rfc1071() {
        let data: [UInt8] = [0x00, 0x01, 0xF2, 0x03, 0xF4, 0xF5, 0xF6, 0xF7]
        var sum = InternetChecksum()
        sum.add(data.span.bytes, 0..<8)
        #expect(sum.folded == 0xDDF2)
    }

    @Test("an odd last byte is padded with zero")
    func oddLength() {
        let data: [UInt8] = [0x12, 0x34, 0x56]
        var sum = InternetChecksum()
        sum.add(data.span.bytes, 0..<3)
        #expect(sum.folded == 0x1234 + 0x5600)
    }

    @Test("an incremental update equals a full recomputation, for random packets")
    func incremental() {
        let seed = UInt64.random(in: 0 ... .max)
        var random = SeededRandom(seed: seed)
        for _ in 0..<2000 {
            var data = (0..<Int.random(in: 2...40, using: &random)).map { _ in
                [UInt16(0), 0xFFFF, UInt16.random(in: 0...0xFFFF, using: &random)]
                    .randomElement(using: &random)!
            }
            func full() -> UInt16 {
                var sum = InternetChecksum()
                for word in data { sum.add(word) }
                return sum.complemented
            }
            let before = full()
            let index = Int.random(in: 0..<data.count, using: &random)
            let new = UInt16.random(in: 0...0xFFFF, using: &random)
            var delta = ChecksumDelta()
            delta.replace(data[index], by: new)
            data[index] = new
            // The two zeros of one's complement are the same number.
            func canonical(_ value: UInt16) -> UInt16 { value == 0xFFFF ? 0 : value }
            #expect(
                canonical(delta.applied(to: before)) == canonical(full()), "seed \(seed)")
        }
    }
}
