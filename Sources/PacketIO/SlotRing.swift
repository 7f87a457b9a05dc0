// A TPACKET_V2 receive ring: the kernel fills slot after slot and wakes the reader for each, which is
// what a gateway's latency needs. Slots hold an ordinary frame. A super-frame does not fit; the kernel
// then also keeps it on the socket's queue (PACKET_COPY_THRESH), and it is read from there into one of
// a few large buffers. Slots that could hold 64 KB would make the ring either short or enormous; the
// measurements are in Docs/decisions/0002-receive-ring.md.

import CLinux
import Wire

@safe struct SlotRing: ~Copyable {
    /// The size and number of slots. Slots lie back to back, so a block is a whole number of them.
    struct Geometry: Sendable {
        var slotSize = 2048
        var slotCount = 4096
        var blockSize = 1 << 18
    }

    private let descriptor: Int32
    private let geometry: Geometry
    private var ring = unsafe sluice_ring()
    private let largeBuffers: UnsafeMutableRawBufferPointer
    /// The next slot to look at, and how many slots before it are not yet given back.
    private var head = 0
    private var held = 0
    private var largeHeld = 0

    /// The largest frame: an IPv4 packet of 65 535 bytes behind an Ethernet header with a VLAN tag.
    private static let largeFrame = 65_536 + 64
    private static let largeCount = 64

    init(descriptor: Int32, geometry: Geometry = Geometry()) throws(SystemError) {
        self.descriptor = descriptor
        self.geometry = geometry
        precondition(
            geometry.blockSize % geometry.slotSize == 0, "slots must lie back to back across blocks"
        )
        unsafe largeBuffers = .allocate(byteCount: Self.largeFrame * Self.largeCount, alignment: 64)
        try check(
            sluice_packet_option(descriptor, PACKET_VERSION, Int32(TPACKET_V2.rawValue)),
            "choose TPACKET_V2", on: "packet socket")
        try check(
            sluice_packet_option(descriptor, PACKET_COPY_THRESH, 1),
            "queue frames larger than a slot", on: "packet socket")
        let blocks = geometry.slotCount * geometry.slotSize / geometry.blockSize
        try check(
            unsafe sluice_packet_ring(
                descriptor, UInt32(geometry.blockSize), UInt32(blocks), UInt32(geometry.slotSize),
                0,
                &ring),
            "map a receive ring of \(geometry.slotCount) slots", on: "packet socket")
    }

    deinit {
        var ring = unsafe self.ring
        unsafe sluice_packet_unmap(&ring)
        unsafe largeBuffers.deallocate()
    }

    private func slot(_ index: Int) -> UnsafeMutablePointer<UInt8> {
        unsafe ring.memory + index &* geometry.slotSize
    }

    /// Takes the next frame; its memory stays valid until `release`.
    mutating func next() -> Arrival {
        guard held < geometry.slotCount else { return .empty }
        let slot = unsafe slot(head)
        // Acquire: what the kernel wrote into the slot is visible once the status says so.
        let status = unsafe sluice_load_acquire(slot)
        guard status & UInt32(TP_STATUS_USER) != 0 else { return .empty }
        let header = unsafe UnsafeRawPointer(slot).load(as: tpacket2_hdr.self)
        if header.tp_snaplen == header.tp_len {
            take()
            let start = unsafe UnsafeMutableRawPointer(slot) + Int(header.tp_mac)
            return unsafe .frame(
                ArrivedFrame(
                    start: start, byteCount: Int(header.tp_len),
                    offload: OffloadHeader(at: start - OffloadHeader.byteCount)))
        }
        // A large one: the slot has its beginning, the queue all of it, unless the queue was full.
        guard status & UInt32(TP_STATUS_COPY) != 0 else {
            take()
            return .oversized
        }
        guard largeHeld < Self.largeCount else { return .empty }
        take()
        return receiveLarge()
    }

    private mutating func take() {
        head = head &+ 1 == geometry.slotCount ? 0 : head &+ 1
        held &+= 1
    }

    /// Reads the frame at the head of the socket's queue: its virtio header and its bytes, apart, so
    /// that the Ethernet header starts at an aligned address.
    private mutating func receiveLarge() -> Arrival {
        let buffer = unsafe largeBuffers.baseAddress! + largeHeld * Self.largeFrame
        let frame = unsafe buffer + 16
        let capacity = Self.largeFrame - 16
        let length = unsafe withUnsafeTemporaryAllocation(of: iovec.self, capacity: 2) { parts in
            unsafe parts[0] = iovec(iov_base: buffer, iov_len: OffloadHeader.byteCount)
            unsafe parts[1] = iovec(iov_base: frame, iov_len: capacity)
            return unsafe sluice_receive_frame(descriptor, parts.baseAddress!, 2)
        }
        let byteCount = length - OffloadHeader.byteCount
        guard byteCount > 0, byteCount <= capacity else { return .oversized }
        largeHeld += 1
        return unsafe .frame(
            ArrivedFrame(start: frame, byteCount: byteCount, offload: OffloadHeader(at: buffer)))
    }

    /// Gives all taken slots back to the kernel.
    mutating func release() {
        var index = head &- held
        if index < 0 { index &+= geometry.slotCount }
        while held > 0 {
            unsafe sluice_store_release(slot(index), UInt32(TP_STATUS_KERNEL))
            index = index &+ 1 == geometry.slotCount ? 0 : index &+ 1
            held &-= 1
        }
        largeHeld = 0
    }
}
