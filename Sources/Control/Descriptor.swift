// A file descriptor with one owner, and the reads, writes and polls that the control path makes.
// The unsafe code of the control socket is here: a pointer lives for one call, under its own length.

import CLinux
import Glibc

/// Closes its descriptor when the last reference goes.
public final class Descriptor: Sendable {
    public let number: Int32

    /// Takes ownership of `number`.
    public init(owning number: Int32) { self.number = number }

    deinit { close(number) }

    public enum Transfer: Hashable, Sendable {
        /// Never 0.
        case bytes(Int)
        /// Nothing to read or no room to write now.
        case wouldBlock
        case endOfFile
        case failed(Int32)

        init(_ result: Int, error: Int32) {
            switch result {
            case 1...: self = .bytes(result)
            case 0: self = .endOfFile
            default:
                let waits = error == EAGAIN || error == EINTR
                self = waits ? .wouldBlock : .failed(error)
            }
        }
    }

    /// Reads at most `limit` bytes and appends them to `buffer`.
    public func read(appendingTo buffer: inout [UInt8], limit: Int) -> Transfer {
        var result = Transfer.endOfFile
        let chunk = unsafe [UInt8](unsafeUninitializedCapacity: limit) { memory, count in
            let received = unsafe Glibc.read(number, memory.baseAddress, limit)
            result = Transfer(received, error: errno)
            count = max(0, received)
        }
        buffer.append(contentsOf: chunk)
        return result
    }

    /// Writes as much of `bytes` as is taken at once. A socket whose peer is gone answers EPIPE and
    /// raises no signal.
    public func send(_ bytes: ArraySlice<UInt8>) -> Transfer {
        unsafe bytes.withUnsafeBytes { buffer in
            let sent = unsafe Glibc.send(
                number, buffer.baseAddress, buffer.count, Int32(MSG_NOSIGNAL))
            return Transfer(sent, error: errno)
        }
    }

    /// Writes all of `bytes` to a file or pipe; `false` where its reader is gone.
    @discardableResult
    public static func writeAll(_ bytes: some Collection<UInt8>, to number: Int32) -> Bool {
        var rest = ArraySlice(Array(bytes))
        while !rest.isEmpty {
            let written = unsafe rest.withUnsafeBytes {
                unsafe write(number, $0.baseAddress, $0.count)
            }
            if written < 0 {
                guard errno == EINTR else { return false }
                continue
            }
            rest = rest.dropFirst(written)
        }
        return true
    }
}

/// What to wait for on one descriptor, and what came.
struct PollEntry {
    var descriptor: Int32
    var wantsRead = true
    var wantsWrite = false
    var readable = false
    var writable = false
    var hungUp = false
}

/// Waits until something is ready or `timeout` milliseconds are over; -1 waits for ever.
func poll(_ entries: inout [PollEntry], timeout: Int32) throws(SystemError) {
    var raw = entries.map { entry in
        let events = (entry.wantsRead ? POLLIN : 0) | (entry.wantsWrite ? POLLOUT : 0)
        return pollfd(fd: entry.descriptor, events: Int16(events), revents: 0)
    }
    let result = unsafe raw.withUnsafeMutableBufferPointer { buffer in
        unsafe Glibc.poll(buffer.baseAddress, nfds_t(buffer.count), timeout)
    }
    if result < 0 {
        guard errno == EINTR else { throw .current("wait for the control socket") }
        return
    }
    for index in entries.indices {
        let events = Int32(raw[index].revents)
        entries[index].readable = events & POLLIN != 0
        entries[index].writable = events & POLLOUT != 0
        entries[index].hungUp = events & (POLLHUP | POLLERR | POLLNVAL) != 0
    }
}

/// A counter in the kernel that ends a poll; any thread may raise it.
public final class WakeUp: Sendable {
    public let descriptor: Descriptor

    public init() throws(SystemError) {
        descriptor = Descriptor(
            owning: try check(sluice_wake_open(), "create a wake-up descriptor"))
    }

    /// Cannot fail short of 2^64 raises without a clear.
    public func raise() { sluice_wake(descriptor.number) }
    public func clear() { sluice_wake_clear(descriptor.number) }
}

/// The packet thread's poll, prepared once so that a round allocates nothing.
struct PollSet {
    private var entries: [pollfd]

    init(first: Int32, others: [Int32]) {
        entries = ([first] + others).map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
    }

    mutating func sleep(until deadline: UInt64?, now: UInt64, longest: UInt64) {
        let wait = min(longest, deadline.map { $0 > now ? $0 - now : 0 } ?? longest)
        // A deadline is met late rather than polled for: round up to the next millisecond.
        let milliseconds = Int32((wait + 999_999) / 1_000_000)
        let count = nfds_t(entries.count)
        unsafe entries.withUnsafeMutableBufferPointer { buffer in
            // Only EINTR is possible here: the round that follows looks at everything anyway.
            _ = unsafe Glibc.poll(buffer.baseAddress, count, milliseconds)
        }
    }
}
