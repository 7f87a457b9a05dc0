// Packets that wait for a neighbour's MAC address (RFC 1122, 2.3.2.2: keep at least the latest).
// Sluice does not speak ARP: it asks the kernel through `NeighbourResolver` and hears of the answer
// from outside. Bounded per neighbour and in all; what is displaced is handed back to be counted.

public import Wire

/// Makes the kernel resolve a neighbour; the answer arrives as a change of the neighbour table.
public protocol NeighbourResolver: AnyObject {
    func probe(_ interface: InterfaceIndex, _ address: IPv4Address)
}

/// A next hop on an interface.
@frozen
public struct NeighbourKey: Hashable, Sendable {
    public var interface: InterfaceIndex
    public var address: IPv4Address

    @inlinable
    public init(interface: InterfaceIndex, address: IPv4Address) {
        self.interface = interface
        self.address = address
    }
}

/// The waiting packets, each a frame with what `Context` the caller needs to go on with it.
struct NeighbourQueue<Context>: ~Copyable {
    struct Limits {
        /// Frames per neighbour; the oldest gives way, as in `__neigh_event_send`.
        var frames = 101
        /// Bytes per neighbour; `unres_qlen_bytes` counts 212,992 of the kernel's buffers.
        var bytes = 131_072
        var neighbours = 256
        var poolBytes = 1 << 20
        var timeout = Seconds(5)
    }

    enum HoldOutcome {
        /// `isFirst`: nobody waited for this neighbour yet, so it must be probed.
        case held(isFirst: Bool)
        case full
    }

    private struct Waiting {
        var context: Context
        var chain: Int32
        var length: Int
        var next: Int32
    }

    private struct Neighbour {
        var key: NeighbourKey
        var deadline: Timestamp
        var first: Int32
        var last: Int32
        var frames: Int
        var bytes: Int
    }

    private let limits: Limits
    private var pool: ChunkPool
    private var waiting: [Waiting?]
    private var freeWaiting: [Int32]
    /// Few at a time: searched from the start.
    private var neighbours: [Neighbour] = []

    init(limits: Limits = Limits()) {
        self.limits = limits
        pool = ChunkPool(byteCount: limits.poolBytes)
        let slots = limits.poolBytes / ChunkPool.chunkSize
        waiting = (0..<slots).map { _ in nil }
        freeWaiting = Array((0..<Int32(slots)).reversed())
        neighbours.reserveCapacity(limits.neighbours)
    }

    var isEmpty: Bool { neighbours.isEmpty }
    /// Neighbours that are waited for.
    var count: Int { neighbours.count }
    func key(at index: Int) -> NeighbourKey { neighbours[index].key }
    func isOverdue(at index: Int, now: Timestamp) -> Bool { !(now < neighbours[index].deadline) }
    var nextDeadline: Timestamp? { neighbours.map(\.deadline).min() }

    /// Copies a frame to wait for `key`. The oldest frames of the same neighbour make room and are
    /// handed to `displaced`.
    mutating func hold(
        _ frame: RawSpan, length: Int, for key: NeighbourKey, _ context: Context, now: Timestamp,
        displaced: (Context) -> Void
    ) -> HoldOutcome {
        var isFirst = false
        var index = neighbours.firstIndex { $0.key == key } ?? -1
        if index < 0 {
            guard neighbours.count < limits.neighbours else { return .full }
            isFirst = true
            index = neighbours.count
            neighbours.append(
                Neighbour(
                    key: key, deadline: now + limits.timeout, first: ChunkPool.none,
                    last: ChunkPool.none, frames: 0, bytes: 0))
        }
        while neighbours[index].frames > 0,
            neighbours[index].frames >= limits.frames
                || neighbours[index].bytes + length > limits.bytes
        {
            if let context = removeFirst(index) { displaced(context) }
        }
        guard let chain = pool.store(frame, 0..<length) else {
            if neighbours[index].frames == 0 { neighbours.remove(at: index) }
            return .full
        }
        append(Waiting(context: context, chain: chain, length: length, next: -1), to: index)
        return .held(isFirst: isFirst)
    }

    private mutating func append(_ item: Waiting, to index: Int) {
        // A frame takes at least one chunk, and there are as many slots as chunks.
        guard let slot = freeWaiting.popLast() else {
            preconditionFailure("there is a slot for every chunk")
        }
        waiting[Int(slot)] = item
        if neighbours[index].last == ChunkPool.none {
            neighbours[index].first = slot
        } else {
            waiting[Int(neighbours[index].last)]?.next = slot
        }
        neighbours[index].last = slot
        neighbours[index].frames += 1
        neighbours[index].bytes += item.length
    }

    /// The length of the oldest frame that waits for this neighbour; `nil` when none is left.
    func nextLength(_ index: Int) -> Int? {
        let first = neighbours[index].first
        return first == ChunkPool.none ? nil : waiting[Int(first)]?.length
    }

    /// Takes out the oldest frame.
    /// - Precondition: `nextLength` was not `nil`, and `out` holds as many bytes.
    mutating func takeNext(_ index: Int, into out: inout MutableRawSpan) -> Context {
        guard let item = waiting[Int(neighbours[index].first)] else {
            preconditionFailure("a neighbour's first slot is in use")
        }
        pool.load(item.chain, count: item.length, into: &out, at: 0)
        guard let context = removeFirst(index) else {
            preconditionFailure("a neighbour's first slot is in use")
        }
        return context
    }

    /// Forgets a neighbour for which nothing waits any more.
    mutating func close(_ index: Int) {
        precondition(neighbours[index].frames == 0, "a neighbour is closed once its queue is empty")
        neighbours.remove(at: index)
    }

    private mutating func removeFirst(_ index: Int) -> Context? {
        let slot = neighbours[index].first
        guard slot != ChunkPool.none, let item = waiting[Int(slot)] else { return nil }
        neighbours[index].first = item.next
        if item.next == ChunkPool.none { neighbours[index].last = ChunkPool.none }
        neighbours[index].frames -= 1
        neighbours[index].bytes -= item.length
        pool.release(item.chain)
        waiting[Int(slot)] = nil
        freeWaiting.append(slot)
        return item.context
    }
}
