// Memory for frames that do not lie in a port's own batch: the arena holds what the node makes
// during a batch (answers, reassembled datagrams, fragments), the chunk pool what waits longer (for
// its other fragments, for a neighbour). Both are allocated once; *full* is an ordinary outcome.
// The unsafe code of the data plane's storage is here.

import CMemory
import Wire

/// Bump allocation for one batch. Addresses stay valid until `reset`, so ports may point at them. A class,
/// because a packet that lies in it may make others: fragments, an answer.
@safe final class FrameArena {
    private let memory: UnsafeMutableRawBufferPointer
    private var used = 0

    init(byteCount: Int) {
        unsafe memory = .allocate(byteCount: byteCount, alignment: 64)
    }

    deinit { unsafe memory.deallocate() }

    /// The offset of `byteCount` fresh bytes, or `nil` when the batch's memory is used up.
    func reserve(_ byteCount: Int) -> Int? {
        let capacity = unsafe memory.count
        guard byteCount >= 0, byteCount <= capacity &- used else { return nil }
        let offset = used
        used = min(capacity, (used &+ byteCount &+ 63) & ~63)
        return offset
    }

    /// Bytes not reserved yet.
    var free: Int { unsafe memory.count &- used }

    /// Gives back the tail of the last reservation.
    func trim(_ offset: Int, to byteCount: Int) {
        used = min(used, (offset &+ byteCount &+ 63) & ~63)
    }

    func reset() { used = 0 }

    /// - Precondition: the range lies in a reservation.
    @inline(__always)
    func withBytes<R>(_ range: Range<Int>, _ body: (inout MutableRawSpan) -> R) -> R {
        precondition(
            range.lowerBound >= 0 && range.upperBound <= (unsafe memory.count),
            "an arena frame lies within the arena")
        var span = unsafe MutableRawSpan(
            _unsafeBytes: UnsafeMutableRawBufferPointer(rebasing: memory[range]))
        return body(&span)
    }
}

/// The frames that one port handed over, where they lie until its batch is released.
@safe final class FrameBatch {
    private let frames: UnsafeMutablePointer<UnsafeMutableRawBufferPointer>
    private let metadata: UnsafeMutablePointer<FrameMetadata>
    /// The chain that each frame's tuple hangs in.
    private let buckets: UnsafeMutablePointer<Int>
    private let capacity: Int
    private(set) var count = 0

    init(capacity: Int) {
        self.capacity = capacity
        unsafe frames = .allocate(capacity: capacity)
        unsafe metadata = .allocate(capacity: capacity)
        unsafe buckets = .allocate(capacity: capacity)
    }

    deinit {
        unsafe buckets.deallocate()
        unsafe frames.deallocate()
        unsafe metadata.deallocate()
    }

    func removeAll() { count = 0 }

    /// - Precondition: the frame's memory is its port's (see `FramePort.receive`), and there is room.
    func append(_ frame: inout MutableRawSpan, _ metadata: FrameMetadata) {
        precondition(count < capacity, "a port hands over no more frames than it was asked for")
        unsafe frame.withUnsafeMutableBytes { bytes in
            if let start = bytes.baseAddress { unsafe sluice_prefetch(start) }
            unsafe (frames + count).initialize(to: bytes)
        }
        unsafe (self.metadata + count).initialize(to: metadata)
        count &+= 1
    }

    @inline(__always)
    func withFrame<R>(
        _ index: Int, _ body: (inout MutableRawSpan, FrameMetadata) -> R
    ) -> R {
        precondition(index < count, "a frame lies within its batch")
        var span = unsafe MutableRawSpan(_unsafeBytes: frames[index])
        return unsafe body(&span, metadata[index])
    }

    /// Written before it is read, frame by frame.
    @inline(__always)
    func setBucket(_ index: Int, _ bucket: Int) {
        precondition(index < count, "a frame lies within its batch")
        unsafe buckets[index] = bucket
    }

    @inline(__always)
    func bucket(_ index: Int) -> Int {
        precondition(index < count, "a frame lies within its batch")
        return unsafe buckets[index]
    }
}

/// Chunks of 2 KB in chains. A chain is named by its first chunk.
@safe struct ChunkPool: ~Copyable {
    static let chunkSize = 2048
    static let none: Int32 = -1

    private let memory: UnsafeMutableRawBufferPointer
    private var next: [Int32]
    private var free: Int32
    private(set) var freeChunks: Int

    init(byteCount: Int) {
        let count = max(1, byteCount / Self.chunkSize)
        unsafe memory = .allocate(byteCount: count * Self.chunkSize, alignment: 64)
        next = (1...Int32(count)).map { $0 < count ? $0 : Self.none }
        free = 0
        freeChunks = count
    }

    deinit { unsafe memory.deallocate() }

    /// Copies `range` of `bytes` into a new chain; `nil` and nothing taken when there is no room.
    mutating func store(_ bytes: RawSpan, _ range: Range<Int>) -> Int32? {
        let needed = max(1, (range.count &+ Self.chunkSize &- 1) / Self.chunkSize)
        guard needed <= freeChunks else { return nil }
        let first = free
        var chunk = first
        var offset = range.lowerBound
        for index in 0..<needed {
            let end = min(range.upperBound, offset &+ Self.chunkSize)
            withChunk(chunk) { $0.copy(bytes, offset..<end, to: 0) }
            offset = end
            let following = next[Int(chunk)]
            if index == needed &- 1 {
                next[Int(chunk)] = Self.none
                free = following
            }
            chunk = following
        }
        freeChunks &-= needed
        return first
    }

    /// Copies the first `count` bytes of a chain to `offset` of `target`.
    func load(_ first: Int32, count: Int, into target: inout MutableRawSpan, at offset: Int) {
        var chunk = first
        var copied = 0
        while copied < count {
            precondition(chunk != Self.none, "a chain is as long as what was stored in it")
            let part = min(Self.chunkSize, count &- copied)
            let bytes = unsafe RawSpan(
                _unsafeBytes: UnsafeRawBufferPointer(
                    rebasing: memory[
                        Int(chunk) &* Self.chunkSize..<Int(chunk &+ 1) &* Self.chunkSize]))
            target.copy(bytes, 0..<part, to: offset &+ copied)
            copied &+= part
            chunk = next[Int(chunk)]
        }
    }

    mutating func release(_ first: Int32) {
        var last = first
        freeChunks &+= 1
        while next[Int(last)] != Self.none {
            last = next[Int(last)]
            freeChunks &+= 1
        }
        next[Int(last)] = free
        free = first
    }

    private func withChunk(_ chunk: Int32, _ body: (inout MutableRawSpan) -> Void) {
        let start = Int(chunk) &* Self.chunkSize
        var span = unsafe MutableRawSpan(
            _unsafeBytes: UnsafeMutableRawBufferPointer(
                rebasing: memory[start..<start &+ Self.chunkSize]))
        body(&span)
    }
}
