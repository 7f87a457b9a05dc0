// The packets with which the node itself answers one that it does not carry: ICMP errors (RFC 792,
// RFC 1812 4.3.2; `__icmp_send` in net/ipv4/icmp.c) and TCP resets (net/ipv4/netfilter/nf_reject_ipv4.c).
// This file says what an answer is and when none may be given. It does not route or rate-limit.

import Wire

/// An ICMP error: type, code and the second word of its header (an MTU, a gateway, or zero).
@frozen
public struct ICMPError: Hashable, Sendable {
    public var type: UInt8
    public var code: UInt8
    public var rest: UInt32

    @inlinable
    public init(type: UInt8, code: UInt8, rest: UInt32 = 0) {
        self.type = type
        self.code = code
        self.rest = rest
    }

    @inlinable public static var netUnreachable: Self { Self(type: 3, code: 0) }
    @inlinable public static var hostUnreachable: Self { Self(type: 3, code: 1) }
    @inlinable public static var protocolUnreachable: Self { Self(type: 3, code: 2) }
    @inlinable public static var portUnreachable: Self { Self(type: 3, code: 3) }
    /// RFC 1191, 4: the next hop's MTU in the low half of the second word.
    @inlinable public static func fragmentationNeeded(mtu: Int) -> Self {
        Self(type: 3, code: 4, rest: UInt32(truncatingIfNeeded: mtu) & 0xFFFF)
    }
    @inlinable public static var netProhibited: Self { Self(type: 3, code: 9) }
    @inlinable public static var hostProhibited: Self { Self(type: 3, code: 10) }
    @inlinable public static var administrativelyProhibited: Self { Self(type: 3, code: 13) }
    @inlinable public static func redirectHost(gateway: IPv4Address) -> Self {
        Self(type: 5, code: 1, rest: gateway.rawValue)
    }
    @inlinable public static var timeExceeded: Self { Self(type: 11, code: 0) }
    @inlinable public static var reassemblyTimeExceeded: Self { Self(type: 11, code: 1) }
}

/// What the answer builders need to know of the packet besides its bytes.
@frozen
public struct AnsweredPacket: Sendable {
    public var view: PacketView
    /// The frame was addressed to a group MAC, or the route is to a broadcast or multicast address.
    public var isGroup: Bool
    /// The transport checksum is partial or already verified: it counts as good.
    public var checksumTrusted: Bool

    @inlinable
    public init(view: PacketView, isGroup: Bool, checksumTrusted: Bool) {
        self.view = view
        self.isGroup = isGroup
        self.checksumTrusted = checksumTrusted
    }
}

extension AnsweredPacket {
    /// Whether an ICMP error may be sent about this packet: not about later fragments, not about
    /// groups, not about ICMP errors or unknown ICMP types, not to a source that is no single host
    /// (RFC 1122, 3.2.2; RFC 1812, 4.3.2.7).
    public func mayDrawError(_ bytes: RawSpan) -> Bool {
        guard !isGroup, view.fragmentOffset == 0, Self.isSingleHost(view.source) else {
            return false
        }
        guard view.protocol == .icmp else { return true }
        guard view.transportLength >= 1 else { return false }
        return Self.isQuery(icmpType: bytes.u8(view.transportOffset))
    }

    /// Whether REJECT may answer at all: `nf_send_unreach` stays silent where the transport checksum
    /// is wrong.
    public func mayBeRejected(_ bytes: RawSpan) -> Bool {
        view.fragmentOffset == 0 && (checksumTrusted || hasGoodTransportChecksum(bytes))
    }

    /// Whether a reset may answer: TCP, first or only fragment, complete header, no reset itself,
    /// a good checksum (`nf_reject_ip_tcphdr_get`). The data offset is not judged.
    public func mayDrawReset(_ bytes: RawSpan) -> Bool {
        guard !isGroup, view.protocol == .tcp, view.fragmentOffset == 0,
            view.transportLength >= 20
        else { return false }
        let flags = TCPFlags(rawValue: bytes.u8(view.transportOffset + 13))
        return !flags.contains(.rst) && (checksumTrusted || hasGoodTransportChecksum(bytes))
    }

    /// `nf_ip_checksum`: TCP and UDP with the pseudo-header; every other protocol as a plain sum over
    /// the payload, unless it has no such checksum (`nf_reject_verify_csum`; measured: Linux 6.18 sums over DCCP).
    private func hasGoodTransportChecksum(_ bytes: RawSpan) -> Bool {
        var sum = InternetChecksum()
        switch view.protocol {
        case .gre, .sctp, .udplite, IPProtocol(rawValue: 50), IPProtocol(rawValue: 51):
            return true
        case .udp:
            guard view.transportLength >= 8 else { return false }
            if bytes.u16(view.transportOffset + 6) == 0 { return true }
            fallthrough
        case .tcp:
            sum.addPseudoHeader(
                source: view.source, destination: view.destination, protocol: view.protocol,
                length: view.transportLength)
        default: break
        }
        sum.add(bytes, view.transportOffset..<view.end)
        // Over nothing the sum is 0; the kernel's begins at the IP header, whose own is 0xFFFF.
        return sum.folded == 0xFFFF || sum.folded == 0
    }

    private static func isSingleHost(_ address: IPv4Address) -> Bool {
        address != .any && !address.isMulticast && !address.isLimitedBroadcast
    }

    /// Echo, timestamp, information and address mask, and their replies; every other type, also an
    /// unknown one, counts as an error (net/ipv4/icmp.c, `icmp_pointers`).
    private static func isQuery(icmpType: UInt8) -> Bool {
        switch icmpType {
        case 0, 8, 13, 14, 15, 16, 17, 18: true
        default: false
        }
    }
}
