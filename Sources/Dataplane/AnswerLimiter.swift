// How many ICMP errors the node sends: a bucket per destination and a global one, as net/ipv4/icmp.c
// and net/ipv4/inetpeer.c keep them. A table of fixed size: a destination that is displaced starts
// over with a full bucket. Resets are not limited here, as in the kernel.

import Wire

/// The sysctls of `net.ipv4` that rule the limits.
public struct AnswerLimits: Hashable, Sendable {
    /// `icmp_ratelimit`, milliseconds between two answers to one destination; 0 is no limit.
    public var ratelimitMilliseconds: UInt32
    /// `icmp_ratemask`: bit per ICMP type that is limited.
    public var ratemask: UInt32
    /// `icmp_msgs_per_sec`.
    public var messagesPerSecond: UInt32
    /// `icmp_msgs_burst`.
    public var burst: UInt32

    public init(
        ratelimitMilliseconds: UInt32 = 1000, ratemask: UInt32 = 6168,
        messagesPerSecond: UInt32 = 1000, burst: UInt32 = 50
    ) {
        self.ratelimitMilliseconds = ratelimitMilliseconds
        self.ratemask = ratemask
        self.messagesPerSecond = messagesPerSecond
        self.burst = burst
    }
}

public struct AnswerLimiter {
    private struct Peer {
        var address = IPv4Address.any
        /// Nanoseconds; signed, because a new peer counts as silent for a minute. A free entry is older.
        var last: Int64 = -120_000_000_000
        var tokens: UInt64 = 0
        /// Redirects sent without a pause.
        var redirects: UInt64 = 0

        /// Nanoseconds since `last`; 0 where the clock stood still or ran backwards.
        func quiet(_ now: Timestamp) -> UInt64 {
            UInt64(max(0, now.signedNanoseconds &- last))
        }
    }

    public var limits: AnswerLimits
    private var peers: [Peer]
    /// May fall to -1: the last message may cost two.
    private var credit: Int64 = 0
    private var stamp: Timestamp?

    /// - Parameter capacityBits: the table holds 2^bits sets of `ways` destinations.
    public init(limits: AnswerLimits = AnswerLimits(), capacityBits: Int = 10) {
        self.limits = limits
        peers = Array(repeating: Peer(), count: Self.ways << capacityBits)
    }

    private static let ways = 4
    /// inetpeer.c, XRLIM_BURST_FACTOR.
    private static let burstFactor: UInt64 = 6

    /// Whether `error` may be sent to `destination` now; takes the tokens if so. The global bucket is
    /// looked at first but charged last, so that what one destination is refused tells nothing about
    /// the others (Linux 6.12, `icmp_global_consume`).
    public mutating func allows(
        _ error: ICMPError, to destination: IPv4Address, now: Timestamp,
        random: inout SeededRandom
    ) -> Bool {
        guard isLimited(error) else { return true }
        guard hasGlobalCredit(now: now), allowsPeer(destination, now: now) else { return false }
        // One credit on average, but 0 to 2 at random, so that the rest cannot be probed from outside.
        credit -= Int64(random.next() % 3)
        return true
    }

    /// Path MTU discovery is never limited (`icmpv4_mask_allow`).
    private func isLimited(_ error: ICMPError) -> Bool {
        if error.type == 3, error.code == 4 { return false }
        return error.type <= 18 && limits.ratemask >> UInt32(error.type) & 1 == 1
    }

    /// `icmp_global_allow`: refilled only once empty, in steps of at least 20 ms.
    private mutating func hasGlobalCredit(now: Timestamp) -> Bool {
        if credit > 0 { return true }
        let second: UInt64 = 1_000_000_000
        let elapsed = stamp.map { min(now.nanoseconds &- $0.nanoseconds, second) } ?? second
        let refill = Int64(UInt64(limits.messagesPerSecond) &* elapsed / second)
        guard elapsed >= second / 50, refill > 0 else { return false }
        stamp = now
        credit = min(credit + refill, Int64(limits.burst))
        return true
    }

    /// `inet_peer_xrlim_allow`: one token per `icmp_ratelimit`, at most six saved up.
    private mutating func allowsPeer(_ address: IPv4Address, now: Timestamp) -> Bool {
        let price = UInt64(limits.ratelimitMilliseconds) &* 1_000_000
        return price == 0 || take(price, burst: Self.burstFactor &* price, address, now: now)
    }

    /// `ip_error` in net/ipv4/route.c limits errors about routes before any other limit: one a second,
    /// five saved up, from the same bucket.
    public mutating func allowsRouteError(to address: IPv4Address, now: Timestamp) -> Bool {
        take(1_000_000_000, burst: 5_000_000_000, address, now: now)
    }

    private mutating func take(
        _ price: UInt64, burst: UInt64, _ address: IPv4Address, now: Timestamp
    ) -> Bool {
        let slot = slot(of: address, now: now)
        let tokens = min(peers[slot].tokens &+ peers[slot].quiet(now), burst)
        peers[slot].last = now.signedNanoseconds
        peers[slot].tokens = tokens >= price ? tokens &- price : tokens
        return tokens >= price
    }

    /// `ip_rt_send_redirect`: after each redirect that had no effect twice as long a pause, nine at
    /// most, until the sender was quiet for 20 seconds. A first redirect empties the bucket of errors.
    public mutating func allowsRedirect(to address: IPv4Address, now: Timestamp) -> Bool {
        let load: UInt64 = 20_000_000
        let slot = slot(of: address, now: now)
        let quiet = peers[slot].quiet(now)
        if quiet > load << 10 {
            peers[slot].tokens = 0
            peers[slot].redirects = 0
        }
        let sent = peers[slot].redirects
        if sent >= 9 {
            peers[slot].last = now.signedNanoseconds
            return false
        }
        guard sent == 0 || quiet > load << sent else { return false }
        peers[slot].last = now.signedNanoseconds
        peers[slot].redirects = sent &+ 1
        return true
    }

    /// The destination's entry, or the set's least recently used one made its own.
    private mutating func slot(of address: IPv4Address, now: Timestamp) -> Int {
        let sets = peers.count / Self.ways
        let hash = UInt64(address.rawValue) &* 0x9E37_79B9_7F4A_7C15
        let set = Int(truncatingIfNeeded: hash >> 32) & (sets - 1)
        let first = set * Self.ways
        var oldest = first
        for index in first..<first + Self.ways {
            if peers[index].address == address { return index }
            if peers[index].last < peers[oldest].last { oldest = index }
        }
        // A new peer counts as silent for a minute (inet_getpeer).
        peers[oldest] = Peer(address: address, last: now.signedNanoseconds &- 60_000_000_000)
        return oldest
    }
}

extension Timestamp {
    fileprivate var signedNanoseconds: Int64 { Int64(truncatingIfNeeded: nanoseconds) }
}
