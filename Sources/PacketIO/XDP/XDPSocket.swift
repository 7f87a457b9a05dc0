// An AF_XDP socket on one receive queue. The kernel side of its four rings holds chunks of the umem: those
// to be filled, and those on their way out.

import CLinux
import Dataplane
import Glibc
import Wire

@safe final class XDPSocket {
    /// Entries of each ring. 2048 frames are a few milliseconds of what one CPU can carry.
    static let ringSize = 2048
    /// Frames that one call sends where the kernel lets itself be told (Linux 6.17).
    private static let transmitBudget: Int32 = 256
    /// How often a kernel that takes nothing more is asked again before the rest waits for the next flush.
    private static let retries = 4

    let descriptor: Int32
    let queue: UInt32
    let isZeroCopy: Bool
    private let umem: Umem
    private let number: UInt16
    private var receiveRing: XDPRing
    private var transmitRing: XDPRing
    private var fillRing: XDPRing
    private var completionRing: XDPRing
    /// The chunks of the batch in hand.
    private let batch: UnsafeMutablePointer<UInt32>
    private var batchCount = 0
    /// Appended since the last flush.
    private var unsent = 0
    private var unsentBytes = 0

    /// Binds to a queue: zero-copy if `zeroCopy` and the driver has it, else with a copy by the kernel.
    convenience init(
        interface: InterfaceIndex, name: String, queue: UInt32, umem: Umem, zeroCopy: Bool
    ) throws(SystemError) {
        if zeroCopy {
            do throws(SystemError) {
                try self.init(interface, name, queue, umem, isZeroCopy: true)
                return
            } catch {}
        }
        try self.init(interface, name, queue, umem, isZeroCopy: false)
    }

    private init(
        _ interface: InterfaceIndex, _ name: String, _ queue: UInt32, _ umem: Umem, isZeroCopy: Bool
    ) throws(SystemError) {
        let socket = try check(sluice_xsk_open(), "open an AF_XDP socket", on: name)
        do throws(SystemError) {
            let lender = umem.lender(zeroCopy: isZeroCopy)
            if lender == nil {
                try check(
                    unsafe sluice_xsk_register(
                        socket, umem.memory, UInt64(umem.byteCount), UInt32(Umem.chunkSize)),
                    "register \(umem.byteCount) bytes of memory", on: name)
            }
            let size = Self.ringSize
            receiveRing = try XDPRing(socket, SLUICE_XSK_RECEIVE, capacity: size, on: name)
            transmitRing = try XDPRing(socket, SLUICE_XSK_TRANSMIT, capacity: size, on: name)
            fillRing = try XDPRing(socket, SLUICE_XSK_FILL, capacity: size, on: name)
            // As large as both, so that it never is what frames wait for.
            completionRing = try XDPRing(
                socket, SLUICE_XSK_COMPLETION, capacity: 2 * size, on: name)
            try check(
                sluice_socket_option(socket, SO_SNDBUFFORCE, 32 << 20), "size the send buffer",
                on: name)
            // What an older kernel sends per call is enough as well.
            _ = sluice_xsk_transmit_budget(socket, Self.transmitBudget)
            let kind = isZeroCopy ? XDP_ZEROCOPY : XDP_COPY
            try Self.bind(
                socket, interface, name, queue, UInt16(kind | XDP_USE_NEED_WAKEUP), lender ?? -1)
        } catch {
            close(socket)
            throw error
        }
        descriptor = socket
        self.queue = queue
        self.isZeroCopy = isZeroCopy
        self.umem = umem
        number = umem.enlist()
        unsafe batch = .allocate(capacity: Self.ringSize)
        umem.bound(number, socket, zeroCopy: isZeroCopy)
        fill()
    }

    /// The kernel lets go of a closed socket's queue a little later, in a work queue, and says so to nobody.
    private static func bind(
        _ socket: Int32, _ interface: InterfaceIndex, _ name: String, _ queue: UInt32,
        _ flags: UInt16, _ lender: Int32
    ) throws(SystemError) {
        var attempts = 0
        while true {
            let status = sluice_xsk_bind(socket, interface.rawValue, queue, flags, lender)
            guard status == -EBUSY, attempts < 100 else {
                try check(status, "bind an AF_XDP socket to queue \(queue)", on: name)
                return
            }
            attempts += 1
            usleep(2000)
        }
    }

    deinit {
        close(descriptor)
        umem.dismiss(number)
        unsafe batch.deallocate()
    }

    /// What this socket sends bears the mark, as SO_MARK.
    func mark(_ mark: UInt32, on name: String) throws(SystemError) {
        try check(
            sluice_socket_option(descriptor, SO_MARK, Int32(bitPattern: mark)),
            "set the socket mark", on: name)
    }

    // MARK: Receiving

