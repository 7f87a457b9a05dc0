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
