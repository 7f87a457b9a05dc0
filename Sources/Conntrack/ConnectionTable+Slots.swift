// Slots, chains and lists: how an entry enters and leaves the table. Everything here takes a constant
// number of steps but for the walk along one chain, which is bounded.

import Wire

/// Where a tuple was found.
struct Found {
    var index: UInt32
    var direction: Direction

    init(index: UInt32, direction: Direction) {
        self.index = index
        self.direction = direction
    }

    /// A chain's link: the index twice plus the direction.
    init(link: UInt32) {
        index = link >> 1
        direction = link & 1 == 0 ? .original : .reply
    }

    var link: UInt32 { index << 1 | UInt32(direction.rawValue) }
}

extension ConnectionTable {
    /// Looks a tuple up. Entries past their deadline do not exist; unless `dry`, they are ended where
    /// they are met (`nf_ct_gc_expired`).
    /// A tuple stands for itself in each zone; where a zone keeps the directions apart, the packet may be
    /// of either (`resolve_normal_ct`).
    func lookUp(
        _ tuple: Tuple, _ zone: Zone, now: Timestamp, dry: Bool = false
    ) -> Found? {
        if let found = lookUp(tuple, zone, in: zone.original, now, dry) { return found }
        guard zone.original != zone.reply else { return nil }
        return lookUp(tuple, zone, in: zone.reply, now, dry)
    }

    /// The same among the tuples that are filed under one zone: `number` is the zone of the direction
    /// that is looked for, and who is found must agree with `zone` in its own.
    func lookUp(
        _ tuple: Tuple, _ zone: Zone, in number: UInt16, _ now: Timestamp, _ dry: Bool = false
    ) -> Found? {
        let bucket = hash(tuple, number)
        var link = storage.tupleHead(bucket)
        while link != noEntry {
            let candidate = Found(link: link)
            if isPast(candidate.index, now) {
                if dry {
                    link = successor(candidate)
                } else {
                    // Both of its links may have hung here: begin again without it.
                    end(candidate.index, now: now, expired: true)
                    link = storage.tupleHead(bucket)
                }
                continue
            }
            let direction = candidate.direction
            if storage[candidate.index][direction] == tuple,
                storage[candidate.index].zone[direction] == zone[direction]
            {
                return candidate
            }
            link = successor(candidate)
        }
        return nil
    }

    /// The connection of a tuple, in whichever direction. Changes nothing.
    public func find(
        _ tuple: Tuple, zone: Zone = .none, now: Timestamp
    ) -> (ConnectionID, Direction)? {
        lookUp(tuple, zone, now: now, dry: true).map { (handle($0.index), $0.direction) }
    }

    func successor(_ found: Found) -> UInt32 {
        found.direction == .original
            ? storage[found.index].nextOriginal : storage[found.index].nextReply
    }

    private func setSuccessor(_ found: Found, _ link: UInt32) {
        if found.direction == .original {
            storage[found.index].nextOriginal = link
        } else {
            storage[found.index].nextReply = link
        }
    }

    // MARK: Chains

    /// What stands in the way of inserting an entry under one of its tuples.
    enum Obstacle {
        case none
        case clash(Found)
        case chainTooLong
    }

    /// For one direction of an entry. Chains longer than `limit` refuse another one.
    func obstacle(_ found: Found, now: Timestamp, limit: Int) -> Obstacle {
        let tuple = storage[found.index][found.direction]
        let zone = storage[found.index].zone
        if let other = lookUp(tuple, zone, in: zone[found.direction], now) { return .clash(other) }
        var length = 0
        var link = storage.tupleHead(hash(tuple, zone[found.direction]))
        while link != noEntry {
            length &+= 1
            if length > limit { return .chainTooLong }
            link = successor(Found(link: link))
        }
        return .none
    }

    private func bucket(_ found: Found) -> Int {
        hash(
            storage[found.index][found.direction], storage[found.index].zone[found.direction])
    }

    func chain(_ found: Found) {
        let bucket = bucket(found)
        setSuccessor(found, storage.tupleHead(bucket))
        storage.setTupleHead(bucket, found.link)
    }

