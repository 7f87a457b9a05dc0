// Order statistics: nothing is assumed of how values are distributed, which on a machine that does other
// things as well is anything but normally.

/// The median of some values, and an interval for the median of what they were drawn from.
public struct Median: Codable, Hashable, Sendable {
    public var value: Double
    /// Two of the values, or twice the same.
    public var low: Double
    public var high: Double
    /// The chance that such an interval holds the median, from 0 to 1: 0 for a single value.
    public var confidence: Double
    public var count: Int

    /// The narrowest interval between a value and its counterpart from the other end that is as sure as `wanted`;
    /// between smallest and largest where none is. `nil` without values.
    ///
    /// Each value lies below the median with a chance of one half, so the r smallest of n all do with the binomial
    /// distribution's tail (David and Nagaraja, Order Statistics, 7.1).
    public init?(of values: [Double], confidence wanted: Double = 0.95) {
        guard !values.isEmpty else { return nil }
        let sorted = values.sorted()
        count = sorted.count
        value = (sorted[(count - 1) / 2] + sorted[count / 2]) / 2
        var rank = 1
        while rank < (count + 1) / 2, Self.coverage(rank: rank + 1, of: count) >= wanted {
            rank += 1
        }
        low = sorted[rank - 1]
        high = sorted[count - rank]
        confidence = Self.coverage(rank: rank, of: count)
    }

    /// How sure the interval from the `rank`th smallest to the `rank`th largest of `count` values is.
    static func coverage(rank: Int, of count: Int) -> Double {
        var term = 1.0
        var below = 0.0
        for chosen in 0..<rank {
            below += term
            term *= Double(count - chosen) / Double(chosen + 1)
        }
        var outcomes = 1.0
        for _ in 0..<count { outcomes *= 2 }
        return max(0, 1 - 2 * below / outcomes)
    }
}

/// The value below which the given part of sorted samples lies (nearest rank); `nil` without samples.
public func percentile<Value>(_ part: Double, ofSorted samples: [Value]) -> Value? {
    precondition((0...1).contains(part), "a percentile is a part of the whole")
    guard !samples.isEmpty else { return nil }
    let rank = Int((part * Double(samples.count)).rounded(.up))
    return samples[min(max(rank, 1), samples.count) - 1]
}
