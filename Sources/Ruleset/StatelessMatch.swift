// The matches that keep nothing from one packet to the next: each looks at the packet, at where it came
// from or at the routes, as plain values. How each is typed and printed stands in `Extensions/`; how it
// is evaluated, in `Hooks`. Nothing here holds a reference, so that a packet may copy any of it.

import Wire

public enum StatelessMatch: Hashable, Sendable {
    case iprange(IPRangeMatch)
    case length(Invertible<Interval<UInt16>>)
    case ttl(TTLMatch)
    case tos(Invertible<TOSTest>)
    /// `-m dscp`: the upper six bits of the TOS field.
    case dscp(Invertible<UInt8>)
    case mac(Invertible<MACAddress>)
    case owner(OwnerMatch)
    case physdev(PhysdevMatch)
    case pkttype(Invertible<PacketType>)
    case rpfilter(ReversePathOptions)
    case sctp(SCTPMatch)
    case dccp(DCCPMatch)
    /// `-m esp --espspi` and `-m ah --ahspi`: the security parameter index. All of them where none
    /// was named; the header must be there all the same.
    case esp(Invertible<Interval<UInt32>>)
    case ah(Invertible<Interval<UInt32>>)
}

/// From `first` to `last`, both included. Where `first` is the larger nothing lies in between: iptables
/// takes such a range, and it never matches.
@frozen
public struct Interval<Value: Comparable & Hashable & Sendable>: Hashable, Sendable {
    public var first: Value
    public var last: Value

    @inlinable
    public init(_ first: Value, _ last: Value) {
        self.first = first
        self.last = last
    }

    @inlinable public func contains(_ value: Value) -> Bool { first <= value && value <= last }
}

/// `-m iprange`.
public struct IPRangeMatch: Hashable, Sendable {
    public var source: Invertible<Interval<IPv4Address>>?
    public var destination: Invertible<Interval<IPv4Address>>?

    public init(
        source: Invertible<Interval<IPv4Address>>? = nil,
        destination: Invertible<Interval<IPv4Address>>? = nil
    ) {
        self.source = source
        self.destination = destination
    }
}

/// `-m ttl`: the packet's time to live against `value`.
public struct TTLMatch: Hashable, Sendable {
    public enum Comparison: Hashable, Sendable { case equal, notEqual, less, greater }
    public var comparison: Comparison
    public var value: UInt8

    public init(_ comparison: Comparison, _ value: UInt8) {
        self.comparison = comparison
        self.value = value
    }
}

/// `--tos V/M`: (TOS & mask) == value.
public struct TOSTest: Hashable, Sendable {
    public var value: UInt8
    public var mask: UInt8
    public init(value: UInt8, mask: UInt8) {
        self.value = value
        self.mask = mask
    }
}

/// `-m pkttype`: to whom the frame was addressed (PACKET_HOST and its kin of if_packet.h).
public enum PacketType: String, Hashable, Sendable, CaseIterable {
    case unicast, broadcast, multicast
    /// Another host's frame, seen by an interface that takes all: never routed, so never matched.
    case otherhost
}

/// `-m physdev`: the ports of a bridge that a bridged packet goes through.
public struct PhysdevMatch: Hashable, Sendable {
    /// A port's name, or with `wildcard` the beginning of one; the empty name was typed as "".
    public struct PortName: Hashable, Sendable {
        public var name: InterfaceName
        public var wildcard: Bool
        public init(_ name: InterfaceName, wildcard: Bool = false) {
            self.name = name
            self.wildcard = wildcard
        }
    }
    /// `--physdev-is-in` and its like: whether there is such a port at all.
    public enum Presence: Hashable, Sendable { case isThere, isNotThere }

    public var inPort: Invertible<PortName>?
    public var outPort: Invertible<PortName>?
    public var isIn: Presence?
    public var isOut: Presence?
    public var isBridged: Presence?

    public init() {}

