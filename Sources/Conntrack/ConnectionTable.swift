// The connection table (nf_conntrack_core.c). One entry serves both directions of a connection: it
// hangs in the tuple hash under its original and under its reply tuple, and in a third index under its
// original source, and it enters and leaves all of them in one step, so that no half of a NAT pair
// can outlive the other.
//
// Life of an entry:
//
//   track ─ new ─▶ unconfirmed ─ bind … ─ confirm ─▶ in the table ─ expire, delete, evict ─▶ dying ─▶ free
//                       └ releaseUnconfirmed ─▶ free
//
// An unconfirmed entry belongs to the packet that made it and is found by nobody else. A dying entry
// is out of every index, but keeps its tuples until the next `expire`, so that the packet that ended it
// (a RST to a SYN) is still translated. A handle on a freed slot is stale and says so.
//
// The table never allocates after `init` (`listen` aside), never reads a clock or a random source,
// and is not to be used from two threads.

import Wire

public final class ConnectionTable {
    public let capacity: Int
    public var settings: ConntrackSettings
    public internal(set) var statistics = ConntrackStatistics()
    /// Entries in the table and entries not yet confirmed (`conntrack -C`).
    public internal(set) var count = 0
    /// Events lost because the ring was full.
    public internal(set) var eventsLost: UInt64 = 0

    /// Chains that tuples hang in.
    public var bucketCount: Int { storage.bucketCount }
    /// How many entries there may be at present.
    var maximum: Int { min(capacity, settings.maximum.map(Int.init) ?? capacity) }

    let storage: ConnectionStorage
    let hash: TupleHash
    /// What free ports are chosen with.
    package var random: SeededRandom
    var wheel = TimerWheel(now: Timestamp(nanoseconds: 0))
    /// Slots from here on were never used.
    var slotsTouched: UInt32 = 0
    var freeHead = noEntry
    /// Dying entries in order of their end.
    var dyingHead = noEntry
    var dyingTail = noEntry
    /// Entries that may be evicted, oldest first.
    var evictableHead = noEntry
    var evictableTail = noEntry
    /// An entry was refused: the collector works at the next `expire`.
    var wantsCollection = false
    var events = EventRing()
    /// The accounts of servers and of clients that keep them.
    var serverLoads: [ServerLoad] = []
    var clientUses: [ClientUse] = []
    /// Carries packets of established connections past the table.
    public weak var carrier: (any ConnectionCarrier)?

    /// - Precondition: `capacity` is in 1...2^30 - 1.
    public init(
        capacity: Int, settings: ConntrackSettings = ConntrackSettings(), seed: UInt64
    ) {
        self.capacity = capacity
        self.settings = settings
        random = SeededRandom(seed: seed)
        hash = TupleHash(&random)
        storage = ConnectionStorage(capacity: capacity)
    }

    /// The slot behind a handle, `nil` for a stale one.
    @inline(__always)
    func slot(_ id: ConnectionID) -> UInt32? {
        guard id.index < slotsTouched, storage[id.index].generation == id.generation else {
            return nil
        }
        return id.index
    }

    func handle(_ index: UInt32) -> ConnectionID {
        ConnectionID(index: index, generation: storage[index].generation)
    }
}

// MARK: - Reading and writing single entries

extension ConnectionTable {
    /// Whether the handle is alive; a dying entry is until the next `expire`.
    public func contains(_ id: ConnectionID) -> Bool { slot(id) != nil }

    public func tuple(_ id: ConnectionID, _ direction: Direction) -> Tuple? {
        slot(id).map { storage[$0][direction] }
    }

    /// Empty for a stale handle.
    public func status(_ id: ConnectionID) -> ConnectionStatus {
        slot(id).map { storage[$0].status } ?? []
    }

    public func mark(_ id: ConnectionID) -> UInt32 {
        slot(id).map { storage[$0].mark } ?? 0
    }

    public func setMark(_ id: ConnectionID, _ mark: UInt32) {
        guard let index = slot(id), storage[index].mark != mark else { return }
        storage[index].mark = mark
        storage[index].pendingEvents.insert(.mark)
    }

    /// `.none` for a stale handle.
    public func zone(_ id: ConnectionID) -> Zone {
        slot(id).map { storage[$0].zone } ?? .none
    }

    public func tcpState(_ id: ConnectionID) -> TCPState? {
        guard let index = slot(id), storage[index].original.protocol == .tcp else { return nil }
        return storage[index].tcp.state
    }

    /// Time left, rounded down as the tools do.
    public func timeout(_ id: ConnectionID, now: Timestamp) -> Seconds {
        guard let index = slot(id) else { return Seconds(0) }
        catchUp(index)
        return storage[index].timeLeft(now)
    }

    /// The interface that MASQUERADE took the address from; `.none` where it did not.
    public func masqueradeInterface(_ id: ConnectionID) -> InterfaceIndex {
        slot(id).map { storage[$0].masqueradeInterface } ?? .none
    }

    public func setMasqueradeInterface(_ id: ConnectionID, _ interface: InterfaceIndex) {
        guard let index = slot(id) else { return }
        storage[index].masqueradeInterface = interface
    }

    /// A snapshot; `nil` for a stale handle.
    public func record(_ id: ConnectionID, now: Timestamp) -> ConnectionRecord? {
        slot(id).map { record($0, now) }
    }

    func record(_ index: UInt32, _ now: Timestamp) -> ConnectionRecord {
        catchUp(index)
        let entry = storage[index]
        let id = ConnectionID(index: index, generation: entry.generation)
        var record = ConnectionRecord(
            connection: id, id: hash.identity(entry.original, id), original: entry.original,
            reply: entry.reply, status: entry.status, mark: entry.mark,
            timeout: entry.timeLeft(now),
            tcpState: entry.original.protocol == .tcp ? entry.tcp.state : nil,
            start: entry.isTimed && entry.start != 0
                ? Timestamp(nanoseconds: entry.start) : nil)
        record.zone = entry.zone
        if entry.isCounted {
            record.counters = (entry.originalCounters, entry.replyCounters)
        }
        return record
    }
}

extension Connection {
    func timeLeft(_ now: Timestamp) -> Seconds {
        let base = status.contains(.confirmed) ? now.nanoseconds : 0
        guard expires > base else { return Seconds(0) }
        return Seconds(UInt32(clamping: (expires &- base) / nanosecondsPerSecond))
    }
}
