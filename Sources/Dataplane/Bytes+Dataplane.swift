// What the dataplane does to whole ranges of bytes: copying between spans, recomputing an IPv4 header
// checksum. Offsets are checked by the spans themselves.

import Wire

extension MutableRawSpan {
    /// Copies `range` of `source` to `offset`. The two must not be the same memory.
    @inlinable
    mutating func copy(_ source: RawSpan, _ range: Range<Int>, to offset: Int) {
        precondition(
            range.lowerBound >= 0 && range.upperBound <= source.byteCount && offset >= 0
                && offset &+ range.count <= byteCount,
            "a copy between frames stays within both")
        // The check above covers both ranges; an empty one has no address to copy from.
        guard !range.isEmpty else { return }
        unsafe withUnsafeMutableBytes { target in
            unsafe source.withUnsafeBytes { origin in
                unsafe target.baseAddress!.advanced(by: offset).copyMemory(
                    from: origin.baseAddress!.advanced(by: range.lowerBound),
                    byteCount: range.count)
            }
        }
    }

    /// Recomputes the IPv4 header checksum.
    @inlinable
    mutating func setHeaderChecksum(networkOffset n: Int, headerLength: Int) {
        set(UInt16(0), at: n &+ 10)
        var sum = InternetChecksum()
        sum.add(bytes, n..<n &+ headerLength)
        set(sum.complemented, at: n &+ 10)
    }
}
