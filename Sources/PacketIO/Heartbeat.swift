// The sign of life that the programs in the kernel look at. The worker that moves packets writes it
// itself: a process that lives while its worker hangs must not keep the node.

import CFlowABI
import CLinux
import Glibc
public import Wire

/// CLOCK_MONOTONIC, the clock that bpf_ktime_get_ns reads.
public enum MonotonicClock {
    public static func now() -> Timestamp {
        var time = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        return Timestamp(
            nanoseconds: UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec))
    }
}

/// One aligned word that is stored atomically: any thread may beat.
@safe public final class Heartbeat: @unchecked Sendable {
    /// Write at least this often. The programs wait for a second.
    public static let interval = Timestamp(nanoseconds: 200_000_000)

    private let word: UnsafeMutablePointer<sluice_heartbeat>
    private let length: Int

    /// Maps the one value of the map behind `descriptor`.
    init(map descriptor: Int32) throws(SystemError) {
        length = sysconf(Int32(_SC_PAGESIZE))
        let memory = unsafe mmap(nil, length, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
        guard let memory = unsafe memory, unsafe memory != MAP_FAILED else {
            throw SystemError("map the heartbeat", on: "BPF map", code: errno)
        }
        unsafe word = memory.bindMemory(to: sluice_heartbeat.self, capacity: 1)
    }

    deinit { unsafe munmap(word, length) }

    /// One store; cheap enough for every round of the worker.
    /// - Parameter now: `MonotonicClock.now()`.
    public func beat(at now: Timestamp) {
        unsafe sluice_store_u64(word, now.nanoseconds)
    }

    /// Makes the programs stand aside at once.
    public func stop() { beat(at: Timestamp(nanoseconds: 0)) }
}
