// Time passing, deletion, and walking the table in slices.

import Wire

extension ConnectionTable {
    /// Ends what has timed out and frees what died, touching at most `limit` entries. To be called
    /// once per batch, between packets: handles on dying entries turn stale here.
    ///
    /// `false` means that more is due at `now`. Nothing overdue is ever found by a look-up, however
    /// late this is called.
    @discardableResult
    public func expire(now: Timestamp, limit: Int = 1024) -> Bool {
        collect(now: now, limit: limit)
        var left = limit
        var finished = true
        while let index = wheel.nextDue(now: now, storage) {
            guard left > 0 else {
                finished = false
                break
            }
            left &-= 1
            if isPast(index, now) {
                end(index, now: now, expired: true)
            } else {
                wheel.remove(index, storage)
                wheel.insert(index, storage)
            }
        }
        reclaimDying()
        return finished && !wantsCollection
    }

    /// When `expire` is to be called next: at most a tick (17 ms) after the next deadline. `nil`
    /// while nothing can time out.
    public var nextExpiry: Timestamp? { wheel.nextExpiry }

    /// `conntrack -D` of one entry; `false` for a stale handle.
    @discardableResult
    public func delete(_ id: ConnectionID, now: Timestamp) -> Bool {
        guard let index = slot(id), storage[index].status.contains(.confirmed),
            !storage[index].status.contains(.dying)
        else { return false }
        end(index, now: now)
        return true
    }

    /// Ends every entry at once. For a large table in service, `delete(from:…)` does it in slices.
    public func flush(now: Timestamp) {
        _ = delete(from: 0, limit: capacity, now: now) { _ in true }
    }

    /// Visits the confirmed entries of up to `limit` slots from `cursor` on, 0 at the beginning;
    /// returns the next cursor, `nil` at the end.
    ///
    /// An entry that lives through the whole walk is visited exactly once.
    public func forEach(
        from cursor: UInt32, limit: Int, now: Timestamp, _ body: (ConnectionRecord) -> Void
    ) -> UInt32? {
        walk(from: cursor, limit: limit) { index in
            if isAlive(index, now) { body(record(index, now)) }
        }
    }

    /// Deletes the confirmed entries that `condition` holds for, in slices as `forEach`.
    public func delete(
        from cursor: UInt32, limit: Int, now: Timestamp,
        where condition: (ConnectionRecord) -> Bool
    ) -> (deleted: Int, next: UInt32?) {
        var deleted = 0
        let next = walk(from: cursor, limit: limit) { index in
            guard isAlive(index, now), condition(record(index, now)) else { return }
            end(index, now: now)
            deleted += 1
        }
        return (deleted, next)
    }

    /// `conntrack -z`: reads and zeroes the counters of one entry.
    public func zeroCounters(_ id: ConnectionID) {
        guard let index = slot(id) else { return }
        catchUp(index)
        storage[index].originalCounters = FlowCounters()
        storage[index].replyCounters = FlowCounters()
    }

    /// Ends masqueraded connections whose interface went down, or lost `address`
    /// (nf_nat_masquerade.c, device_cmp and inet_cmp); in slices as `forEach`.
    public func deleteMasqueraded(
        interface: InterfaceIndex, address: IPv4Address?, from cursor: UInt32, limit: Int,
        now: Timestamp
    ) -> (deleted: Int, next: UInt32?) {
        var deleted = 0
        let next = walk(from: cursor, limit: limit) { index in
            guard isAlive(index, now), storage[index].masqueradeInterface == interface else {
                return
            }
            if let address, storage[index].reply.destination != address { return }
            end(index, now: now)
            deleted += 1
        }
        return (deleted, next)
    }

    private func isAlive(_ index: UInt32, _ now: Timestamp) -> Bool {
        let status = storage[index].status
        return status.contains(.confirmed) && !status.contains(.dying)
            && !isPast(index, now)
    }

    private func walk(from cursor: UInt32, limit: Int, _ body: (UInt32) -> Void) -> UInt32? {
        var index = cursor
        var left = limit
        while index < slotsTouched {
            guard left > 0 else { return index }
            body(index)
            index &+= 1
            left &-= 1
        }
        return nil
    }
}
