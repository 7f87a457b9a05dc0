// The table's memory: a slab of entries and two arrays of chain heads, mapped once and never grown. The
// only file of this module with pointers: every index is checked against the slab's length before it is
// used, and an entry is trivially copyable, so nothing has to be destroyed.
//
// Memory that no entry has used yet costs nothing: the kernel maps it as zeros, which is what a slot that
// was never used reads as (generation 0). Each entry begins with a cache line.

import CMemory
import Wire

@safe
struct ConnectionStorage: ~Copyable {
    /// Bytes from one entry to the next: four cache lines.
    static let entrySize = 256

    let capacity: Int
    /// A power of two.
    let bucketCount: Int
    private let entries: UnsafeMutableRawPointer
    private let tupleHeads: UnsafeMutablePointer<UInt32>
    private let sourceHeads: UnsafeMutablePointer<UInt32>

    init(capacity: Int) {
        precondition(
            capacity > 0 && capacity < 1 << 30, "a connection table holds 1 to 2^30 - 1 entries")
        precondition(
            MemoryLayout<Connection>.size <= Self.entrySize
                && MemoryLayout<Connection>.offset(of: \.pendingEvents) == 64
                && MemoryLayout<Connection>.offset(of: \.streamStart) == 128,
            "an entry's fields lie in the cache lines that its description names")
        var buckets = 16
        while buckets < capacity { buckets *= 2 }
        self.capacity = capacity
        bucketCount = buckets
        unsafe entries = Self.map(capacity * Self.entrySize)
        unsafe tupleHeads = Self.heads(buckets)
        unsafe sourceHeads = Self.heads(buckets)
    }

    deinit {
        unsafe sluice_unmap(entries, capacity * Self.entrySize)
        unsafe sluice_unmap(tupleHeads, bucketCount * 4)
        unsafe sluice_unmap(sourceHeads, bucketCount * 4)
    }

    private static func map(_ byteCount: Int) -> UnsafeMutableRawPointer {
        guard let memory = unsafe sluice_map(byteCount) else {
            fatalError("no memory for a connection table of \(byteCount) bytes")
        }
        return unsafe memory
    }

    private static func heads(_ count: Int) -> UnsafeMutablePointer<UInt32> {
        let heads = unsafe map(count * 4).bindMemory(to: UInt32.self, capacity: count)
        unsafe heads.initialize(repeating: noEntry, count: count)
        return unsafe heads
    }

    @inline(__always)
    private func entry(_ index: UInt32) -> UnsafeMutablePointer<Connection> {
        precondition(index < capacity, "an entry's index lies within the slab")
        return unsafe (entries + Int(index) &* Self.entrySize)
            .assumingMemoryBound(to: Connection.self)
    }

    /// Addressed in place: a `_modify` coroutine may put its frame on the heap.
    subscript(index: UInt32) -> Connection {
        @inline(__always) unsafeAddress { unsafe UnsafePointer(entry(index)) }
        @inline(__always) nonmutating unsafeMutableAddress { unsafe entry(index) }
    }

    /// Asks for the head of a chain before it is needed.
    @inline(__always)
    func prefetchHead(_ bucket: Int) {
        unsafe sluice_prefetch(tupleHeads + (bucket & (bucketCount &- 1)))
    }

    /// Asks for what a plain packet of TCP touches of an entry.
    @inline(__always)
    func prefetch(_ index: UInt32) {
        let entry = unsafe UnsafeRawPointer(entry(index))
        unsafe sluice_prefetch(entry)
        unsafe sluice_prefetch(entry + 64)
    }

    func tupleHead(_ bucket: Int) -> UInt32 {
        unsafe tupleHeads[bucket & (bucketCount &- 1)]
    }
    func setTupleHead(_ bucket: Int, _ link: UInt32) {
        unsafe tupleHeads[bucket & (bucketCount &- 1)] = link
    }
    func sourceHead(_ bucket: Int) -> UInt32 {
        unsafe sourceHeads[bucket & (bucketCount &- 1)]
    }
    func setSourceHead(_ bucket: Int, _ index: UInt32) {
        unsafe sourceHeads[bucket & (bucketCount &- 1)] = index
    }
}
