// What parsing an IPv4 packet found: offsets and the fields that every later step reads.
// `PacketView.parse` promises that the offsets it returns lie within the bytes; fields of a transport
// header that is truncated or belongs to a later fragment are zero and `transport` says so.

/// What stands behind the IPv4 header.
@frozen
public enum TransportKind: UInt8, Sendable {
    case tcp, udp, icmp
    /// A protocol without a parser here.
    case other
    /// Not the first fragment: there is no transport header.
    case fragment
    /// The transport header does not fit into the packet.
    case truncated
}

/// TCP's flag byte (RFC 9293, 3.1).
@frozen
public struct TCPFlags: OptionSet, Hashable, Sendable {
    public var rawValue: UInt8
    @inlinable public init(rawValue: UInt8) { self.rawValue = rawValue }
    @inlinable public static var fin: Self { Self(rawValue: 0x01) }
    @inlinable public static var syn: Self { Self(rawValue: 0x02) }
    @inlinable public static var rst: Self { Self(rawValue: 0x04) }
    @inlinable public static var psh: Self { Self(rawValue: 0x08) }
    @inlinable public static var ack: Self { Self(rawValue: 0x10) }
    @inlinable public static var urg: Self { Self(rawValue: 0x20) }
    @inlinable public static var ece: Self { Self(rawValue: 0x40) }
    @inlinable public static var cwr: Self { Self(rawValue: 0x80) }
}

/// A parsed IPv4 packet inside a frame: plain values, kept in step with the bytes by `rewrite…`.
@frozen
public struct PacketView: Hashable, Sendable {
    /// Offset of the IPv4 header in the frame.
    public var networkOffset: Int
    /// IPv4 header length in bytes, options included (20...60).
    public var headerLength: Int
    /// IPv4 total length in bytes; bytes of the frame past it are link-layer padding.
    public var totalLength: Int
    public var typeOfService: UInt8
    public var identification: UInt16
    /// Flags and fragment offset as on the wire.
    public var fragmentField: UInt16
    public var timeToLive: UInt8
    public var `protocol`: IPProtocol
    public var source: IPv4Address
    public var destination: IPv4Address

    public var transport: TransportKind
    /// TCP and UDP; zero otherwise.
    public var sourcePort: Port
    public var destinationPort: Port
    /// TCP only.
    public var tcpFlags: TCPFlags
    /// TCP header length in bytes as the header claims it. Not judged here, as the kernel's port match
    /// does not judge it either: whoever reads options or payload checks 20...`transportLength` first.
    public var tcpHeaderLength: Int
    /// ICMP only.
    public var icmpType: UInt8
    public var icmpCode: UInt8
    public var icmpIdentifier: UInt16

    /// Offset of the transport header in the frame.
    @inlinable public var transportOffset: Int { networkOffset &+ headerLength }
    /// Offset of the first byte past the IP packet in the frame.
    @inlinable public var end: Int { networkOffset &+ totalLength }
    /// Bytes behind the IPv4 header.
    @inlinable public var transportLength: Int { totalLength &- headerLength }
    @inlinable public var dontFragment: Bool { fragmentField & 0x4000 != 0 }
    @inlinable public var moreFragments: Bool { fragmentField & 0x2000 != 0 }
    /// In bytes.
    @inlinable public var fragmentOffset: Int { Int(fragmentField & 0x1FFF) &* 8 }
    @inlinable public var isFragment: Bool { fragmentField & 0x3FFF != 0 }
    @inlinable public var hasOptions: Bool { headerLength > 20 }
}

/// The outcome of parsing.
@frozen
public enum ParseResult: Sendable {
    case packet(PacketView)
    case malformed(DropReason)
}

extension PacketView {
    /// Parses the IPv4 packet at `networkOffset` (14 behind an Ethernet header).
    ///
    /// Refuses what `ip_rcv_core` (net/ipv4/ip_input.c) refuses: a version other than 4, a header
    /// under 20 bytes, a wrong header checksum, a total length beyond the frame or under the header.
    @inlinable
    public static func parse(_ bytes: RawSpan, networkOffset n: Int = 14) -> ParseResult {
        let available = bytes.byteCount &- n
        guard available >= 20 else { return .malformed(.frameTooShort) }
        let first = bytes.u8(n)
        guard first >> 4 == 4 else { return .malformed(.badVersion) }
        let headerLength = Int(first & 15) &* 4
        guard headerLength >= 20, headerLength <= available else {
            return .malformed(.badHeaderLength)
        }
        guard InternetChecksum.fold(bytes.nativeSum(n..<(n &+ headerLength))) == 0xFFFF else {
            return .malformed(.badHeaderChecksum)
        }
        let totalLength = Int(bytes.u16(n &+ 2))
        guard totalLength >= headerLength, totalLength <= available else {
            return .malformed(.badTotalLength)
        }
        var view = PacketView(
            networkOffset: n, headerLength: headerLength, totalLength: totalLength,
            typeOfService: bytes.u8(n &+ 1), identification: bytes.u16(n &+ 4),
            fragmentField: bytes.u16(n &+ 6), timeToLive: bytes.u8(n &+ 8),
            protocol: IPProtocol(rawValue: bytes.u8(n &+ 9)),
            source: IPv4Address(rawValue: bytes.u32(n &+ 12)),
            destination: IPv4Address(rawValue: bytes.u32(n &+ 16)))
        view.parseTransport(bytes)
        return .packet(view)
    }

