// The states and flags that the kernel shows: names and values are those of
// include/uapi/linux/netfilter/nf_conntrack_common.h and nf_conntrack_tcp.h.

import Wire

/// What rules see of a packet (`enum ip_conntrack_info` without the direction).
@frozen
public enum CTState: UInt8, Sendable, CaseIterable {
    case new, established, related, invalid, untracked
}

extension CTState: CustomStringConvertible {
    public var description: String {
        switch self {
        case .new: "NEW"
        case .established: "ESTABLISHED"
        case .related: "RELATED"
        case .invalid: "INVALID"
        case .untracked: "UNTRACKED"
        }
    }
}

/// `enum ip_conntrack_status`; the values are the kernel's.
@frozen
public struct ConnectionStatus: OptionSet, Hashable, Sendable {
    public var rawValue: UInt32
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }
    /// It was expected by a helper. Sluice has no helpers: never set, kept for the text.
    @inlinable public static var expected: Self { Self(rawValue: 1 << 0) }
    @inlinable public static var seenReply: Self { Self(rawValue: 1 << 1) }
    /// Not to be dropped early.
    @inlinable public static var assured: Self { Self(rawValue: 1 << 2) }
    /// In the hash tables.
    @inlinable public static var confirmed: Self { Self(rawValue: 1 << 3) }
    @inlinable public static var sourceNAT: Self { Self(rawValue: 1 << 4) }
    @inlinable public static var destinationNAT: Self { Self(rawValue: 1 << 5) }
    /// A binding, perhaps a null one, was made.
    @inlinable public static var sourceNATDone: Self { Self(rawValue: 1 << 7) }
    @inlinable public static var destinationNATDone: Self { Self(rawValue: 1 << 8) }
    /// Out of the hash tables; the packet in hand may still use it.
    @inlinable public static var dying: Self { Self(rawValue: 1 << 9) }

    @inlinable public static var anyNAT: Self { [.sourceNAT, .destinationNAT] }
}

/// `enum tcp_conntrack`; the values are the kernel's.
@frozen
public enum TCPState: UInt8, Sendable, CaseIterable {
    case none
    /// A SYN was seen.
    case synSent
    /// A SYN/ACK was seen.
    case synRecv
    /// An ACK was seen.
    case established
    /// A FIN was seen.
    case finWait
    /// An ACK was seen after a FIN.
    case closeWait
    /// A FIN was seen after a FIN.
    case lastAck
    /// The last ACK was seen.
    case timeWait
    /// A RST was seen.
    case close
    /// A SYN was seen from the other end too: simultaneous open.
    case synSent2
}

extension TCPState: CustomStringConvertible {
    public var description: String {
        switch self {
        case .none: "NONE"
        case .synSent: "SYN_SENT"
        case .synRecv: "SYN_RECV"
        case .established: "ESTABLISHED"
        case .finWait: "FIN_WAIT"
        case .closeWait: "CLOSE_WAIT"
        case .lastAck: "LAST_ACK"
        case .timeWait: "TIME_WAIT"
        case .close: "CLOSE"
        case .synSent2: "SYN_SENT2"
        }
    }
}
