// Connection tracking zones (nf_conntrack_zones.h): connections with equal tuples, kept apart; and what
// `CT` rules say of a packet before it is tracked.

import Wire

/// The zone of a connection, for each of its directions. 0 is the zone of everybody who was not put into
/// another one.
@frozen
public struct Zone: Hashable, Sendable {
    public var original: UInt16
    public var reply: UInt16

    @inlinable
    public init(original: UInt16 = 0, reply: UInt16 = 0) {
        self.original = original
        self.reply = reply
    }

    @inlinable public static var none: Zone { Zone() }

    subscript(direction: Direction) -> UInt16 { direction == .original ? original : reply }
}

/// What a template says of the connection that a packet opens (`struct nf_conn` with IPS_TEMPLATE).
@frozen
public struct TrackingTemplate: Hashable, Sendable {
    public var zone: Zone
    /// The events that are reported, bit N being IPCT_N; all bits where no rule said which.
    public var events: UInt16

    @inlinable
    public init(zone: Zone = .none, events: UInt16 = .max) {
        self.zone = zone
        self.events = events
    }

    @inlinable public static var none: TrackingTemplate { TrackingTemplate() }
}

extension EventMask {
    /// As bits of `enum ip_conntrack_events`.
    var kernelBits: UInt16 {
        var bits: UInt16 = 0
        if contains(.new) { bits |= 1 << 0 }
        if contains(.reply) { bits |= 1 << 3 }
        if contains(.assured) { bits |= 1 << 4 }
        if contains(.protocolState) { bits |= 1 << 5 }
        if contains(.mark) { bits |= 1 << 7 }
        return bits
    }

    static var destroyBit: UInt16 { 1 << 2 }
}
