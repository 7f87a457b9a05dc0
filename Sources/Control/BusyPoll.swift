// Whether a thread without work may sleep yet. To be woken takes longer than most answers are worth waiting for;
// to look again at once takes a CPU. So it looks for a while after the last packet, and no longer.

struct BusyPoll {
    private let patience: UInt64
    private var lastWork: UInt64?

    /// - Parameter microseconds: how long to go on looking; 0 sleeps at once.
    init(microseconds: UInt32) { patience = UInt64(microseconds) * 1000 }

    /// - Parameters:
    ///   - isBusy: whether the round just made found work.
    ///   - now: the monotonic clock when it began, in nanoseconds.
    mutating func mayDoze(isBusy: Bool, now: UInt64) -> Bool {
        if isBusy {
            lastWork = now
            return false
        }
        guard let last = lastWork else { return true }
        if now &- last < patience { return false }
        lastWork = nil
        return true
    }
}
