// Rates as `--rate` shows them (net/netfilter/ipvs/ip_vs_est.c): every two seconds a quarter of the difference
// between what was counted meanwhile and the average goes into the average.

import Conntrack

/// Per second; bytes and packets.
public struct ServerRates: Hashable, Sendable {
    public var connections: UInt64 = 0
    public var packetsIn: UInt64 = 0
    public var packetsOut: UInt64 = 0
    public var bytesIn: UInt64 = 0
    public var bytesOut: UInt64 = 0

    public init() {}

    mutating func add(_ other: ServerRates) {
        connections += other.connections
        packetsIn += other.packetsIn
        packetsOut += other.packetsOut
        bytesIn += other.bytesIn
        bytesOut += other.bytesOut
    }
}

struct RateEstimate {
    private var last: ServerTraffic
    // Fixed point: 10 bits behind the point for connections and packets, 5 for bytes.
    private var connections: Int64 = 0
    private var packetsIn: Int64 = 0
    private var packetsOut: Int64 = 0
    private var bytesIn: Int64 = 0
    private var bytesOut: Int64 = 0

    init(from traffic: ServerTraffic) { last = traffic }

    /// Two seconds have passed.
    mutating func tick(_ now: ServerTraffic) {
        Self.move(&connections, now.connections, last.connections, 9)
        Self.move(&packetsIn, now.packetsIn, last.packetsIn, 9)
        Self.move(&packetsOut, now.packetsOut, last.packetsOut, 9)
        Self.move(&bytesIn, now.bytesIn, last.bytesIn, 4)
        Self.move(&bytesOut, now.bytesOut, last.bytesOut, 4)
        last = now
    }

    private static func move(_ average: inout Int64, _ now: UInt64, _ last: UInt64, _ bits: Int64) {
        average += ((Int64(truncatingIfNeeded: now &- last) << bits) - average) >> 2
    }

    var rates: ServerRates {
        func shown(_ average: Int64, _ bits: Int64) -> UInt64 {
            UInt64(max(0, (average + (1 << bits) - 1) >> (bits + 1)))
        }
        var rates = ServerRates()
        rates.connections = shown(connections, 9)
        rates.packetsIn = shown(packetsIn, 9)
        rates.packetsOut = shown(packetsOut, 9)
        rates.bytesIn = shown(bytesIn, 4)
        rates.bytesOut = shown(bytesOut, 4)
        return rates
    }
}
