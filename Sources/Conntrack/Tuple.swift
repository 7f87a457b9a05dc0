// The key of a connection: what identifies a packet's flow in one direction
// (include/net/netfilter/nf_conntrack_tuple.h). Plain values; no table, no bytes kept.

import Wire

/// One direction of a connection.
///
/// TCP and UDP use both ports. ICMP keeps the identifier in `sourcePort` and type and code in
/// `destinationPort` (`type << 8 | code`), as `union nf_conntrack_man_proto` does. Other protocols
/// have no ports: both are zero.
@frozen
public struct Tuple: Hashable, Sendable {
    public var source: IPv4Address
    public var destination: IPv4Address
    public var sourcePort: Port
    public var destinationPort: Port
    public var `protocol`: IPProtocol

    @inlinable
    public init(
        source: IPv4Address, destination: IPv4Address, sourcePort: Port, destinationPort: Port,
        protocol: IPProtocol
    ) {
        self.source = source
        self.destination = destination
        self.sourcePort = sourcePort
        self.destinationPort = destinationPort
        self.protocol = `protocol`
    }

    @inlinable public var icmpType: UInt8 {
        UInt8(truncatingIfNeeded: destinationPort.rawValue >> 8)
    }
    @inlinable public var icmpCode: UInt8 { UInt8(truncatingIfNeeded: destinationPort.rawValue) }

    /// The tuple of the answer: ends exchanged, an ICMP query's type replaced by its answer's.
    ///
    /// Meaningful for an ICMP type that has a counterpart; others keep their type
    /// (see `isInvertible`).
    @inlinable public var reversed: Tuple {
        if `protocol` == .icmp {
            let type = ICMPQuery.counterpart(of: icmpType) ?? icmpType
            return Tuple(
                source: destination, destination: source, sourcePort: sourcePort,
                destinationPort: Port(UInt16(type) << 8 | UInt16(icmpCode)), protocol: .icmp)
        }
        return Tuple(
            source: destination, destination: source, sourcePort: destinationPort,
            destinationPort: sourcePort, protocol: `protocol`)
    }

    /// Whether an answer to this tuple exists (`nf_conntrack_invert_icmp_tuple` refuses the rest).
    @inlinable public var isInvertible: Bool {
        `protocol` != .icmp || ICMPQuery.counterpart(of: icmpType) != nil
    }
}

/// ICMP's queries and answers (RFC 792, RFC 950), and which of them may open a connection.
@frozen
public enum ICMPQuery {
    /// The answer's type of a query and the query's of an answer.
    @inlinable
    public static func counterpart(of type: UInt8) -> UInt8? {
        switch type {
        case 0: 8
        case 8: 0
        case 13: 14
        case 14: 13
        case 15: 16
        case 16: 15
        case 17: 18
        case 18: 17
        default: nil
        }
    }

    /// Echo, timestamp, information and address mask requests.
    @inlinable
    public static func opensConnection(_ type: UInt8) -> Bool {
        type == 8 || type == 13 || type == 15 || type == 17
    }

    @inlinable static var redirect: UInt8 { 5 }

    /// Types that quote the packet they complain about (`icmp_is_err`).
    @inlinable
    public static func isError(_ type: UInt8) -> Bool {
        switch type {
        case 3, 4, 5, 11, 12: true
        default: false
        }
    }
}

extension Tuple {
    @inlinable
    public init(_ packet: PlainPacket) {
        self.init(
            source: packet.source, destination: packet.destination, sourcePort: packet.sourcePort,
            destinationPort: packet.destinationPort, protocol: packet.protocol)
    }

    /// The tuple of a packet, or `nil` where it has no transport header to read one from.
    @inlinable
    public init?(_ view: PacketView) {
        switch view.transport {
        case .tcp, .udp:
            self.init(
                source: view.source, destination: view.destination, sourcePort: view.sourcePort,
                destinationPort: view.destinationPort, protocol: view.protocol)
        case .icmp:
            self.init(
                source: view.source, destination: view.destination,
                sourcePort: Port(view.icmpIdentifier),
                destinationPort: Port(UInt16(view.icmpType) << 8 | UInt16(view.icmpCode)),
                protocol: .icmp)
        case .other:
            self.init(
                source: view.source, destination: view.destination, sourcePort: Port(0),
                destinationPort: Port(0), protocol: view.protocol)
        case .fragment, .truncated:
            return nil
        }
    }
}

/// Which of a connection's two tuples a packet matches.
@frozen
public enum Direction: UInt8, Sendable {
    /// As the first packet.
    case original
    case reply

    @inlinable public var opposite: Direction { self == .original ? .reply : .original }
}