    @inlinable
    init(
        networkOffset: Int, headerLength: Int, totalLength: Int, typeOfService: UInt8,
        identification: UInt16, fragmentField: UInt16, timeToLive: UInt8,
        protocol: IPProtocol, source: IPv4Address, destination: IPv4Address
    ) {
        self.networkOffset = networkOffset
        self.headerLength = headerLength
        self.totalLength = totalLength
        self.typeOfService = typeOfService
        self.identification = identification
        self.fragmentField = fragmentField
        self.timeToLive = timeToLive
        self.protocol = `protocol`
        self.source = source
        self.destination = destination
        transport = .other
        sourcePort = Port(0)
        destinationPort = Port(0)
        tcpFlags = []
        tcpHeaderLength = 0
        icmpType = 0
        icmpCode = 0
        icmpIdentifier = 0
    }

    /// Parses a packet quoted by an ICMP error: cut short, so lengths and checksum are not judged
    /// (RFC 792; net/netfilter/nf_conntrack_proto_icmp.c). `nil` where not even what tells its connection
    /// is quoted: the IPv4 header and, behind it, the ports or ICMP's header.
    @inlinable
    public static func parseQuoted(_ bytes: RawSpan, networkOffset n: Int) -> PacketView? {
        let available = bytes.byteCount &- n
        guard available >= 20 else { return nil }
        let first = bytes.u8(n)
        let headerLength = Int(first & 15) &* 4
        let `protocol` = IPProtocol(rawValue: bytes.u8(n &+ 9))
        let needed: Int
        switch `protocol` {
        case .icmp: needed = 8
        case .tcp, .udp: needed = 4
        default: needed = 0
        }
        guard first >> 4 == 4, headerLength >= 20, headerLength &+ needed <= available else {
            return nil
        }
        var view = PacketView(
            networkOffset: n, headerLength: headerLength,
            totalLength: available, typeOfService: bytes.u8(n &+ 1),
            identification: bytes.u16(n &+ 4), fragmentField: bytes.u16(n &+ 6),
            timeToLive: bytes.u8(n &+ 8), protocol: `protocol`,
            source: IPv4Address(rawValue: bytes.u32(n &+ 12)),
            destination: IPv4Address(rawValue: bytes.u32(n &+ 16)))
        let t = view.transportOffset
        switch view.protocol {
        case .tcp, .udp:
            view.transport = view.protocol == .tcp ? .tcp : .udp
            view.sourcePort = Port(bytes.u16(t))
            view.destinationPort = Port(bytes.u16(t &+ 2))
        case .icmp:
            view.transport = .icmp
            view.icmpType = bytes.u8(t)
            view.icmpCode = bytes.u8(t &+ 1)
            view.icmpIdentifier = bytes.u16(t &+ 4)
        default: view.transport = .other
        }
        if view.fragmentOffset != 0 { view.transport = .fragment }
        return view
    }

    @usableFromInline
    mutating func parseTransport(_ bytes: RawSpan) {
        guard fragmentOffset == 0 else {
            transport = .fragment
            return
        }
        let t = transportOffset
        switch `protocol` {
        case .tcp:
            guard transportLength >= 20 else {
                transport = .truncated
                return
            }
            transport = .tcp
            sourcePort = Port(bytes.u16(t))
            destinationPort = Port(bytes.u16(t &+ 2))
            tcpHeaderLength = Int(bytes.u8(t &+ 12) >> 4) &* 4
            tcpFlags = TCPFlags(rawValue: bytes.u8(t &+ 13))
        case .udp:
            guard transportLength >= 8 else {
                transport = .truncated
                return
            }
            transport = .udp
            sourcePort = Port(bytes.u16(t))
            destinationPort = Port(bytes.u16(t &+ 2))
        case .icmp:
            guard transportLength >= 8 else {
                transport = .truncated
                return
            }
            transport = .icmp
            icmpType = bytes.u8(t)
            icmpCode = bytes.u8(t &+ 1)
            icmpIdentifier = bytes.u16(t &+ 4)
        default:
            transport = .other
        }
    }
}

extension PacketView {
    /// TCP's sequence number, acknowledgement number and window, read from the bytes on demand.
    @inlinable public func tcpSequence(_ bytes: RawSpan) -> SequenceNumber {
        SequenceNumber(bytes.u32(transportOffset &+ 4))
    }
    @inlinable public func tcpAcknowledgement(_ bytes: RawSpan) -> SequenceNumber {
        SequenceNumber(bytes.u32(transportOffset &+ 8))
    }
    @inlinable public func tcpWindow(_ bytes: RawSpan) -> UInt16 {
        bytes.u16(transportOffset &+ 14)
    }
}
