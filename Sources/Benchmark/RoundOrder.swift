// In which order roads have their turns. What one leaves behind, in caches, in the kernel's deferred work, in the CPU's
// temperature, meets the next one: so it must not be the same one each time.

/// A permutation of `0..<count` for a round. In `count` rounds each has each place once, and comes after each other one at most
/// twice, once if `count` is even: Williams' square (Experimental designs balanced for the estimation of residual effects of
/// treatments, 1949).
public func roundOrder(of count: Int, round: Int) -> [Int] {
    // 0, 1, last, 2, last but one, …: no step is taken more than twice.
    (0..<count).map { place in
        let start = place % 2 == 1 ? place / 2 + 1 : count - place / 2
        return (start + round) % count
    }
}
