// Never queue (net/netfilter/ipvs/ip_vs_nq.c): an idle server if there is one, else the shortest expected delay.

extension Scheduler {
    static let neverQueue = Scheduler(
        name: "nq",
        choose: { candidates, _, _ in
            for position in 0..<candidates.count
            where candidates.takes(position) && candidates.load(position).active == 0 {
                return position
            }
            return candidates.leastForItsWeight { Int64(candidates.load($0).active) + 1 }
        })
}