    private func unchain(_ found: Found) {
        let bucket = bucket(found)
        let after = successor(found)
        var link = storage.tupleHead(bucket)
        if link == found.link { return storage.setTupleHead(bucket, after) }
        while link != noEntry {
            let previous = Found(link: link)
            link = successor(previous)
            if link == found.link { return setSuccessor(previous, after) }
        }
        preconditionFailure("a confirmed entry hangs in the chains of both its tuples")
    }

    // MARK: Index by original source

    func indexSource(_ index: UInt32) {
        let bucket = hash.source(storage[index].original)
        let head = storage.sourceHead(bucket)
        storage[index].sourceNext = head
        storage[index].sourcePrevious = noEntry
        if head != noEntry { storage[head].sourcePrevious = index }
        storage.setSourceHead(bucket, index)
    }

    private func unindexSource(_ index: UInt32) {
        let next = storage[index].sourceNext
        let previous = storage[index].sourcePrevious
        if next != noEntry { storage[next].sourcePrevious = previous }
        if previous != noEntry {
            storage[previous].sourceNext = next
        } else {
            storage.setSourceHead(hash.source(storage[index].original), next)
        }
    }

    // MARK: Slots

    /// A slot for a new entry. Refuses when as many are in use as there may be.
    func allocate(_ tuple: Tuple, _ template: TrackingTemplate) -> UInt32? {
        guard count < maximum else { return nil }
        if freeHead == noEntry, slotsTouched == capacity { reclaimOldestDying() }
        let index: UInt32
        if freeHead != noEntry {
            index = freeHead
            freeHead = storage[index].timerNext
        } else {
            index = slotsTouched
            slotsTouched &+= 1
        }
        count &+= 1
        storage[index] = Connection(
            original: tuple, generation: storage[index].generation, template: template)
        storage[index].isCounted = settings.acct
        storage[index].isTimed = settings.timestamp
        storage[index].reportedEvents = reportedEvents(template.events)
        return index
    }

    /// Makes every handle on the slot stale and the slot free.
    func free(_ index: UInt32) {
        storage[index].generation &+= 1
        storage[index].status = []
        storage[index].timerNext = freeHead
        freeHead = index
    }

    /// Takes an entry out of every index at once. Its tuples stay readable until `reclaimDying`.
    func end(_ index: UInt32, now: Timestamp, expired: Bool = false) {
        let status = storage[index].status
        guard !status.contains(.dying) else { return }
        if storage[index].isNumbered { releaseCarried(index) }
        if status.contains(.confirmed) {
            unchain(Found(index: index, direction: .original))
            unchain(Found(index: index, direction: .reply))
            wheel.remove(index, storage)
            setEvictable(index, false)
            if expired { statistics.expired &+= 1 }
        }
        if status.contains(.sourceNATDone) { unindexSource(index) }
        if storage[index].isCharged { discharge(index, now: now) }
        storage[index].status.insert(.dying)
        count &-= 1
        if status.contains(.confirmed) { report(.destroy, index, now) }
        storage[index].evictNext = noEntry
        if dyingTail == noEntry { dyingHead = index } else { storage[dyingTail].evictNext = index }
        dyingTail = index
    }

    private func reclaimOldestDying() {
        let index = dyingHead
        precondition(index != noEntry, "a full slab without dying entries has a full count")
        dyingHead = storage[index].evictNext
        if dyingHead == noEntry { dyingTail = noEntry }
        free(index)
    }

    func reclaimDying() {
        while dyingHead != noEntry { reclaimOldestDying() }
    }

    // MARK: Entries that may be evicted

    func setEvictable(_ index: UInt32, _ evictable: Bool) {
        guard storage[index].isEvictable != evictable else { return }
        storage[index].isEvictable = evictable
        if evictable {
            storage[index].evictNext = noEntry
            storage[index].evictPrevious = evictableTail
            if evictableTail == noEntry {
                evictableHead = index
            } else {
                storage[evictableTail].evictNext = index
            }
            evictableTail = index
            return
        }
        let next = storage[index].evictNext
        let previous = storage[index].evictPrevious
        if next == noEntry {
            evictableTail = previous
        } else {
            storage[next].evictPrevious = previous
        }
        if previous == noEntry { evictableHead = next } else { storage[previous].evictNext = next }
    }
}
