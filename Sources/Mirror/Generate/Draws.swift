// The few ways in which the generators draw. Everything comes from one seeded source, so that a seed
// names a case for good.

import Wire

extension SeededRandom {
    /// True in `percent` of a hundred calls.
    mutating func chance(_ percent: Int) -> Bool { number(0...99) < percent }

    mutating func number(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &self) }

    /// - Precondition: `choices` is not empty.
    mutating func pick<Choice>(_ choices: [Choice]) -> Choice {
        choices[number(0...choices.count - 1)]
    }

    mutating func word() -> UInt32 { UInt32(truncatingIfNeeded: next()) }

    /// `count` bytes of anything.
    mutating func bytes(_ count: Int) -> [UInt8] {
        (0..<count).map { _ in UInt8(truncatingIfNeeded: next()) }
    }

    /// One of the choices, as often as its weight says.
    /// - Precondition: some weight is above 0.
    mutating func weighted<Choice>(_ choices: [(weight: Int, choice: Choice)]) -> Choice {
        var left = number(0...choices.reduce(0) { $0 + $1.weight } - 1)
        for (weight, choice) in choices {
            if left < weight { return choice }
            left -= weight
        }
        preconditionFailure("the draw is below the sum of the weights")
    }
}
