// Threads at the ends of connections.

import Control
import Lab
import PacketIO
import Synchronization

enum LoadThread {
    static func start(
        on processors: UInt, _ body: @escaping @Sendable () -> Void
    ) throws(LabError) -> WorkerThread {
        do throws(Control.SystemError) {
            return try WorkerThread {
                // Where that cannot be chosen the scheduler chooses.
                try? InterfaceCalls.run(on: processors)
                body()
            }
        } catch {
            throw LabError("\(error)")
        }
    }
}

/// What several threads count, and whether they are to end.
final class LoadCounter: Sendable {
    private let events = Atomic<Int>(0)
    private let ends = Atomic<Bool>(false)

    var count: Int { events.load(ordering: .relaxed) }
    func add() { events.add(1, ordering: .relaxed) }

    var hasEnded: Bool { ends.load(ordering: .relaxed) }
    func end() { ends.store(true, ordering: .relaxed) }
}

/// CLOCK_MONOTONIC in seconds.
func secondsNow() -> Double { Double(MonotonicClock.now().nanoseconds) / 1e9 }
