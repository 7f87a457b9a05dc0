// Rewriting of IPv4 header fields that no translation touches, and partial checksums made whole.

extension MutableRawSpan {
    /// Sets the time to live and corrects the header checksum.
    @inlinable
    public mutating func rewriteTimeToLive(to new: UInt8, in view: inout PacketView) {
        let rest = UInt16(view.protocol.rawValue)
        rewriteHeaderWord(
            UInt16(view.timeToLive) << 8 | rest, by: UInt16(new) << 8 | rest, view.networkOffset)
        set(new, at: view.networkOffset &+ 8)
        view.timeToLive = new
    }

    /// Sets the whole TOS octet and corrects the header checksum.
    @inlinable
    public mutating func rewriteTypeOfService(to new: UInt8, in view: inout PacketView) {
        let first = UInt16(u8(view.networkOffset)) << 8
        rewriteHeaderWord(
            first | UInt16(view.typeOfService), by: first | UInt16(new), view.networkOffset)
        set(new, at: view.networkOffset &+ 1)
        view.typeOfService = new
    }

    /// Sets the total length and corrects the header checksum; what lies behind is the caller's.
    @inlinable
    public mutating func rewriteTotalLength(to new: Int, in view: inout PacketView) {
        let word = UInt16(truncatingIfNeeded: new)
        rewriteHeaderWord(
            UInt16(truncatingIfNeeded: view.totalLength), by: word, view.networkOffset)
        set(word, at: view.networkOffset &+ 2)
        view.totalLength = new
    }

    /// Corrects the IPv4 header's checksum for one of its words.
    @inlinable
    mutating func rewriteHeaderWord(_ old: UInt16, by new: UInt16, _ n: Int) {
        var delta = ChecksumDelta()
        delta.replace(old, by: new)
        set(delta.applied(to: u16(n &+ 10)), at: n &+ 10)
    }

    /// Finishes the partial checksum that `offload` describes, for an egress that cannot carry one.
    ///
    /// The field holds the pseudo-header sum, so summing from `checksumStart` to the packet's end,
    /// field included, gives the whole (net/core/dev.c, `skb_checksum_help`). Link-layer padding is
    /// not part of the packet: `end` excludes it.
    ///
    /// - Returns: whether the offsets lay within the packet; nothing is written otherwise.
    @inlinable
    public mutating func completeChecksum(_ offload: OffloadHeader, end: Int) -> Bool {
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
