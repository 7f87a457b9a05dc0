// Least connection (net/netfilter/ipvs/ip_vs_lc.c): the server with the least load; an active connection weighs
// as much as 256 inactive ones.

import Conntrack

extension Scheduler {
    static let leastConnection = Scheduler(
        name: "lc",
        choose: { candidates, _, _ in
            var least: Int?
            var leastLoad: Int64 = 0
            for position in 0..<candidates.count where candidates.takes(position) {
                let load = candidates.load(position).overhead
                if least == nil || load < leastLoad {
                    least = position
                    leastLoad = load
                }
            }
            return least
        })
}

extension ServerLoad {
    /// `ip_vs_dest_conn_overhead`.
    var overhead: Int64 { Int64(active) << 8 + Int64(inactive) }
}
