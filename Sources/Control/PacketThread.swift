// The packet thread: owns the data plane, turns it, sleeps only when nothing is to be done, and
// carries out what the control thread asks for between two rounds.
//
// The control thread never touches the data plane. It posts closures; each runs at a batch boundary
// with the data plane in hand, and the control thread waits for its result. While nobody asks, the
// price is one atomic load per round. No lock is held while packets are worked on.

import CLinux
import Synchronization
import Wire

/// What the packet thread turns: the data plane, or a stand-in in tests.
public protocol PacketWork: AnyObject, SendableMetatype {
    /// What wakes the thread when readable. Asked again after every closure.
    var descriptors: [Int32] { get }
    /// One round; `true` when more may wait already.
    /// - Parameter hasSlept: whether the thread slept before: something may have become readable.
    func step(now: Timestamp, hasSlept: Bool) -> Bool
    /// When the next round is due at the latest, if nothing is readable before.
    var deadline: Timestamp? { get }
}

public enum PacketThreadFailure: Error, Hashable, Sendable, CustomStringConvertible {
    case unresponsive
    case stopped

    public var description: String {
        switch self {
        case .unresponsive: "the packet thread did not answer within five seconds"
        case .stopped: "the packet thread has ended"
        }
    }
}

/// Moves a value to another thread. Whoever makes one keeps no reference to the value.
struct Handover<Value>: @unchecked Sendable {
    let value: Value
    init(_ value: Value) { self.value = value }
}

public final class PacketThread<Work: PacketWork>: Sendable {
    private typealias Message = @Sendable (Work) -> Void

    private let mail = Mutex<[Message]>([])
    private let hasMail = Atomic<Bool>(false)
    private let isStopping = Atomic<Bool>(false)
    private let wake: WakeUp
    private let answered: WakeUp
    private let thread = Mutex<WorkerThread?>(nil)
    private let busyPoll: BusyPoll

    /// The longest sleep: well under the second after which the kernel's side counts it as hung.
    static var longestSleep: UInt64 { 200_000_000 }

    /// Starts the thread, which is the only one to touch `work` from here on.
    /// - Parameters:
    ///   - cpu: the CPU it is pinned to; `nil` leaves the choice to the kernel.
    ///   - busyPoll: how long it looks for more before it sleeps.
    init(
        _ work: Handover<Work>, cpu: UInt32?, busyPoll: BusyPoll = BusyPoll(microseconds: 0)
    ) throws(SystemError) {
        self.busyPoll = busyPoll
        wake = try WakeUp()
        answered = try WakeUp()
        let started = try WorkerThread { [self] in
            // A failure to pin costs speed, not correctness.
            if let cpu { sluice_pin_thread(cpu) }
            loop(work.value)
        }
        thread.withLock { $0 = started }
    }

    /// Runs `body` at the next batch boundary and returns its result. One caller at a time.
    public func perform<Result: Sendable>(
        _ body: @escaping @Sendable (Work) -> Result
    ) throws(PacketThreadFailure) -> Result {
        let answer = Answer<Result>()
        post { work in
            let result = body(work)
            answer.value.withLock { $0 = result }
            self.answered.raise()
        }
        let deadline = sluice_monotonic() + 5_000_000_000
        while true {
            if let result = answer.value.withLock({ $0 }) { return result }
            guard !isStopping.load(ordering: .acquiring) else { throw .stopped }
            let now = sluice_monotonic()
            guard now < deadline else { throw .unresponsive }
            var entry = [PollEntry(descriptor: answered.descriptor.number)]
            let wait = Int32((deadline - now) / 1_000_000 + 1)
            guard (try? poll(&entry, timeout: wait)) != nil else { throw .stopped }
            answered.clear()
        }
    }

    private final class Answer<Result: Sendable>: Sendable {
        let value = Mutex<Result?>(nil)
    }

    private func post(_ message: @escaping Message) {
        mail.withLock { $0.append(message) }
        hasMail.store(true, ordering: .releasing)
        wake.raise()
    }

    /// Ends the thread after the round in hand and waits for it.
    public func stop() {
        isStopping.store(true, ordering: .releasing)
        wake.raise()
        thread.withLock { running in
            running?.join()
            running = nil
        }
    }

    private func loop(_ work: Work) {
        var waiting = PollSet(first: wake.descriptor.number, others: work.descriptors)
        var hasSlept = true
        var busyPoll = busyPoll
        while !isStopping.load(ordering: .acquiring) {
            if hasMail.exchange(false, ordering: .acquiringAndReleasing) {
                wake.clear()
                let messages = mail.withLock { waitingMail in
                    defer { waitingMail = [] }
                    return waitingMail
                }
                for message in messages { message(work) }
                waiting = PollSet(first: wake.descriptor.number, others: work.descriptors)
            }
            let now = sluice_monotonic()
            let isBusy = work.step(now: Timestamp(nanoseconds: now), hasSlept: hasSlept)
            hasSlept = busyPoll.mayDoze(isBusy: isBusy, now: now)
            if !hasSlept { continue }
            waiting.sleep(until: work.deadline?.nanoseconds, now: now, longest: Self.longestSleep)
        }
    }
}
