import Testing

@testable import Control

@Suite("Looking for more packets before sleeping")
struct BusyPollTests {
    /// Whether the thread may doze after each round, one every ten microseconds; `true` is a round with work.
    private func dozes(after rounds: [Bool], patience: UInt32) -> [Bool] {
        var poll = BusyPoll(microseconds: patience)
        return rounds.enumerated().map { number, isBusy in
            poll.mayDoze(isBusy: isBusy, now: 1_000_000 + UInt64(number) * 10_000)
        }
    }

    @Test("goes on as long after the last work as was asked for, and not before there was any")
    func patience() {
        #expect(
            dozes(
                after: [false, true, false, false, true, false, false, false, false], patience: 30)
                == [true, false, false, false, false, false, false, true, true])
    }

    @Test("0 sleeps as soon as a round finds nothing")
    func none() {
        #expect(
            dozes(after: [true, false, true, false], patience: 0) == [false, true, false, true])
    }
}
