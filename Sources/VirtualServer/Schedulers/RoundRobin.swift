// Round robin: one server after the other (net/netfilter/ipvs/ip_vs_rr.c).

extension Scheduler {
    static let roundRobin = Scheduler(
        name: "rr",
        follow: { state, old, new in state.keepPlace(from: old, to: new) },
        choose: { candidates, state, _ in
            // One way around, the last one again at the end.
            var position = state.cursor
            for _ in 0..<candidates.count {
                position = position + 1 < candidates.count ? position + 1 : 0
                if candidates.takes(position) {
                    state.cursor = position
                    return position
                }
            }
            return nil
        })
}

extension SchedulerState {
    /// The server chosen last, or, where it is gone, the one before it.
    mutating func keepPlace(from old: [Candidate], to new: [Candidate]) {
        var place = cursor
        while place >= 0 {
            let account = old[place].account
            if let position = new.firstIndex(where: { $0.account == account }) {
                cursor = position
                return
            }
            place -= 1
        }
        cursor = -1
    }
}
