// What the dataplane does to whole ranges of bytes: copying between spans, recomputing an IPv4 header
// checksum, finishing a partial transport checksum. Offsets are checked by the spans themselves.

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

    /// Finishes the partial checksum that `offload` describes, for an egress that cannot carry one.
    ///
    /// The field holds the pseudo-header sum, so summing from `checksumStart` to the packet's end,
    /// field included, gives the whole (net/core/dev.c, `skb_checksum_help`). Link-layer padding is
    /// not part of the packet: `end` excludes it.
    ///
    /// - Returns: whether the offsets lay within the packet; nothing is written otherwise.
    @inlinable
    mutating func completeChecksum(_ offload: OffloadHeader, end: Int) -> Bool {
        guard offload.needsChecksum else { return true }
        let start = Int(offload.checksumStart)
        let field = start &+ Int(offload.checksumOffset)
        guard end <= byteCount, start <= end, field &+ 2 <= end else { return false }
        var sum = InternetChecksum()
        sum.add(bytes, start..<end)
        // RFC 768: a computed zero is sent as all ones, since zero means "none". For TCP both are
        // the same number in one's complement arithmetic, as the kernel treats it.
        let value = sum.complemented
        set(value == 0 ? 0xFFFF : value, at: field)
        return true
    }
}
