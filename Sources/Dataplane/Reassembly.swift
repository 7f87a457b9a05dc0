// Puts fragmented datagrams together again before connection tracking sees them (RFC 791, 3.2;
// RFC 815's holes; net/ipv4/ip_fragment.c and inet_fragment.c, whose verdicts it shares).
//
// A datagram is a queue: what has arrived, sorted by offset, in a memory pool of fixed size.
//
//   waiting    accepts fragments; ends 30 s after its first fragment, whatever arrives meanwhile
//   complete   no hole and the last fragment is there: becomes one frame, the queue is freed
//   discarded  an overlap, a contradiction about its length, or a length over 65,535: everything
//              that arrived is dropped, and a fragment that comes later starts a new queue
//   given up   too many other fragments of its sender came since its last one: everything that
//              arrived is dropped, and the fragment that comes begins the datagram anew
//
// A fragment that lies wholly within what arrived in one run is a duplicate and dropped alone.

import Wire

/// What a fragment led to. Counts are frames, so that every frame ends in exactly one counter.
enum ReassemblyOutcome: Hashable {
    case waiting
    /// All of it has arrived; the next step is `Reassembly.takeCompleted`.
    case complete
    /// This fragment alone is dropped.
    case dropped(DropReason)
    /// The whole datagram is dropped: this fragment and the `others` that waited.
    case discarded(DropReason, others: Int)
}

/// A datagram put together: how long it is and what to remember of its fragments.
struct ReassembledDatagram: Hashable {
    /// Bytes of the frame, its 14 bytes of Ethernet header included.
    var frameLength: Int
    /// Frames that it came in.
    var frames: Int
    /// Bytes of the largest fragment, header included: IPCB's `frag_max_size`.
    var largestFragment: Int
    /// The largest fragment had DF set: the datagram has it now, and must leave in pieces no larger.
    var dontFragment: Bool
}

/// A datagram of which the rest did not arrive in time.
struct ExpiredDatagram: Hashable {
    var frames: Int
    var ingress: InterfaceIndex
    /// Bytes of the first fragment's frame, copied out so that an error can quote it; 0 without it.
    var firstFragmentLength: Int
}

struct Reassembly: ~Copyable {
    struct Key: Hashable {
        var source: IPv4Address
        var destination: IPv4Address
        var identification: UInt16
        var `protocol`: IPProtocol
        /// The node's own packets are put together apart from those that arrive (`ip_defrag_users`).
        var isOutput: Bool

        init(_ view: PacketView, _ ingress: InterfaceIndex) {
            isOutput = ingress == .none
            source = view.source
            destination = view.destination
            identification = view.identification
            `protocol` = view.protocol
        }
    }

    struct Queue {
        var key: Key
        var deadline: Timestamp
        var ingress: InterfaceIndex
        var firstPiece = ChunkPool.none
        var lastPiece = ChunkPool.none
        var pieces = 0
        /// Bytes of payload that arrived, and the datagram's payload length as far as known.
        var arrived = 0
        var length = 0
        var hasLast = false
        var headerLength = 0
        var largest = 0
        var largestDontFragment = 0
        /// Bit per ECN codepoint seen.
        var ecnSeen: UInt8 = 0
        /// The sender's count at the last fragment; `nil` while distances were not looked at.
        var lastCount: UInt32?
        // Links: hash bucket, and age (all live equally long, so the oldest ends first).
        var nextInBucket = ChunkPool.none
        var older = ChunkPool.none
        var newer = ChunkPool.none
    }

    /// One fragment's payload; for the first fragment its Ethernet and IP headers lie before it.
    struct Piece {
        var offset = 0
        var length = 0
        var chain = ChunkPool.none
        /// The run it belongs to, named by the run's first offset, and where that run ends: fragments
        /// that arrive in order grow one run (inet_fragment.c), and a duplicate is judged against runs.
        var runStart = 0
        var next = ChunkPool.none
    }

    /// A sender of which datagrams are waiting (the kernel's inet_peer).
    struct Sender {
        /// Its fragments so far, modulo 2^32.
        var count: UInt32 = 0
        var queues = 0
    }

    /// Of datagrams that begin from now on.
    var timeout: Seconds
    /// How many fragments of a sender's may come between two of a datagram; 0 is any number.
    var maximumDistance: UInt32 = 64
    /// Frames that had arrived of the datagram that `insert` just gave up for its distance.
    var givenUp = 0
    var senders: [IPv4Address: Sender] = [:]
    var pool: ChunkPool
    var queues: [Queue?]
    var pieces: [Piece]
    var buckets: [Int32]
    private var freeQueues: [Int32]
    private var freePieces: [Int32]
    private var oldest = ChunkPool.none
    private var newest = ChunkPool.none
    private let hashKey: UInt64
    var completed = ChunkPool.none
    /// Payload lengths of the datagram last completed, in order, as the kernel sends them on again
    /// (ip_do_fragment's fast path).
    var pieceLengths: [Int]

