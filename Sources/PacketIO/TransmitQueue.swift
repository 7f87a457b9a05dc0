// Frames on their way into a packet socket: pointers only, sent by sendmmsg when the round ends. Each
// frame goes behind its own virtio header, so partial checksums and super-frames leave as they came.

import CLinux
import Dataplane
import Glibc
import Wire

@safe struct TransmitQueue: ~Copyable {
    static let capacity = 256
    /// How often a full queue in the kernel is tried again before the frame counts as lost. A queueing
    /// discipline that is full says ENOBUFS; the kernel's own forwarding would drop at once.
    private static let retries = 4

    private let descriptor: Int32
    private let messages: UnsafeMutablePointer<sluice_message>
    private let parts: UnsafeMutablePointer<iovec>
    private let headers: UnsafeMutableRawPointer
    private var count = 0

    init(descriptor: Int32) {
        self.descriptor = descriptor
        unsafe messages = .allocate(capacity: Self.capacity)
        unsafe parts = .allocate(capacity: Self.capacity * 2)
        unsafe headers = .allocate(byteCount: Self.capacity * 16, alignment: 16)
        unsafe headers.initializeMemory(as: UInt8.self, repeating: 0, count: Self.capacity * 16)
        unsafe messages.initialize(repeating: sluice_message(), count: Self.capacity)
        unsafe parts.initialize(repeating: iovec(), count: Self.capacity * 2)
        for index in 0..<Self.capacity {
            unsafe parts[index * 2] = iovec(
                iov_base: headers + index * 16, iov_len: OffloadHeader.byteCount)
            unsafe messages[index].header.msg_iov = parts + index * 2
            unsafe messages[index].header.msg_iovlen = 2
        }
    }

    deinit {
        unsafe messages.deallocate()
        unsafe parts.deallocate()
        unsafe headers.deallocate()
    }

    var isFull: Bool { count == Self.capacity }
    var isEmpty: Bool { count == 0 }

    /// Remembers where the frame lies; see `FramePort` for how long it must stay there.
    mutating func append(_ frame: RawSpan, _ offload: OffloadHeader) {
        precondition(count < Self.capacity, "the transmit queue is flushed when it is full")
        let index = count
        unsafe offload.store(at: headers + index &* 16)
        unsafe frame.withUnsafeBytes { bytes in
            unsafe parts[index &* 2 &+ 1] = iovec(
                iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress), iov_len: bytes.count
            )
        }
        count = index &+ 1
    }

    /// Sends everything. Returns the errno of a failure that ended the round early, or 0.
    mutating func flush(_ statistics: inout PortStatistics) -> Int32 {
        var next = 0
        var attempts = 0
        defer { count = 0 }
        while next < count {
            let taken = unsafe sluice_send_messages(
                descriptor, messages + next, UInt32(count &- next))
            if taken > 0 {
                for index in next..<next &+ Int(taken) {
                    statistics.sentBytes &+= unsafe UInt64(parts[index &* 2 &+ 1].iov_len)
                }
                statistics.sentFrames &+= UInt64(taken)
                next &+= Int(taken)
                attempts = 0
                continue
            }
            switch -taken {
            case EINTR:
                continue
            case EAGAIN, ENOBUFS:
                attempts += 1
                if attempts <= Self.retries {
                    statistics.sendRetries &+= 1
                    if taken == -EAGAIN { waitForRoom() }
                    continue
                }
            case ENETDOWN, ENXIO, ENODEV:
                statistics.failedSends &+= UInt64(count &- next)
                return -taken
            default:
                break
            }
            // This one frame is at fault (too long for the interface, a header the kernel does not
            // believe) or out of luck; those behind it are not.
            statistics.failedSends &+= 1
            next &+= 1
            attempts = 0
        }
        return 0
    }

    private func waitForRoom() {
        var request = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        _ = unsafe poll(&request, 1, 1)
    }
}
