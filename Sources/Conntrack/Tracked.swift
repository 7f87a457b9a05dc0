// What tracking says about one packet.

import Wire

/// A handle on an entry. An old handle on a slot that was used again is recognised as stale.
@frozen
public struct ConnectionID: Hashable, Sendable {
    public var index: UInt32
    public var generation: UInt32
    @inlinable
    public init(index: UInt32, generation: UInt32) {
        self.index = index
        self.generation = generation
    }
}

/// The verdict of connection tracking on one packet (`skb->_nfct`).
@frozen
public struct Tracked: Hashable, Sendable {
    public var state: CTState
    /// The connection it belongs to, or that an ICMP error is about; `nil` for INVALID and UNTRACKED.
    public var connection: ConnectionID?
    /// Meaningful where there is a connection.
    public var direction: Direction
    /// The packet made an entry, which is not in the table before `confirm`.
    public var created: Bool
    /// Tracking itself drops the packet.
    public var drop: DropReason?
    /// Why the state is INVALID.
    public var invalidReason: InvalidReason?

    @inlinable
    public init(
        state: CTState, connection: ConnectionID? = nil, direction: Direction = .original,
        created: Bool = false, drop: DropReason? = nil, invalidReason: InvalidReason? = nil
    ) {
        self.state = state
        self.connection = connection
        self.direction = direction
        self.created = created
        self.drop = drop
        self.invalidReason = invalidReason
    }

    @inlinable public static var untracked: Tracked { Tracked(state: .untracked) }
    @inlinable
    public static func invalid(_ reason: InvalidReason) -> Tracked {
        Tracked(state: .invalid, invalidReason: reason)
    }
}

/// Why a packet is INVALID: the predicate that failed, named for the trace.
@frozen
public enum InvalidReason: UInt8, Sendable, CaseIterable {
    case fragment
    case truncatedHeader
    case badChecksum
    case badUDPLength
    case badTCPFlags
    case unknownICMPType
    case icmpWithoutQuery
    case icmpCannotOpen
    case icmpQuotesNothing
    case icmpQuotesUnknown
    case icmpQuoteMisdirected
    case tcpCannotOpen
    case tcpNotLoose
    case tcpStateForbids
    case tcpSequenceAboveWindow
    case tcpAcknowledgesUnseen
    case tcpResetOutOfSequence
}

extension InvalidReason: CustomStringConvertible {
    public var description: String {
        switch self {
        case .fragment: "a later fragment has no transport header"
        case .truncatedHeader: "the transport header is truncated"
        case .badChecksum: "the transport checksum is wrong"
        case .badUDPLength: "the UDP length does not fit the packet"
        case .badTCPFlags: "the TCP flags are an impossible combination"
        case .unknownICMPType: "the ICMP type is unknown"
        case .icmpWithoutQuery: "this ICMP type neither asks nor answers"
        case .icmpCannotOpen: "an ICMP answer without its query"
        case .icmpQuotesNothing: "the ICMP error quotes too little"
        case .icmpQuotesUnknown: "the ICMP error quotes no known connection"
        case .icmpQuoteMisdirected: "the ICMP error is not sent to the quoted packet's sender"
        case .tcpCannotOpen: "these TCP flags cannot open a connection"
        case .tcpNotLoose: "mid-stream pickup is off (nf_conntrack_tcp_loose)"
        case .tcpStateForbids: "these TCP flags are impossible in the connection's state"
        case .tcpSequenceAboveWindow: "the sequence number is over the receiver's window"
        case .tcpAcknowledgesUnseen: "it acknowledges data not seen yet"
        case .tcpResetOutOfSequence: "the RST's sequence number was already acknowledged"
        }
    }
}
