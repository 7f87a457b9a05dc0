// What connections cost the server that they were sent to: counted here, because only the table knows when a
// connection begins, changes its state, and ends (net/netfilter/ipvs/ip_vs_conn.c, ip_vs_bind_dest and
// ip_vs_unbind_dest; ip_vs_proto_tcp.c, set_tcp_state). Refuses to know who the servers are: an account is a
// number that somebody gave out.

import Wire

/// The number of a server's account.
@frozen
public struct ServerAccount: Hashable, Sendable {
    public var rawValue: UInt32
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }
}

/// Who a connection is charged to besides: a client that keeps its server.
@frozen
public struct ClientAccount: Hashable, Sendable {
    public var rawValue: UInt32
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }
}

/// What was sent to a server and came from it.
@frozen
public struct ServerTraffic: Hashable, Sendable {
    public var connections: UInt64 = 0
    public var packetsIn: UInt64 = 0
    public var packetsOut: UInt64 = 0
    public var bytesIn: UInt64 = 0
    public var bytesOut: UInt64 = 0

    @inlinable public init() {}
}

/// A server's account.
@frozen
public struct ServerLoad: Hashable, Sendable {
    /// Connections that are being opened or are open.
    public var active: UInt32 = 0
    /// Those that are being closed, and all that know no opening and closing (UDP).
    public var inactive: UInt32 = 0
    /// Clients that keep it.
    public var clients: UInt32 = 0
    public var traffic = ServerTraffic()
    /// 0 for none; see `RealServer`.
    public var upperThreshold: UInt32 = 0
    public var lowerThreshold: UInt32 = 0
    /// It has as many connections as it may, and is not yet below its lower threshold again.
    public var isOverloaded = false
    /// It belongs to a service. Packets to one that does not are dropped.
    public var isAvailable = false

    @inlinable public init() {}

    /// Whether connections or clients still hold on to it.
    public var isInUse: Bool { active != 0 || inactive != 0 || clients != 0 }

    /// After a connection was added.
    mutating func noteMore() {
        if upperThreshold != 0, active &+ inactive >= upperThreshold { isOverloaded = true }
    }

    /// After a connection ended.
    mutating func noteLess() {
        let total = active &+ inactive
        if lowerThreshold != 0 {
            if total < lowerThreshold { isOverloaded = false }
        } else if upperThreshold != 0 {
            if UInt64(total) * 4 < UInt64(upperThreshold) * 3 { isOverloaded = false }
        } else {
            isOverloaded = false
        }
    }
}

/// The connections of a client that keeps its server.
@frozen
public struct ClientUse: Hashable, Sendable {
    public var connections: UInt32 = 0
    /// When the last of them ended.
    public var lastEnd = Timestamp(nanoseconds: 0)
    /// One of them was answered: established, if it is TCP (`ip_vs_control_assure_ct`).
    public var isAssured = false

    @inlinable public init() {}
}
