// SipHash with one round a word and three at the end (Aumasson and Bernstein, "SipHash: a fast short-input PRF",
// 2012), of four bytes: what Linux calls hsiphash on machines of 64 bits (lib/siphash.c).

enum SipHash13 {
    /// The lower half of the hash of `word` as four bytes, least significant first.
    static func hash(_ word: UInt32, key: (UInt64, UInt64)) -> UInt32 {
        var state = State(key)
        // The only block: the bytes, and their number in the last byte.
        let block = UInt64(4) << 56 | UInt64(word)
        state.v3 ^= block
        state.round()
        state.v0 ^= block
        state.v2 ^= 0xFF
        for _ in 0..<3 { state.round() }
        return UInt32(truncatingIfNeeded: state.v0 ^ state.v1 ^ state.v2 ^ state.v3)
    }

    private struct State {
        var v0, v1, v2, v3: UInt64

        init(_ key: (UInt64, UInt64)) {
            v0 = key.0 ^ 0x736F_6D65_7073_6575
            v1 = key.1 ^ 0x646F_7261_6E64_6F6D
            v2 = key.0 ^ 0x6C79_6765_6E65_7261
            v3 = key.1 ^ 0x7465_6462_7974_6573
        }

        mutating func round() {
            v0 &+= v1
            v1 = rotate(v1, 13) ^ v0
            v0 = rotate(v0, 32)
            v2 &+= v3
            v3 = rotate(v3, 16) ^ v2
            v0 &+= v3
            v3 = rotate(v3, 21) ^ v0
            v2 &+= v1
            v1 = rotate(v1, 17) ^ v2
            v2 = rotate(v2, 32)
        }

        private func rotate(_ value: UInt64, _ count: UInt64) -> UInt64 {
            value << count | value >> (64 - count)
        }
    }
}
