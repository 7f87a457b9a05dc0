// Shortest expected delay (net/netfilter/ipvs/ip_vs_sed.c): as `wlc`, but the new connection counts, and inactive
// ones do not.

extension Scheduler {
    static let shortestExpectedDelay = Scheduler(
        name: "sed",
        choose: { candidates, _, _ in
            candidates.leastForItsWeight { Int64(candidates.load($0).active) + 1 }
        })
}
