// Weighted least connection (net/netfilter/ipvs/ip_vs_wlc.c): the least load for its weight. The default.

extension Scheduler {
    static let weightedLeastConnection = Scheduler(
        name: "wlc",
        choose: { candidates, _, _ in
            candidates.leastForItsWeight { candidates.load($0).overhead }
        })
}

extension Candidates {
    /// The one with the least `cost` over weight, the first of several. Products are compared instead of
    /// quotients, as everywhere in ipvs.
    func leastForItsWeight(_ cost: (Int) -> Int64) -> Int? {
        var least: Int?
        var leastCost: Int64 = 0
        for position in 0..<count where takes(position) {
            let cost = cost(position)
            if let best = least, leastCost * weight(position) <= cost * weight(best) { continue }
            least = position
            leastCost = cost
        }
        return least
    }
}
