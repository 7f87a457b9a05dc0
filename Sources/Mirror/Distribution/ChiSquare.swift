// Whether two counts of the same draws could come from one distribution (Pearson's χ² test of homogeneity).

import Glibc

public struct ChiSquare: Hashable, Sendable {
    public let statistic: Double
    public let degreesOfFreedom: Int

    /// - Parameters:
    ///   - a: how often each outcome was drawn on one side.
    ///   - b: how often on the other, in the same order.
    public init(_ a: [Int], _ b: [Int]) {
        precondition(a.count == b.count, "both sides count the same outcomes")
        let sumOfA = Double(a.reduce(0, +))
        let sumOfB = Double(b.reduce(0, +))
        var statistic = 0.0
        var outcomes = 0
        for (inA, inB) in zip(a, b) where inA + inB > 0 && sumOfA > 0 && sumOfB > 0 {
            outcomes += 1
            for (count, sum) in [(inA, sumOfA), (inB, sumOfB)] {
                let expected = Double(inA + inB) * sum / (sumOfA + sumOfB)
                statistic += (Double(count) - expected) * (Double(count) - expected) / expected
            }
        }
        self.statistic = statistic
        degreesOfFreedom = max(outcomes - 1, 0)
    }

    /// What equal distributions exceed once in a million times.
    public var bound: Double {
        guard degreesOfFreedom > 0 else { return 0 }
        var (low, high) = (0.0, 100 + 10 * Double(degreesOfFreedom))
        for _ in 0..<60 {
            let middle = (low + high) / 2
            if Self.exceeded(middle, degreesOfFreedom) > 1e-6 {
                low = middle
            } else {
                high = middle
            }
        }
        return high
    }

    public var isWithinBound: Bool { statistic <= bound }

    /// How likely a χ² with that many degrees of freedom is above `value`: from one or two degrees upwards, two
    /// at a time (Abramowitz and Stegun, 26.4.4 and 26.4.5).
    private static func exceeded(_ value: Double, _ degreesOfFreedom: Int) -> Double {
        let half = value / 2
        let isOdd = degreesOfFreedom % 2 == 1
        var sum = isOdd ? erfc(half.squareRoot()) : exp(-half)
        var term = isOdd ? exp(-half) * (half / Double.pi).squareRoot() * 2 : exp(-half) * half
        for degrees in stride(from: isOdd ? 3 : 4, through: degreesOfFreedom, by: 2) {
            sum += term
            term *= half / (Double(degrees) / 2)
        }
        return sum
    }
}
