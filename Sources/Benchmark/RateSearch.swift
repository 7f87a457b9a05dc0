// The highest rate at which a device loses no more than some part of what it is offered: RFC 2544's throughput
// where that part is nothing. As MLRsearch does (an IETF draft), every trial serves every goal, and what
// came through in an overload is the first guess.

/// Finds rates by trials. Refuses to go on for ever: each goal has a limited number of trials.
public struct RateSearch: Sendable {
    public struct Trial: Hashable, Sendable {
        /// Offered in fact, in whatever unit the caller counts.
        public var rate: Double
        /// Of what was offered, from 0 to 1.
        public var loss: Double

        public init(rate: Double, loss: Double) {
            self.rate = rate
            self.loss = loss
        }
    }

    public private(set) var trials: [Trial] = []
    private let maximum: Double
    private let precision: Double
    private let limit: Int

    /// - Parameters:
    ///   - maximum: no rate above is tried, nor one below a thousandth of it.
    ///   - precision: how near the bounds of an answer come, as a part of the upper one.
    ///   - limit: trials for each goal.
    public init(maximum: Double, precision: Double = 0.05, limit: Int = 10) {
        precondition(maximum > 0 && precision > 0, "there is something to search")
        self.maximum = maximum
        self.precision = precision
        self.limit = limit
    }

    /// The highest rate tried that lost no more than `goal` and lies below every rate that lost more: a device that
    /// did well at a rate once and badly at a lower one does not get the higher. `nil` where no trial was good.
    /// - Parameter offer: offers a rate, and says what was offered in fact and what was lost.
    public mutating func rate(
        losingAtMost goal: Double, offer: (Double) throws -> Trial
    ) rethrows -> Double? {
        for _ in 0..<limit {
            guard let next = next(goal) else { break }
            let trial = try offer(next)
            trials.append(trial)
            // Whoever offers cannot do more.
            if trial.loss <= goal, trial.rate < next * (1 - precision), bounds(goal).upper == nil {
                break
            }
        }
        return best(losingAtMost: goal)
    }

    /// The same answer from the trials that there are, those for other goals included: what later ones have shown
    /// counts, and a goal that allows more never has the lower rate.
    public func best(losingAtMost goal: Double) -> Double? { bounds(goal).lower?.rate }

    /// What is to be tried next for a goal; `nil` once it is known well enough.
    private func next(_ goal: Double) -> Double? {
        let (lower, upper) = bounds(goal)
        guard let upper else {
            return lower.map { $0.rate >= maximum * (1 - precision) } ?? false ? nil : maximum
        }
        guard let lower else {
            // What came through may be nothing.
            let rate = upper.rate * min(max(1 - upper.loss, 0.1), 0.75)
            return rate < maximum / 1000 ? nil : rate
        }
        let isNear = upper.rate - lower.rate <= precision * upper.rate
        return isNear ? nil : (lower.rate + upper.rate) / 2
    }

    private func bounds(_ goal: Double) -> (lower: Trial?, upper: Trial?) {
        let upper = trials.filter { $0.loss > goal }.min { $0.rate < $1.rate }
        let lower = trials.filter { $0.loss <= goal && $0.rate < upper?.rate ?? .infinity }
            .max { $0.rate < $1.rate }
        return (lower, upper)
    }
}
