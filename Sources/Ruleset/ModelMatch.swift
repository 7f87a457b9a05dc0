// The matches that a rule may hold, as plain values. How each is typed and printed stands in
// `Extensions/`, one file per match; how each is evaluated stands with the compiled snapshot.

import Wire

public enum Match: Hashable, Sendable {
    case tcp(TCPMatch)
    case udp(UDPMatch)
    case icmp(ICMPMatch)
    case multiport(MultiportMatch)
    case comment(String)
    case conntrack(ConntrackMatch)
    /// `-m state`, the older spelling of `-m conntrack --ctstate`.
    case state(Invertible<ConnectionStates>)
    case statistic(StatisticMatch)
    case mark(Invertible<MarkTest>)
    case addrtype(AddrtypeMatch)
    case stateless(StatelessMatch)
    case limit(LimitMatch)
    case connmark(Invertible<MarkTest>)
    case connlimit(ConnlimitMatch)
    case recent(RecentMatch)
    case hashlimit(HashlimitMatch)
}

/// `--tcp-flags MASK COMPARE`: of the flags in `mask`, exactly those in `compare` are set.
public struct TCPFlagsTest: Hashable, Sendable {
    public var mask: TCPFlags
    public var compare: TCPFlags
    public init(mask: TCPFlags, compare: TCPFlags) {
        self.mask = mask
        self.compare = compare
    }
    /// `--syn`.
    public static let syn = TCPFlagsTest(mask: [.fin, .syn, .rst, .ack], compare: .syn)
}

/// `-m tcp`; a test that is `nil` was not asked for.
public struct TCPMatch: Hashable, Sendable {
    public var sourcePorts: Invertible<PortRange>?
    public var destinationPorts: Invertible<PortRange>?
    public var flags: Invertible<TCPFlagsTest>?
    /// `--tcp-option N`: the option is present in the header.
    public var option: Invertible<UInt8>?

    public init(
        sourcePorts: Invertible<PortRange>? = nil, destinationPorts: Invertible<PortRange>? = nil,
        flags: Invertible<TCPFlagsTest>? = nil, option: Invertible<UInt8>? = nil
    ) {
        self.sourcePorts = sourcePorts
        self.destinationPorts = destinationPorts
        self.flags = flags
        self.option = option
    }
}

/// `-m udp`.
public struct UDPMatch: Hashable, Sendable {
    public var sourcePorts: Invertible<PortRange>?
    public var destinationPorts: Invertible<PortRange>?

    public init(
        sourcePorts: Invertible<PortRange>? = nil, destinationPorts: Invertible<PortRange>? = nil
    ) {
        self.sourcePorts = sourcePorts
        self.destinationPorts = destinationPorts
    }
}

/// `-m icmp --icmp-type`: a type and a range of codes (`0...255` where no code was named). Type 255
/// stands for any type, as in the kernel.
public struct ICMPMatch: Hashable, Sendable {
    public static let anyType: UInt8 = 255
    public var type: UInt8
    public var codes: ClosedRange<UInt8>
    public var inverted: Bool

    public init(type: UInt8, codes: ClosedRange<UInt8> = 0...255, inverted: Bool = false) {
        self.type = type
        self.codes = codes
        self.inverted = inverted
    }
}

/// `-m multiport`: one of up to 15 ports, where a range takes two places.
public struct MultiportMatch: Hashable, Sendable {
    public enum Side: Hashable, Sendable { case source, destination, either }
    public var side: Side
    public var ports: [PortRange]
    public var inverted: Bool

    public init(side: Side, ports: [PortRange], inverted: Bool = false) {
        self.side = side
        self.ports = ports
        self.inverted = inverted
    }
}

/// What a rule may ask about the connection of a packet.
public struct ConnectionStates: OptionSet, Hashable, Sendable {
    public var rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    public static let invalid = ConnectionStates(rawValue: 1 << 0)
    public static let new = ConnectionStates(rawValue: 1 << 1)
    public static let related = ConnectionStates(rawValue: 1 << 2)
    public static let established = ConnectionStates(rawValue: 1 << 3)
    public static let untracked = ConnectionStates(rawValue: 1 << 4)
    /// The reply's destination differs from the original source.
    public static let snat = ConnectionStates(rawValue: 1 << 5)
    /// The reply's source differs from the original destination.
    public static let dnat = ConnectionStates(rawValue: 1 << 6)
}

