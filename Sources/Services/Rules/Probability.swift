// The chances of a list of rules that are tried one after the other, so that each is taken by its share.

/// Of what `statistic` compares: 31 bits, of which 2³¹ is always.
enum Probability {
    static let always: UInt32 = 1 << 31

    /// The chance of each rule; `nil` for the last, which takes the rest.
    ///
    /// The rule at `i` is met by those only that none before it took, so that its chance is its share of what
    /// is left: w[i] / (w[i] + … + w[n-1]).
    ///
    /// - Precondition: no weight is 0.
    static func chances(_ weights: [UInt16]) -> [UInt32?] {
        precondition(weights.allSatisfy { $0 > 0 }, "who has no share is no choice")
        // kube-proxy says 1/n with ten digits behind the point, and so its last bit may be another one.
        let isEven = Set(weights).count <= 1
        var left = weights.reduce(0) { $0 + UInt64($1) }
        return weights.enumerated().map { index, weight in
            defer { left -= UInt64(weight) }
            guard index < weights.count - 1 else { return nil }
            return isEven
                ? rounded(
                    rounded(10_000_000_000, 1, over: UInt64(weights.count - index)), UInt64(always),
                    over: 10_000_000_000
                ).chance
                : rounded(UInt64(weight), UInt64(always), over: left).chance
        }
    }

    /// a · b / c, rounded to the nearest, half up.
    private static func rounded(_ a: UInt64, _ b: UInt64, over c: UInt64) -> UInt64 {
        let (high, low) = a.multipliedFullWidth(by: b)
        precondition(high < c, "the quotient fits")
        let (quotient, rest) = c.dividingFullWidth((high, low))
        return rest >= c - rest ? quotient + 1 : quotient
    }
}

extension UInt64 {
    fileprivate var chance: UInt32 { UInt32(truncatingIfNeeded: self) }
}
