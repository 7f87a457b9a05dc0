// The table's memory: a slab of entries and two arrays of chain heads, allocated once and never
// grown. The only file of this module with pointers: every index is checked against the slab's length
// before it is used, and an entry is trivially copyable, so nothing has to be destroyed.

import Wire

@safe
struct ConnectionStorage: ~Copyable {
    let capacity: Int
    /// A power of two.
    let bucketCount: Int
    private let entries: UnsafeMutablePointer<Connection>
    private let tupleHeads: UnsafeMutablePointer<UInt32>
    private let sourceHeads: UnsafeMutablePointer<UInt32>

    init(capacity: Int) {
        precondition(
            capacity > 0 && capacity < 1 << 30, "a connection table holds 1 to 2^30 - 1 entries")
        var buckets = 16
        while buckets < capacity { buckets *= 2 }
        self.capacity = capacity
        bucketCount = buckets
        unsafe entries = UnsafeMutablePointer<Connection>.allocate(capacity: capacity)
        unsafe tupleHeads = UnsafeMutablePointer<UInt32>.allocate(capacity: buckets)
        unsafe sourceHeads = UnsafeMutablePointer<UInt32>.allocate(capacity: buckets)
        unsafe tupleHeads.initialize(repeating: noEntry, count: buckets)
        unsafe sourceHeads.initialize(repeating: noEntry, count: buckets)
        let nobody = Tuple(
            source: .any, destination: .any, sourcePort: Port(0), destinationPort: Port(0),
            protocol: IPProtocol(rawValue: 0))
        unsafe entries.initialize(
            repeating: Connection(original: nobody, generation: 0), count: capacity)
    }

    deinit {
        unsafe entries.deallocate()
        unsafe tupleHeads.deallocate()
        unsafe sourceHeads.deallocate()
    }

    /// Addressed in place: a `_modify` coroutine may put its frame on the heap.
    subscript(index: UInt32) -> Connection {
        unsafeAddress {
            precondition(index < capacity, "an entry's index lies within the slab")
            return unsafe UnsafePointer(entries + Int(index))
        }
        nonmutating unsafeMutableAddress {
            precondition(index < capacity, "an entry's index lies within the slab")
            return unsafe entries + Int(index)
        }
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
