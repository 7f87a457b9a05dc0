// The matches and targets that read or change what outlives a packet: rates, lists of addresses,
// counts of connections, connection marks and zones. Plain values; what packets change of them lives in
// `Hooks` and `Conntrack`.

import Wire

/// `-m limit`: at most `rate` packets per `unit` seconds, after a burst of `burst`.
@frozen
public struct LimitMatch: Hashable, Sendable {
    public var rate: UInt32
    /// Seconds: 1, 60, 3600 or 86400.
    public var unit: UInt32
    public var burst: UInt32

    public init(rate: UInt32, unit: UInt32, burst: UInt32 = 5) {
        self.rate = rate
        self.unit = unit
        self.burst = burst
    }
}

/// `CONNMARK` (xt_connmark.c): with `shift` bits to the left, or to the right where it is negative.
public struct ConnmarkTarget: Hashable, Sendable {
    public enum Mode: Hashable, Sendable {
        /// connection mark = ((mark & ~ctmask) ^ value) shifted.
        case set(value: UInt32)
        /// connection mark = (mark & ~ctmask) ^ ((packet mark & nfmask) shifted).
        case save
        /// packet mark = (mark & ~nfmask) ^ ((connection mark & ctmask) shifted).
        case restore
    }
    public var mode: Mode
    public var connectionMask: UInt32
    public var packetMask: UInt32
    /// -32...32.
    public var shift: Int8

    public init(
        _ mode: Mode, connectionMask: UInt32 = .max, packetMask: UInt32 = .max, shift: Int8 = 0
    ) {
        self.mode = mode
        self.connectionMask = connectionMask
        self.packetMask = packetMask
        self.shift = shift
    }
}

/// `CT`: what connection tracking is to make of a packet that it has not seen yet.
public struct CTTarget: Hashable, Sendable {
    /// `--zone`, `--zone-orig`, `--zone-reply`: the zone's number, or the packet's mark.
    public enum Zone: Hashable, Sendable {
        case number(UInt16)
        case mark
    }
    /// In which directions the zone keeps connections apart.
    public struct Directions: OptionSet, Hashable, Sendable {
        public var rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }
        public static let original = Directions(rawValue: 1)
        public static let reply = Directions(rawValue: 2)
        public static let both: Directions = [.original, .reply]
    }
    /// Events of connections, bit N being IPCT_N of the kernel.
    public struct Events: OptionSet, Hashable, Sendable {
        public var rawValue: UInt16
        public init(rawValue: UInt16) { self.rawValue = rawValue }
    }
    public var notrack: Bool
    public var zone: Zone
    public var directions: Directions
    /// Empty: all events.
    public var events: Events
    /// `--expevents new`. Nothing here expects connections, so that it holds whatever happens.
    public var expectationEvents: Bool

    public init(
        notrack: Bool = false, zone: Zone = .number(0), directions: Directions = .both,
        events: Events = [], expectationEvents: Bool = false
    ) {
        self.notrack = notrack
        self.zone = zone
        self.directions = directions
        self.events = events
        self.expectationEvents = expectationEvents
    }
}

/// `-m recent`: what a list of addresses knows of a packet's, and what it is to learn.
public struct RecentMatch: Hashable, Sendable {
    public enum Operation: Hashable, Sendable { case set, check, update, remove }
    public enum Side: Hashable, Sendable { case source, destination }
    public var operation: Operation
    public var inverted: Bool
    /// 0: however long ago.
    public var seconds: UInt32
    /// Forget the address that was seen longest ago if that was before `seconds`.
    public var reaps: Bool
    /// 0: once is enough.
    public var hitCount: UInt32
    /// The TTL must be that of the packet before.
    public var comparesTTL: Bool
    public var name: String
    public var side: Side
    public var mask: UInt32

    public init(
        _ operation: Operation, inverted: Bool = false, seconds: UInt32 = 0, reaps: Bool = false,
        hitCount: UInt32 = 0, comparesTTL: Bool = false, name: String = "DEFAULT",
        side: Side = .source, mask: UInt32 = .max
    ) {
        self.operation = operation
        self.inverted = inverted
        self.seconds = seconds
        self.reaps = reaps
        self.hitCount = hitCount
        self.comparesTTL = comparesTTL
        self.name = name
        self.side = side
        self.mask = mask
    }
}

/// `-m hashlimit`: a rate for each address, port or pair of them.
public struct HashlimitMatch: Hashable, Sendable {
    /// What makes a flow; the values are the kernel's.
    public struct Keys: OptionSet, Hashable, Sendable {
        public var rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }
        public static let destination = Keys(rawValue: 1)
        public static let destinationPort = Keys(rawValue: 2)
        public static let source = Keys(rawValue: 4)
        public static let sourcePort = Keys(rawValue: 8)
    }
    public var name: String
    public var keys: Keys
    /// `--hashlimit-above`.
    public var above: Bool
    /// Counts bytes; else packets.
    public var countsBytes: Bool
    /// Packets: microseconds between two. Bytes: 2³² by the number of 16-byte pieces per second.
    public var average: UInt64
    /// Packets, or for bytes how often the second's worth may be drawn beforehand.
    public var burst: UInt64
    /// Buckets and entries, 0 for the kernel's choice.
    public var size: UInt32
    public var most: UInt32
    /// Milliseconds.
    public var collectionInterval: UInt32
    public var expiry: UInt32
    /// Prefix lengths.
    public var sourceLength: UInt32
    public var destinationLength: UInt32
    /// `--hashlimit-rate-match`: judges whole intervals (in seconds) by the one before.
    public var matchesRate: Bool
    public var interval: UInt32

    public init(
        name: String, keys: Keys = [], above: Bool = false, countsBytes: Bool = false,
        average: UInt64, burst: UInt64 = 5, expiry: UInt32 = 1000
    ) {
        self.name = name
        self.keys = keys
        self.above = above
        self.countsBytes = countsBytes
        self.average = average
        self.burst = burst
        self.expiry = expiry
        size = 0
        most = 0
        collectionInterval = 1000
        sourceLength = 32
        destinationLength = 32
        matchesRate = false
        interval = 0
    }
}

/// `-m connlimit`: how many connections there are from, or to, a network.
@frozen
public struct ConnlimitMatch: Hashable, Sendable {
    public var limit: UInt32
    /// `--connlimit-upto`; else `--connlimit-above`.
    public var upTo: Bool
    public var prefixLength: UInt8
    public var ofDestination: Bool

    public init(
        limit: UInt32, upTo: Bool = false, prefixLength: UInt8 = 32, ofDestination: Bool = false
    ) {
        self.limit = limit
        self.upTo = upTo
        self.prefixLength = prefixLength
        self.ofDestination = ofDestination
    }
}

/// `NFLOG`.
public struct NFLogTarget: Hashable, Sendable {
    public var group: UInt16
    public var prefix: String
    /// Bytes of the packet; `nil` for all of it.
    public var size: UInt32?
    /// Packets that wait for one another on their way to a reader.
    public var threshold: UInt16

    public init(group: UInt16 = 0, prefix: String = "", size: UInt32? = nil, threshold: UInt16 = 0)
    {
        self.group = group
        self.prefix = prefix
        self.size = size
        self.threshold = threshold
    }
}
