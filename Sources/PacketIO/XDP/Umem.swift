// The memory that AF_XDP sockets receive into and send from, one for all ports of a node: a frame that came
// in on one port goes out on another by handing its chunk over. Every chunk has one holder at any time:
// the free list, a socket whose kernel side has it, or the batch in hand.

import CLinux
import Glibc

@safe public final class Umem {
    /// Large enough for an ordinary frame behind the 256 bytes that the kernel keeps free; small, so that
    /// more chunks stay in the CPU's cache.
    static let chunkSize = 2048
    /// XDP_PACKET_HEADROOM.
    static let headroom = 256
    /// The longest frame that a socket receives.
    static let largestFrame = chunkSize - headroom
    /// For each socket: what its fill ring holds, and as much again on its way out or in a batch.
    static let chunksPerSocket = 2 * XDPSocket.ringSize

    enum Place: UInt8 {
        case free
        /// The kernel may write into it.
        case filling
        /// In the batch in hand.
        case arrived
        /// The kernel may read it.
        case leaving
    }

    let memory: UnsafeMutableRawPointer
    let byteCount: Int
    private let chunkCount: Int
    private let places: UnsafeMutablePointer<Place>
    /// The socket that holds each chunk, by its number; 0 for free chunks.
    private let holders: UnsafeMutablePointer<UInt16>
    private let freeChunks: UnsafeMutablePointer<UInt32>
    private(set) var freeCount: Int
    private var lastSocket: UInt16 = 0
    /// Bound sockets, one of which lends the kernel's side of this memory to the next.
    private var lenders: [(number: UInt16, descriptor: Int32, isZeroCopy: Bool)] = []

    /// Room for `sockets` sockets, which is locked into memory once the first of them is bound.
    public init(sockets: Int) throws(SystemError) {
        chunkCount = max(1, sockets) * Self.chunksPerSocket
        byteCount = chunkCount * Self.chunkSize
        let mapped = unsafe mmap(
            nil, byteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard let mapped = unsafe mapped, unsafe mapped != MAP_FAILED else {
            throw SystemError("map \(byteCount) bytes", on: "umem", code: errno)
        }
        unsafe memory = mapped
        unsafe places = .allocate(capacity: chunkCount)
        unsafe places.initialize(repeating: .free, count: chunkCount)
        unsafe holders = .allocate(capacity: chunkCount)
        unsafe holders.initialize(repeating: 0, count: chunkCount)
        unsafe freeChunks = .allocate(capacity: chunkCount)
        freeCount = chunkCount
        // The lowest numbers are taken first.
        for index in 0..<chunkCount {
            unsafe freeChunks[index] = UInt32(chunkCount - 1 - index)
        }
    }

    deinit {
        unsafe munmap(memory, byteCount)
        unsafe places.deallocate()
        unsafe holders.deallocate()
        unsafe freeChunks.deallocate()
    }

    // MARK: Sockets

    /// A number for a new socket, never 0.
    func enlist() -> UInt16 {
        lastSocket &+= 1
        precondition(lastSocket != 0, "a node opens fewer than 65,536 AF_XDP sockets in its life")
        return lastSocket
    }

    /// A bound socket to share the umem with: all that share are of one kind.
    func lender(zeroCopy: Bool) -> Int32? {
        lenders.first { $0.isZeroCopy == zeroCopy }?.descriptor
    }

    func bound(_ number: UInt16, _ descriptor: Int32, zeroCopy: Bool) {
        lenders.append((number, descriptor, zeroCopy))
    }

    /// The socket is closed. What a driver read and wrote by itself is not used again: nothing says when it
    /// has let go of it.
    func dismiss(_ number: UInt16) {
        let wasZeroCopy = lenders.first { $0.number == number }?.isZeroCopy ?? false
        lenders.removeAll { $0.number == number }
        guard !wasZeroCopy else { return }
        for chunk in 0..<chunkCount where unsafe holders[chunk] == number {
            release(UInt32(chunk))
        }
    }

    // MARK: Chunks

    /// Takes a free chunk for the kernel to write into or to read.
    func take(_ place: Place, for number: UInt16) -> UInt32? {
        guard freeCount > 0 else { return nil }
        freeCount &-= 1
        let chunk = unsafe freeChunks[freeCount]
        move(chunk, to: place, number)
        return chunk
    }

    func move(_ chunk: UInt32, to place: Place, _ number: UInt16) {
        precondition(chunk < chunkCount, "a chunk lies within the umem")
        unsafe places[Int(chunk)] = place
        unsafe holders[Int(chunk)] = number
    }

    func release(_ chunk: UInt32) {
        precondition(place(of: chunk) != .free, "a chunk is given back once")
        move(chunk, to: .free, 0)
        unsafe freeChunks[freeCount] = chunk
        freeCount &+= 1
    }

    func place(of chunk: UInt32) -> Place {
        precondition(chunk < chunkCount, "a chunk lies within the umem")
        return unsafe places[Int(chunk)]
    }

    static func address(of chunk: UInt32) -> UInt64 { UInt64(chunk) &* UInt64(chunkSize) }
    static func chunk(at address: UInt64) -> UInt32 {
        UInt32(truncatingIfNeeded: address / UInt64(chunkSize))
    }

    /// The offset of a pointer into this memory; `nil` for all other memory.
    func address(of pointer: UnsafeRawPointer) -> UInt64? {
        let offset = unsafe pointer - UnsafeRawPointer(memory)
        return offset >= 0 && offset < byteCount ? UInt64(offset) : nil
    }

    /// - Precondition: the range lies within the umem.
    func pointer(_ address: UInt64, _ length: Int) -> UnsafeMutableRawPointer {
        precondition(
            length >= 0 && address <= UInt64(byteCount &- length), "a frame lies within the umem")
        return unsafe memory + Int(address)
    }
}
