// Where a port brings no virtio header, the mark of a partial checksum is lost, and its value is all there
// is: a TCP or UDP checksum field that holds the pseudo-header sum.

extension OffloadHeader {
    /// What the virtio header of an Ethernet frame would have said about its checksum.
    ///
    /// A field that equals the pseudo-header sum is taken for partial. It may also be complete by chance,
    /// if the rest sums up to nothing: completing it then gives what is right, too. One that is neither is
    /// wrong, and stays so for whoever verifies it. Fragments are never partial: the kernel finishes the
    /// sum before it cuts a datagram (`ip_fragment`).
    @inlinable
    public init(guessedFrom frame: RawSpan) {
        self.init()
        guard frame.byteCount >= 34, frame.u16(12) == EtherType.ipv4.rawValue,
            // Neither MF nor an offset.
            frame.u16(20) & 0x3FFF == 0
        else { return }
        let headerLength = Int(frame.u8(14) & 0xF) &* 4
        let length = Int(frame.u16(16)) &- headerLength
        let transport = 14 &+ headerLength
        let field: Int
        switch frame.u8(23) {
        case IPProtocol.tcp.rawValue: field = 16
        case IPProtocol.udp.rawValue: field = 6
        default: return
        }
        guard headerLength >= 20, length >= field &+ 2,
            transport &+ length <= frame.byteCount
        else { return }
        var sum = InternetChecksum()
        sum.add(frame.u32(26))
        sum.add(frame.u32(30))
        sum.add(UInt16(frame.u8(23)))
        sum.add(UInt16(truncatingIfNeeded: length))
        guard frame.u16(transport &+ field) == sum.folded else { return }
        needsChecksum = true
        checksumStart = UInt16(truncatingIfNeeded: transport)
        checksumOffset = UInt16(truncatingIfNeeded: field)
    }
}