/// `--ctstatus`; the empty set is NONE.
public struct ConnectionStatuses: OptionSet, Hashable, Sendable {
    public var rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    public static let expected = ConnectionStatuses(rawValue: 1 << 0)
    public static let seenReply = ConnectionStatuses(rawValue: 1 << 1)
    public static let assured = ConnectionStatuses(rawValue: 1 << 2)
    public static let confirmed = ConnectionStatuses(rawValue: 1 << 3)
}

/// `--ctdir`.
public enum ConnectionDirection: Hashable, Sendable { case original, reply }

/// `-m conntrack`; every test is optional, and all that are present must hold.
public struct ConntrackMatch: Hashable, Sendable {
    public var states: Invertible<ConnectionStates>?
    public var `protocol`: Invertible<IPProtocol>?
    public var originalSource: AddressMatch?
    public var originalDestination: AddressMatch?
    public var replySource: AddressMatch?
    public var replyDestination: AddressMatch?
    public var originalSourcePorts: Invertible<PortRange>?
    public var originalDestinationPorts: Invertible<PortRange>?
    public var replySourcePorts: Invertible<PortRange>?
    public var replyDestinationPorts: Invertible<PortRange>?
    public var statuses: Invertible<ConnectionStatuses>?
    /// Seconds until the entry expires.
    public var expires: Invertible<ClosedRange<UInt32>>?
    public var direction: ConnectionDirection?

    public init() {}
}

/// `-m statistic`.
public struct StatisticMatch: Hashable, Sendable {
    public enum Mode: Hashable, Sendable {
        /// A 31-bit random number is below `probability` (2³¹ is always).
        case random(probability: UInt32)
        /// Of every `every` packets, the one numbered `packet`, counting from 0.
        case nth(every: UInt32, packet: UInt32)
    }
    public var mode: Mode
    public var inverted: Bool

    public init(_ mode: Mode, inverted: Bool = false) {
        self.mode = mode
        self.inverted = inverted
    }
}

/// `--mark V/M`: (mark & mask) == value.
public struct MarkTest: Hashable, Sendable {
    public var value: UInt32
    public var mask: UInt32
    public init(value: UInt32, mask: UInt32 = .max) {
        self.value = value
        self.mask = mask
    }
}

/// A set of route types (RTN_* of rtnetlink; bit N is type N).
public struct AddressTypes: OptionSet, Hashable, Sendable {
    public var rawValue: UInt16
    public init(rawValue: UInt16) { self.rawValue = rawValue }
    public static let unspecified = AddressTypes(rawValue: 1 << 0)
    public static let unicast = AddressTypes(rawValue: 1 << 1)
    public static let local = AddressTypes(rawValue: 1 << 2)
    public static let broadcast = AddressTypes(rawValue: 1 << 3)
    public static let anycast = AddressTypes(rawValue: 1 << 4)
    public static let multicast = AddressTypes(rawValue: 1 << 5)
    public static let blackhole = AddressTypes(rawValue: 1 << 6)
    public static let unreachable = AddressTypes(rawValue: 1 << 7)
    public static let prohibit = AddressTypes(rawValue: 1 << 8)
    public static let `throw` = AddressTypes(rawValue: 1 << 9)
    public static let nat = AddressTypes(rawValue: 1 << 10)
    public static let xresolve = AddressTypes(rawValue: 1 << 11)
}

/// `-m addrtype`.
public struct AddrtypeMatch: Hashable, Sendable {
    public enum Limit: Hashable, Sendable { case inInterface, outInterface }
    public var source: Invertible<AddressTypes>?
    public var destination: Invertible<AddressTypes>?
    /// Only addresses and routes of that interface count.
    public var limit: Limit?

    public init(
        source: Invertible<AddressTypes>? = nil, destination: Invertible<AddressTypes>? = nil,
        limit: Limit? = nil
    ) {
        self.source = source
        self.destination = destination
        self.limit = limit
    }
}