    /// What xt_physdev.c finds for a packet that goes through no bridge: it matches where everything
    /// that is asked is asked with `!`.
    public var matchesRouted: Bool {
        isBridged != .isThere && isIn != .isThere && isOut != .isThere
            && inPort?.inverted != false && outPort?.inverted != false
    }
}

/// `-m rpfilter`.
public struct ReversePathOptions: OptionSet, Hashable, Sendable {
    public var rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    /// Any interface will do, if only there is a route back.
    public static let loose = Self(rawValue: 1 << 0)
    /// The way back is looked up with the packet's mark.
    public static let validMark = Self(rawValue: 1 << 1)
    /// Addresses of the node itself are accepted as sources.
    public static let acceptLocal = Self(rawValue: 1 << 2)
    public static let inverted = Self(rawValue: 1 << 3)
}

/// `-m sctp`; a test that is `nil` was not asked for.
public struct SCTPMatch: Hashable, Sendable {
    public var sourcePorts: Invertible<PortRange>?
    public var destinationPorts: Invertible<PortRange>?
    public var chunks: Invertible<SCTPChunkTest>?
    public init() {}
}

/// `--chunk-types`: which chunks a packet holds.
public struct SCTPChunkTest: Hashable, Sendable {
    public enum Mode: String, Hashable, Sendable, CaseIterable { case all, any, only }
    /// Of the flags in `mask`, exactly those in `value` are set; an empty mask asks nothing.
    public struct Flags: Hashable, Sendable {
        public var mask: UInt8 = 0
        public var value: UInt8 = 0
        public init() {}
    }
    public var mode: Mode
    public var types: SCTPChunkTypes
    /// The three types that have flags to ask for.
    public var data = Flags()
    public var abort = Flags()
    public var shutdownComplete = Flags()

    public init(_ mode: Mode, _ types: SCTPChunkTypes) {
        self.mode = mode
        self.types = types
    }
}

/// A set of the 256 chunk types.
public struct SCTPChunkTypes: Hashable, Sendable {
    private var a: UInt64 = 0
    private var b: UInt64 = 0
    private var c: UInt64 = 0
    private var d: UInt64 = 0

    public init() {}

    public static var all: Self {
        var set = Self()
        (set.a, set.b, set.c, set.d) = (.max, .max, .max, .max)
        return set
    }

    public var isEmpty: Bool { a | b | c | d == 0 }

    public func contains(_ type: UInt8) -> Bool {
        let word =
            switch type >> 6 {
            case 0: a
            case 1: b
            case 2: c
            default: d
            }
        return word >> UInt64(type & 63) & 1 == 1
    }

    public mutating func insert(_ type: UInt8) { set(type, 1 << UInt64(type & 63), true) }
    public mutating func remove(_ type: UInt8) { set(type, 1 << UInt64(type & 63), false) }

    private mutating func set(_ type: UInt8, _ bit: UInt64, _ on: Bool) {
        switch type >> 6 {
        case 0: a = on ? a | bit : a & ~bit
        case 1: b = on ? b | bit : b & ~bit
        case 2: c = on ? c | bit : c & ~bit
        default: d = on ? d | bit : d & ~bit
        }
    }
}

/// `-m dccp`; a test that is `nil` was not asked for.
public struct DCCPMatch: Hashable, Sendable {
    public var sourcePorts: Invertible<PortRange>?
    public var destinationPorts: Invertible<PortRange>?
    /// Bit N is packet type N (RFC 4340, 5.1).
    public var types: Invertible<UInt16>?
    /// The option is present in the header.
    public var option: Invertible<UInt8>?
    public init() {}
}

/// `-m owner`: user and group of the socket that sent the packet; both tests must hold.
public struct OwnerMatch: Hashable, Sendable {
    public var users: Invertible<Interval<UInt32>>?
    public var groups: Invertible<Interval<UInt32>>?
    /// `--suppl-groups`: any group of the socket's owner may be the one that `groups` names.
    public var includesSupplementaryGroups = false

    public init(
        users: Invertible<Interval<UInt32>>? = nil, groups: Invertible<Interval<UInt32>>? = nil
    ) {
        self.users = users
        self.groups = groups
    }
}
