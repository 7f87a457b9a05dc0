// A TPACKET_V3 receive ring: the kernel packs frames of any size into blocks and hands a block over when
// it is full or its timeout has passed. It suits capture: a lone packet waits for the timeout, which
// cannot be less than a millisecond. Kept beside SlotRing so that the choice can be measured again.

import CLinux
import Wire

@safe struct BlockRing: ~Copyable {
    private static let blockSize = 1 << 20
    private static let blockCount = 16
    private static let timeoutMilliseconds: UInt32 = 1

    private var ring = unsafe sluice_ring()
    /// The block being read, how many blocks before it are not yet given back, and the place in it.
    private var block = 0
    private var held = 0
    private var cursor: UnsafeMutablePointer<UInt8>?
    private var framesLeft: UInt32 = 0

    init(descriptor: Int32) throws(SystemError) {
        try check(
            sluice_packet_option(descriptor, PACKET_VERSION, Int32(TPACKET_V3.rawValue)),
            "choose TPACKET_V3", on: "packet socket")
        try check(
            unsafe sluice_packet_ring(
                descriptor, UInt32(Self.blockSize), UInt32(Self.blockCount), 2048,
                Self.timeoutMilliseconds, &ring),
            "map a receive ring of \(Self.blockCount) blocks", on: "packet socket")
    }

    deinit {
        var ring = unsafe self.ring
        unsafe sluice_packet_unmap(&ring)
    }

    // tpacket_block_desc: version, offset to private area, then tpacket_hdr_v1 whose first words are the
    // status, the number of frames and the offset of the first one.
    private static let statusOffset = 8
    private static let frameCountOffset = 12
    private static let firstFrameOffset = 16

    private func memory(ofBlock index: Int) -> UnsafeMutablePointer<UInt8> {
        unsafe ring.memory + index &* Self.blockSize
    }

    mutating func next() -> Arrival {
        if framesLeft == 0 {
            guard openBlock() else { return .empty }
        }
        guard let slot = unsafe cursor else { return .empty }
        let header = unsafe UnsafeRawPointer(slot).load(as: tpacket3_hdr.self)
        framesLeft &-= 1
        if framesLeft == 0 {
            closeBlock()
        } else {
            unsafe cursor = slot + Int(header.tp_next_offset)
        }
        guard header.tp_snaplen == header.tp_len else { return .oversized }
        let start = unsafe UnsafeMutableRawPointer(slot) + Int(header.tp_mac)
        return unsafe .frame(
            ArrivedFrame(
                start: start, byteCount: Int(header.tp_len),
                offload: OffloadHeader(at: start - OffloadHeader.byteCount)))
    }

    private mutating func openBlock() -> Bool {
        while held < Self.blockCount {
            let memory = unsafe memory(ofBlock: block)
            guard
                unsafe sluice_load_acquire(memory + Self.statusOffset) & UInt32(TP_STATUS_USER) != 0
            else { return false }
            framesLeft = unsafe UnsafeRawPointer(memory).load(
                fromByteOffset: Self.frameCountOffset, as: UInt32.self)
            let first = unsafe UnsafeRawPointer(memory).load(
                fromByteOffset: Self.firstFrameOffset, as: UInt32.self)
            unsafe cursor = memory + Int(first)
            if framesLeft > 0 { return true }
            // A block whose timeout passed while a frame was still being written may be empty.
            closeBlock()
        }
        return false
    }

    private mutating func closeBlock() {
        block = (block &+ 1) % Self.blockCount
        held &+= 1
    }

    /// Gives every block back whose last frame has been taken.
    mutating func release() {
        while held > 0 {
            let index = (block &- held &+ Self.blockCount) % Self.blockCount
            unsafe sluice_store_release(
                memory(ofBlock: index) + Self.statusOffset, UInt32(TP_STATUS_KERNEL))
            held &-= 1
        }
    }
}
