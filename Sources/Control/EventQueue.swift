// What the packet thread has to tell and the control thread reads when it can: connection events,
// traces, sentences for standard error. Bounded: what does not fit is counted, never waited for.

import Synchronization

public final class EventQueue<Event: Sendable>: Sendable {
    private struct Contents {
        var events: [Event] = []
        var lost: UInt64 = 0
    }

    private let contents = Mutex(Contents())
    private let capacity: Int
    private let wake: WakeUp

    /// - Parameter wake: raised when the first event arrives in an empty queue.
    public init(capacity: Int, wake: WakeUp) {
        self.capacity = capacity
        self.wake = wake
    }

    public func offer(_ event: Event) {
        let isFirst = contents.withLock { contents in
            guard contents.events.count < capacity else {
                contents.lost += 1
                return false
            }
            contents.events.append(event)
            return contents.events.count == 1
        }
        if isFirst { wake.raise() }
    }

    public func countLost(_ number: UInt64) {
        guard number > 0 else { return }
        contents.withLock { $0.lost += number }
    }

    /// Up to `limit` of the oldest events, and how many were lost since the last look.
    public func take(limit: Int) -> (events: ArraySlice<Event>, lost: UInt64) {
        contents.withLock { contents in
            let taken = contents.events.prefix(limit)
            contents.events.removeFirst(taken.count)
            defer { contents.lost = 0 }
            return (taken, contents.lost)
        }
    }
}

/// The packet thread's end of any number of queues.
struct EventFan<Event: Sendable> {
    private var queues: [EventQueue<Event>] = []

    var isEmpty: Bool { queues.isEmpty }

    mutating func add(_ queue: EventQueue<Event>) { queues.append(queue) }

    func offer(_ event: Event) {
        for queue in queues { queue.offer(event) }
    }

    func countLost(_ number: UInt64) {
        for queue in queues { queue.countLost(number) }
    }

    mutating func remove(_ queue: EventQueue<Event>) { queues.removeAll { $0 === queue } }
}
