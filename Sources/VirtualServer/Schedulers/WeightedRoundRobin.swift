// Weighted round robin (net/netfilter/ipvs/ip_vs_wrr.c): rounds with a falling bar. In each round the servers
// whose weight reaches the bar are taken in turn; it falls from the highest weight to 1 by the greatest common
// divisor of all weights. A server of weight w is so taken w times in a cycle, spread over it.

extension Scheduler {
    static let weightedRoundRobin = Scheduler(
        name: "wrr",
        follow: { state, old, new in state.followWeights(from: old, to: new) },
        choose: { candidates, state, _ in state.nextOverBar(candidates) })
}

extension SchedulerState {
    fileprivate mutating func nextOverBar(_ candidates: Candidates) -> Int? {
        guard highestWeight > 0 else { return nil }
        // From behind the last one to the end, then whole rounds: once every bar down to 1 and back has been
        // tried for everybody, nobody is free.
        var left = (highestWeight / step + 2) * Int64(candidates.count + 1)
        var position = cursor
        while left > 0 {
            left -= 1
            position += 1
            if position == candidates.count {
                currentWeight -= step
                if currentWeight <= 0 { currentWeight = highestWeight }
                position = -1
                continue
            }
            if candidates.weight(position) >= currentWeight, !candidates.isOverloaded(position) {
                cursor = position
                return position
            }
        }
        cursor = -1
        return nil
    }

    /// The kernel is told of one server after the other, and begins at the top of the list each time.
    fileprivate mutating func followWeights(from old: [Candidate], to new: [Candidate]) {
        func isKept(_ candidate: Candidate) -> Bool {
            new.contains { $0.account == candidate.account }
        }
        var current = old
        for gone in old where !isKept(gone) {
            current.removeAll { $0.account == gone.account }
            changed(current)
        }
        for candidate in new.reversed() {
            if let position = current.firstIndex(where: { $0.account == candidate.account }) {
                guard current[position].server.weight != candidate.server.weight else { continue }
                current[position] = candidate
            } else {
                current.insert(candidate, at: 0)
            }
            changed(current)
        }
    }

    private mutating func changed(_ servers: [Candidate]) {
        var divisor: Int64 = 0
        var highest: Int64 = 0
        for weight in servers.map({ Int64($0.server.weight) }) where weight > 0 {
            divisor = greatestCommonDivisor(weight, divisor)
            highest = max(highest, weight)
        }
        cursor = -1
        step = max(1, divisor)
        highestWeight = highest - (step - 1)
        if currentWeight > highestWeight || currentWeight == 0 {
            currentWeight = highestWeight
        } else if step > 1 {
            currentWeight = currentWeight / step * step + 1
        }
    }
}

func greatestCommonDivisor(_ a: Int64, _ b: Int64) -> Int64 {
    var (a, b) = (a, b)
    while b != 0 { (a, b) = (b, a % b) }
    return a
}
