// The counters of `conntrack -S` (`struct ip_conntrack_stat`), one set per table.

public struct ConntrackStatistics: Hashable, Sendable {
    /// Look-ups for a free tuple that found it taken.
    public var found: UInt64 = 0
    public var invalid: UInt64 = 0
    /// Entries that joined the table other than by a packet.
    public var insert: UInt64 = 0
    public var insertFailed: UInt64 = 0
    /// Packets dropped because no entry could be made or inserted.
    public var drop: UInt64 = 0
    /// Unassured entries evicted for new ones.
    public var earlyDrop: UInt64 = 0
    /// ICMP errors that match nothing, and malformed ICMP.
    public var error: UInt64 = 0
    public var searchRestart: UInt64 = 0
    public var clashResolve: UInt64 = 0
    public var chainTooLong: UInt64 = 0

    /// Not shown by the tool: unassured and closing entries collected from 95 % full on.
    public var collected: UInt64 = 0
    /// Not shown by the tool: packets refused because the table was full.
    public var tableFull: UInt64 = 0
    /// Not shown by the tool: entries that timed out.
    public var expired: UInt64 = 0

    public init() {}
}