    /// - Parameters:
    ///   - byteCount: the pool's size; `ipfrag_high_thresh`.
    ///   - seed: keys the hash, so that its buckets cannot be aimed at.
    init(
        byteCount: Int = 4 << 20, datagrams: Int = 1024, timeout: Seconds = Seconds(30),
        seed: UInt64
    ) {
        self.timeout = timeout
        pool = ChunkPool(byteCount: byteCount)
        let pieceCount = byteCount / ChunkPool.chunkSize
        queues = Array(repeating: nil, count: datagrams)
        pieces = Array(repeating: Piece(), count: pieceCount)
        buckets = Array(repeating: ChunkPool.none, count: 1024)
        freeQueues = Array((0..<Int32(datagrams)).reversed())
        freePieces = Array((0..<Int32(pieceCount)).reversed())
        hashKey = seed | 1
        senders.reserveCapacity(datagrams)
        pieceLengths = []
        pieceLengths.reserveCapacity(pieceCount)
    }

    /// Whether anything waits, and until when at the earliest.
    var nextDeadline: Timestamp? {
        oldest == ChunkPool.none ? nil : queues[Int(oldest)]?.deadline
    }

    // MARK: Queues

    private func bucket(_ key: Key) -> Int {
        var hash = UInt64(key.source.rawValue) << 32 | UInt64(key.destination.rawValue)
        hash = (hash ^ hashKey) &* 0x9E37_79B9_7F4A_7C15
        hash ^= UInt64(key.identification) << 8 | UInt64(key.protocol.rawValue)
        hash = (hash ^ (hash >> 29)) &* 0xBF58_476D_1CE4_E5B9
        return Int(truncatingIfNeeded: hash >> 40) & (buckets.count - 1)
    }

    func find(_ key: Key) -> Int32? {
        var index = buckets[bucket(key)]
        while index != ChunkPool.none, let queue = queues[Int(index)] {
            if queue.key == key { return index }
            index = queue.nextInBucket
        }
        return nil
    }

    mutating func open(_ key: Key, ingress: InterfaceIndex, now: Timestamp) -> Int32? {
        guard let index = freeQueues.popLast() else { return nil }
        let bucket = bucket(key)
        var queue = Queue(key: key, deadline: now + timeout, ingress: ingress)
        if maximumDistance > 0 {
            var sender = senders[key.source] ?? Sender()
            sender.queues += 1
            senders.updateValue(sender, forKey: key.source)
            queue.lastCount = 0
        }
        queue.nextInBucket = buckets[bucket]
        buckets[bucket] = index
        // In the order of the deadlines, which is that of arrival unless the timeout was shortened.
        queue.older = newest
        while queue.older != ChunkPool.none, let older = queues[Int(queue.older)],
            queue.deadline < older.deadline
        {
            queue.newer = queue.older
            queue.older = older.older
        }
        if queue.older == ChunkPool.none {
            oldest = index
        } else {
            queues[Int(queue.older)]?.newer = index
        }
        if queue.newer == ChunkPool.none {
            newest = index
        } else {
            queues[Int(queue.newer)]?.older = index
        }
        queues[Int(index)] = queue
        return index
    }

    /// Frees a queue and everything in it; returns how many frames that were.
    @discardableResult
    mutating func close(_ index: Int32) -> Int {
        guard let queue = queues[Int(index)] else { return 0 }
        var piece = queue.firstPiece
        while piece != ChunkPool.none {
            let next = pieces[Int(piece)].next
            releasePiece(piece)
            piece = next
        }
        unlinkFromBucket(index, queue)
        if queue.lastCount != nil { releaseSender(queue.key.source) }
        if queue.older == ChunkPool.none {
            oldest = queue.newer
        } else {
            queues[Int(queue.older)]?.newer = queue.newer
        }
        if queue.newer == ChunkPool.none {
            newest = queue.older
        } else {
            queues[Int(queue.newer)]?.older = queue.older
        }
        queues[Int(index)] = nil
        freeQueues.append(index)
        return queue.pieces
    }

    private mutating func unlinkFromBucket(_ index: Int32, _ queue: Queue) {
        let bucket = bucket(queue.key)
        if buckets[bucket] == index {
            buckets[bucket] = queue.nextInBucket
            return
        }
        var previous = buckets[bucket]
        while previous != ChunkPool.none, let entry = queues[Int(previous)] {
            if entry.nextInBucket == index {
                queues[Int(previous)]?.nextInBucket = queue.nextInBucket
                return
            }
            previous = entry.nextInBucket
        }
    }

    private mutating func releaseSender(_ source: IPv4Address) {
        guard var sender = senders[source] else { return }
        sender.queues -= 1
        if sender.queues == 0 {
            senders.removeValue(forKey: source)
        } else {
            senders.updateValue(sender, forKey: source)
        }
    }

    // MARK: Pieces

    mutating func makePiece() -> Int32? { freePieces.popLast() }

    mutating func releasePiece(_ index: Int32) {
        if pieces[Int(index)].chain != ChunkPool.none { pool.release(pieces[Int(index)].chain) }
        pieces[Int(index)] = Piece()
        freePieces.append(index)
    }

    /// The oldest queue, if its time is up.
    func expired(now: Timestamp) -> Int32? {
        guard let deadline = nextDeadline, !(now < deadline) else { return nil }
        return oldest
    }
}
