// One of an AF_XDP socket's four rings: single producer, single consumer, the kernel on the other end
// (Documentation/networking/af_xdp.rst). Positions run freely and are masked when used; this side's own
// position is kept here and published once for many entries.

import CLinux

@safe struct XDPRing: ~Copyable {
    private var ring = unsafe sluice_xsk_ring()
    private let capacity: UInt32
    /// This side's position, not yet published.
    private var own: UInt32 = 0
    /// The other side's position as last read.
    private var other: UInt32 = 0

    init(
        _ socket: Int32, _ kind: sluice_xsk_ring_kind, capacity: Int, on name: String
    ) throws(SystemError) {
        precondition(capacity & (capacity - 1) == 0, "a ring's capacity is a power of two")
        self.capacity = UInt32(capacity)
        try check(
            unsafe sluice_xsk_ring(socket, kind, self.capacity, &ring),
            "make an AF_XDP ring of \(capacity) entries", on: name)
    }

    deinit {
        var ring = unsafe self.ring
        unsafe sluice_xsk_unmap(&ring)
    }

    // MARK: For the rings that this side fills

    /// How many entries fit, at least `wanted` if there is room for them.
    mutating func room(for wanted: Int = 1) -> Int {
        let room = Int(capacity &- (own &- other))
        guard room < wanted else { return room }
        other = unsafe sluice_acquire_u32(ring.consumer)
        return Int(capacity &- (own &- other))
    }

    /// - Precondition: there is room.
    mutating func append(address: UInt64) {
        unsafe ring.entries.assumingMemoryBound(to: UInt64.self)[Int(own & (capacity &- 1))] =
            address
        own &+= 1
    }

    /// - Precondition: there is room.
    mutating func append(_ frame: xdp_desc) {
        unsafe ring.entries.assumingMemoryBound(to: xdp_desc.self)[Int(own & (capacity &- 1))] =
            frame
        own &+= 1
    }

    /// What was appended is the kernel's from here on.
    mutating func submit() { unsafe sluice_release_u32(ring.producer, own) }

    /// Entries that the kernel has not taken yet.
    mutating func pending() -> Int {
        other = unsafe sluice_acquire_u32(ring.consumer)
        return Int(own &- other)
    }

    /// Takes the youngest entry back.
    /// - Precondition: the kernel has not looked at it.
    mutating func withdraw() -> xdp_desc {
        own &-= 1
        unsafe sluice_release_u32(ring.producer, own)
        return unsafe ring.entries.assumingMemoryBound(to: xdp_desc.self)[
            Int(own & (capacity &- 1))]
    }

    /// XDP_RING_NEED_WAKEUP.
    var needsWakeUp: Bool {
        unsafe sluice_acquire_u32(ring.flags) & UInt32(XDP_RING_NEED_WAKEUP) != 0
    }

    // MARK: For the rings that the kernel fills

    /// The position of the next entry, if there is one.
    private mutating func take() -> Int? {
        if own == other {
            other = unsafe sluice_acquire_u32(ring.producer)
            guard own != other else { return nil }
        }
        defer { own &+= 1 }
        return Int(own & (capacity &- 1))
    }

    mutating func nextFrame() -> xdp_desc? {
        guard let index = take() else { return nil }
        return unsafe ring.entries.assumingMemoryBound(to: xdp_desc.self)[index]
    }

    mutating func nextAddress() -> UInt64? {
        guard let index = take() else { return nil }
        return unsafe ring.entries.assumingMemoryBound(to: UInt64.self)[index]
    }

    /// What was taken is the kernel's to fill again.
    mutating func finish() { unsafe sluice_release_u32(ring.consumer, own) }
}