    /// Takes the next frame; its memory stays valid until `releaseBatch`, unless it is sent.
    func next() -> ArrivedFrame? {
        guard batchCount < Self.ringSize, let frame = receiveRing.nextFrame() else { return nil }
        let chunk = Umem.chunk(at: frame.addr)
        umem.move(chunk, to: .arrived, number)
        unsafe batch[batchCount] = chunk
        batchCount &+= 1
        return unsafe ArrivedFrame(
            start: umem.pointer(frame.addr, Int(frame.len)), byteCount: Int(frame.len),
            offload: .none)
    }

    /// Gives the batch's chunks back but for those that were sent on.
    func releaseBatch() {
        guard batchCount > 0 else {
            // An idle socket may still have chunks to take back that others wait for.
            if fillRing.room(for: Self.ringSize / 2) >= Self.ringSize / 2 { fill() }
            return
        }
        receiveRing.finish()
        for index in 0..<batchCount {
            let chunk = unsafe batch[index]
            if umem.place(of: chunk) == .arrived { umem.release(chunk) }
        }
        batchCount = 0
        fill()
    }

    /// Hands free chunks to the kernel to receive into.
    private func fill() {
        var room = fillRing.room(for: Self.ringSize)
        guard room > 0 else { return }
        while room > 0, let chunk = umem.take(.filling, for: number) {
            fillRing.append(address: Umem.address(of: chunk))
            room &-= 1
        }
        fillRing.submit()
        // A driver that found the ring empty sleeps; in copy mode there is none.
        if isZeroCopy, fillRing.needsWakeUp { _ = sluice_xsk_receive(descriptor) }
    }

    // MARK: Sending

    /// Whether the memory is a received frame's that no socket sends yet.
    func isArrived(_ address: UInt64) -> Bool {
        umem.place(of: Umem.chunk(at: address)) == .arrived
    }

    /// Room for one frame more, after a flush if need be.
    func makeRoom(_ counters: inout PortStatistics) -> Bool {
        if transmitRing.room() > 0 { return true }
        _ = flush(&counters)
        return transmitRing.room() > 0
    }

    /// A free chunk to copy a frame into, already this socket's to send.
    func takeChunk() -> UInt64? {
        if umem.freeCount == 0 { reclaim() }
        return umem.take(.leaving, for: number).map { Umem.address(of: $0) }
    }

    /// Queues a frame that lies in the umem.
    /// - Precondition: `makeRoom` said so.
    func append(_ address: UInt64, _ length: Int) {
        umem.move(Umem.chunk(at: address), to: .leaving, number)
        transmitRing.append(xdp_desc(addr: address, len: UInt32(length), options: 0))
        unsent &+= 1
        unsentBytes &+= length
    }

    /// Sends everything. Returns the errno of a failure that ended the round early, or 0.
    func flush(_ counters: inout PortStatistics) -> Int32 {
        guard unsent > 0 else { return 0 }
        transmitRing.submit()
        counters.sentFrames &+= UInt64(unsent)
        counters.sentBytes &+= UInt64(unsentBytes)
        let appended = unsent
        unsent = 0
        unsentBytes = 0
        defer { reclaim() }
        if isZeroCopy, !transmitRing.needsWakeUp { return 0 }
        var attempts = 0
        var pending = transmitRing.pending()
        while pending > 0 {
            let status = -sluice_xsk_transmit(descriptor)
            let left = transmitRing.pending()
            switch status {
            case 0 where isZeroCopy: return 0
            case 0, EAGAIN, ENOBUFS, EINTR:
                // Its budget, its memory, or the send buffer is used up.
                if left == pending {
                    attempts &+= 1
                    if attempts > Self.retries { return 0 }
                    counters.sendRetries &+= 1
                    reclaim()
                }
            case EBUSY:
                // The device dropped one.
                counters.failedSends &+= 1
                counters.sentFrames &-= 1
            default:
                // Checked before the kernel looks at the ring: nothing of this round was taken.
                if left >= appended { withdraw(appended, &counters) }
                return status
            }
            pending = left
        }
        return 0
    }

    /// An interface that is down would send the frames when it is up again.
    private func withdraw(_ count: Int, _ counters: inout PortStatistics) {
        for _ in 0..<count {
            let frame = transmitRing.withdraw()
            umem.release(Umem.chunk(at: frame.addr))
            counters.failedSends &+= 1
            counters.sentFrames &-= 1
            counters.sentBytes &-= UInt64(frame.len)
        }
    }

    /// Takes back what has been sent.
    private func reclaim() {
        var any = false
        while let address = completionRing.nextAddress() {
            umem.release(Umem.chunk(at: address))
            any = true
        }
        if any { completionRing.finish() }
    }

    // MARK: Counters

    /// Frames that found no chunk, or no room in the receive ring.
    var overruns: UInt64 {
        var statistics = xdp_statistics()
        guard unsafe sluice_xsk_statistics(descriptor, &statistics) == 0 else { return 0 }
        return statistics.rx_dropped &+ statistics.rx_ring_full
    }
}
