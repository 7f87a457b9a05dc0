// What matches remember from packet to packet: one per engine, laid out anew when rules are swapped, and
// then never growing while packets walk. A rule that stays keeps what it remembers, as a kept rule does
// in the kernel; lists and tables with a name are kept as long as some rule names them.

import Conntrack
import Ruleset
import Wire

/// The state of every stateful match of the rules in force. Belongs to the packet thread.
final class MatchState {
    let recent = RecentLists()
    let flows: FlowRates
    let counts: ConnectionCounts
    /// Parallel to `CompiledStateful.limits`.
    private var limits: [TokenBucket] = []
    private var limitOwners: [Owner: Int] = [:]

    /// A match's identity across edits: its rule and its place in it.
    private struct Owner: Hashable {
        var rule: RuleID
        var position: Int32

        init(_ stateful: Stateful<some Sendable>) {
            rule = stateful.rule
            position = stateful.position
        }
    }

    init(_ connections: ConnectionTable, secret: UInt64) {
        flows = FlowRates(secret: secret)
        counts = ConnectionCounts(connections)
    }

    /// Called between packets, with the rules that take the place of the former ones.
    func follow(_ rules: CompiledStateful, now: Timestamp) {
        recent.follow(rules.recents)
        flows.follow(rules.hashlimits, now: now)
        counts.follow(rules.connlimits)
        var owners: [Owner: Int] = [:]
        limits = rules.limits.enumerated().map { index, limit in
            owners[Owner(limit)] = index
            let fresh = TokenBucket(limit.match)
            guard let before = limitOwners[Owner(limit)], limits[before].isLike(fresh) else {
                return fresh
            }
            return limits[before]
        }
        limitOwners = owners
    }

    func limit(_ index: Int, now: Timestamp, counting: Bool) -> Bool {
        counting ? limits[index].take(now: now) : limits[index].wouldTake(now: now)
    }
}

/// nft_limit.c: tokens are nanoseconds; a packet costs the time between two packets at the rate.
struct TokenBucket {
    private let cost: UInt64
    private let most: UInt64
    private var tokens: UInt64
    private var last: UInt64 = 0

    init(_ limit: LimitMatch) {
        cost = UInt64(limit.unit) * 1_000_000_000 / UInt64(limit.rate)
        most = cost * UInt64(limit.burst)
        tokens = most
    }

    /// Whether it holds the same rate and burst.
    func isLike(_ other: TokenBucket) -> Bool { cost == other.cost && most == other.most }

    private func filled(_ now: Timestamp) -> UInt64 {
        min(most, tokens &+ (now.nanoseconds &- last))
    }

    func wouldTake(now: Timestamp) -> Bool { filled(now) >= cost }

    mutating func take(now: Timestamp) -> Bool {
        tokens = filled(now)
        last = now.nanoseconds
        guard tokens >= cost else { return false }
        tokens -= cost
        return true
    }
}
