// What nearly every packet is, and what lies where in it: small enough to stay in registers. Whoever finds a
// frame to be none of these parses it (PacketView), which says what it is instead.

/// A whole TCP segment or UDP datagram in an Ethernet frame: IPv4 without options, no fragment, header checksum
/// right, the transport header's own length possible; a segment neither opens nor ends anything (ACK is set; SYN,
/// FIN, RST and URG are not; RFC 9293, 3.1).
///
/// Its transport checksum is not judged here.
@frozen
public struct PlainPacket: Hashable, Sendable {
    public let source: IPv4Address
    public let destination: IPv4Address
    public let sourcePort: Port
    public let destinationPort: Port
    /// IPv4 total length in bytes; the frame may be longer.
    public let totalLength: UInt16
    public let typeOfService: UInt8
    /// As it arrived.
    public let timeToLive: UInt8
    /// TCP or UDP.
    public let `protocol`: IPProtocol
    /// Of TCP or UDP, in bytes.
    public let transportHeaderLength: UInt8

    /// Bytes behind the IPv4 header.
    @inlinable public var transportLength: Int { Int(totalLength) &- 20 }
    /// Offset of the first byte past the packet in the frame.
    @inlinable public var end: Int { 14 &+ Int(totalLength) }
    @inlinable public var ends: PacketEnds {
        PacketEnds(
            source: source, destination: destination, sourcePort: sourcePort,
            destinationPort: destinationPort)
    }

    @usableFromInline static let judgedFlags: UInt8 = 0b11_0111
    @usableFromInline static let acknowledgement: UInt8 = 0b1_0000

    /// `nil` where the frame is anything else, or there is any doubt. Ethernet's header is not looked at.
    @inlinable @inline(__always)
    public init?(_ frame: RawSpan) {
        guard frame.byteCount >= 42, frame.u8(14) == 0x45, frame.u16(20) & 0x3FFF == 0,
            InternetChecksum.fold(frame.nativeSum(14..<34)) == 0xFFFF
        else { return nil }
        totalLength = frame.u16(16)
        `protocol` = IPProtocol(rawValue: frame.u8(23))
        let end = 14 &+ Int(totalLength)
        guard end <= frame.byteCount else { return nil }
        if `protocol` == .tcp {
            guard end >= 54, frame.u8(47) & Self.judgedFlags == Self.acknowledgement else {
                return nil
            }
            transportHeaderLength = (frame.u8(46) >> 4) &* 4
            guard transportHeaderLength >= 20, 34 &+ Int(transportHeaderLength) <= end else {
                return nil
            }
        } else {
            guard `protocol` == .udp, end >= 42 else { return nil }
            let length = frame.u16(38)
            guard length >= 8, 34 &+ Int(length) <= end else { return nil }
            transportHeaderLength = 8
        }
        source = IPv4Address(rawValue: frame.u32(26))
        destination = IPv4Address(rawValue: frame.u32(30))
        sourcePort = Port(frame.u16(34))
        destinationPort = Port(frame.u16(36))
        typeOfService = frame.u8(15)
        timeToLive = frame.u8(22)
    }

    /// Whether the transport checksum is right, or UDP's sender made none (RFC 768).
    @inlinable @inline(__always)
    public func transportChecksumIsRight(_ frame: RawSpan) -> Bool {
        if `protocol` == .udp, frame.u16(40) == 0 { return true }
        // The addresses of the pseudo-header stand just before the transport header.
        var sum = InternetChecksum(native: frame.nativeSum(26..<end))
        sum.add(UInt16(`protocol`.rawValue))
        sum.add(UInt16(truncatingIfNeeded: transportLength))
        return sum.folded == 0xFFFF
    }
}

extension MutableRawSpan {
    /// Gives a packet both of its ends anew and decrements its time to live, each checksum corrected once. The
    /// bytes are those that the single steps make (`rewriteAddress`, `rewritePort`, `decrementTimeToLive`).
    /// - Precondition: `packet` is this frame's, and its time to live is not 0.
    @inlinable @inline(__always)
    public mutating func rewriteAndForward(
        _ packet: PlainPacket, to ends: PacketEnds, partialChecksum: Bool
    ) {
        precondition(byteCount >= 42, "a plain packet has a transport header")
        var addresses = ChecksumDelta()
        var ports = ChecksumDelta()
        if packet.source != ends.source {
            addresses.replace(packet.source.rawValue, by: ends.source.rawValue)
            set(ends.source.rawValue, at: 26)
        }
        if packet.destination != ends.destination {
            addresses.replace(packet.destination.rawValue, by: ends.destination.rawValue)
            set(ends.destination.rawValue, at: 30)
        }
        if packet.sourcePort != ends.sourcePort {
            ports.replace(packet.sourcePort.rawValue, by: ends.sourcePort.rawValue)
            set(ends.sourcePort.rawValue, at: 34)
        }
        if packet.destinationPort != ends.destinationPort {
            ports.replace(packet.destinationPort.rawValue, by: ends.destinationPort.rawValue)
            set(ends.destinationPort.rawValue, at: 36)
        }
        let old = UInt16(packet.timeToLive) << 8 | UInt16(packet.protocol.rawValue)
        var header = addresses
        header.replace(old, by: old &- 0x100)
        set(packet.timeToLive &- 1, at: 22)
        set(header.applied(to: u16(24)), at: 24)
        // A partial checksum does not hold the ports yet.
        if !partialChecksum { ports.add(addresses) }
        correct(packet, by: partialChecksum ? addresses : ports, isPartial: partialChecksum)
    }

    /// The transport checksum.
    @inlinable @inline(__always)
    mutating func correct(_ packet: PlainPacket, by delta: ChecksumDelta, isPartial: Bool) {
        guard !delta.isEmpty else { return }
        let isUDP = packet.protocol == .udp
        let field = isUDP ? 40 : 50
        let old = u16(field)
        if isPartial {
            set(delta.applied(toPartial: old), at: field)
        } else if !isUDP || old != 0 {
            // UDP's zero means "none" and stays; a computed zero is sent as 0xFFFF (RFC 768).
            let new = delta.applied(to: old)
            set(isUDP && new == 0 ? 0xFFFF : new, at: field)
        }
    }
}
