// Header rewriting with checksums kept in step. The view and the bytes change together.
//
// A *partial* transport checksum (OffloadHeader.needsChecksum) holds the uncomplemented pseudo-header
// sum: an address change updates it as such, a port change does not touch it, because the ports lie in
// the part that is still to be summed.

/// Which end of a packet a translation changes.
@frozen
public enum PacketEnd: UInt8, Sendable {
    case source, destination
}

/// Both ends of a TCP or UDP packet.
@frozen
public struct PacketEnds: Hashable, Sendable {
    public var source: IPv4Address
    public var destination: IPv4Address
    public var sourcePort: Port
    public var destinationPort: Port

    @inlinable
    public init(
        source: IPv4Address, destination: IPv4Address, sourcePort: Port, destinationPort: Port
    ) {
        self.source = source
        self.destination = destination
        self.sourcePort = sourcePort
        self.destinationPort = destinationPort
    }
}

extension MutableRawSpan {
    /// Replaces an address in the IPv4 header and corrects the header's and the transport's checksum.
    @inlinable
    public mutating func rewriteAddress(
        _ end: PacketEnd, to new: IPv4Address, in view: inout PacketView, partialChecksum: Bool
    ) {
        let old = end == .source ? view.source : view.destination
        guard old != new else { return }
        var delta = ChecksumDelta()
        delta.replace(old.rawValue, by: new.rawValue)
        let n = view.networkOffset
        set(new.rawValue, at: n &+ (end == .source ? 12 : 16))
        set(delta.applied(to: u16(n &+ 10)), at: n &+ 10)
        if end == .source { view.source = new } else { view.destination = new }
        updateTransportChecksum(delta, in: view, partial: partialChecksum, pseudoHeaderOnly: true)
    }

    /// Replaces a TCP or UDP port, or an ICMP echo identifier (either end), and corrects the checksum.
    @inlinable
    public mutating func rewritePort(
        _ end: PacketEnd, to new: Port, in view: inout PacketView, partialChecksum: Bool
    ) {
        var delta = ChecksumDelta()
        let t = view.transportOffset
        switch view.transport {
        case .tcp, .udp:
            let old = end == .source ? view.sourcePort : view.destinationPort
            guard old != new else { return }
            delta.replace(old.rawValue, by: new.rawValue)
            set(new.rawValue, at: end == .source ? t : t &+ 2)
            if end == .source { view.sourcePort = new } else { view.destinationPort = new }
        case .icmp:
            guard view.icmpIdentifier != new.rawValue else { return }
            delta.replace(view.icmpIdentifier, by: new.rawValue)
            set(new.rawValue, at: t &+ 4)
            view.icmpIdentifier = new.rawValue
        case .other, .fragment, .truncated:
            return
        }
        updateTransportChecksum(delta, in: view, partial: partialChecksum, pseudoHeaderOnly: false)
    }

    /// Decrements the time to live (RFC 1812, 5.3.1) and corrects the header checksum.
    /// - Precondition: the time to live is not 0.
    @inlinable
    public mutating func decrementTimeToLive(in view: inout PacketView) {
        let n = view.networkOffset
        let old = UInt16(view.timeToLive) << 8 | UInt16(view.protocol.rawValue)
        view.timeToLive &-= 1
        var delta = ChecksumDelta()
        delta.replace(old, by: old &- 0x100)
        set(view.timeToLive, at: n &+ 8)
        set(delta.applied(to: u16(n &+ 10)), at: n &+ 10)
    }

    /// Applies `delta` to the transport checksum, as far as the packet has one.
    ///
    /// UDP's zero means "none" and stays (RFC 768); a computed zero is sent as 0xFFFF.
    /// ICMP has no pseudo-header.
    @inlinable
    public mutating func updateTransportChecksum(
        _ delta: ChecksumDelta, in view: PacketView, partial: Bool, pseudoHeaderOnly: Bool
    ) {
        let field: Int
        switch view.transport {
        case .tcp: field = view.transportOffset &+ 16
        case .udp: field = view.transportOffset &+ 6
        case .icmp where !pseudoHeaderOnly: field = view.transportOffset &+ 2
        default: return
        }
        // A quoted packet may end before its checksum field.
        guard field &+ 2 <= view.end else { return }
        let old = u16(field)
        if view.transport == .udp, old == 0, !partial { return }
        if partial {
            if pseudoHeaderOnly { set(delta.applied(toPartial: old), at: field) }
            return
        }
        let new = delta.applied(to: old)
        set(view.transport == .udp && new == 0 ? 0xFFFF : new, at: field)
    }
}
