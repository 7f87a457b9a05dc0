// nf_conntrack_confirm: a packet has survived all hooks, and its new connection joins the table.

import Wire

extension ConnectionTable {
    /// To be called for every tracked packet that leaves the node or is delivered to it: inserts a new
    /// connection, and delivers the events that the packet caused.
    ///
    /// If the same connection was confirmed meanwhile by another packet, `tracked` takes that one.
    public func confirm(_ tracked: inout Tracked, now: Timestamp) -> DropReason? {
        guard let id = tracked.connection, let index = slot(id) else { return nil }
        let status = storage[index].status
        if !status.contains(.confirmed), tracked.direction == .original {
            if let reason = insert(index, &tracked, now) { return reason }
        }
        deliverPending(index, now)
        return nil
    }

    /// The packet that made the connection died before `confirm`. A confirmed connection stays.
    public func releaseUnconfirmed(_ id: ConnectionID) {
        guard let index = slot(id) else { return }
        let status = storage[index].status
        guard !status.contains(.confirmed), !status.contains(.dying) else { return }
        end(index, now: Timestamp(nanoseconds: 0))
    }

    private func insert(
        _ index: UInt32, _ tracked: inout Tracked, _ now: Timestamp
    ) -> DropReason? {
        guard !storage[index].status.contains(.dying) else {
            statistics.insertFailed &+= 1
            return .connectionDying
        }
        // Chains longer than 50 and a bit refuse another entry; the bit is random, so that nobody
        // can find out where a chain stands (MIN_CHAINLEN, MAX_CHAINLEN).
        let limit = 50 + Int(random.next() % 30)
        var obstacle = obstacle(
            Found(index: index, direction: .original), now: now, limit: limit)
        if case .none = obstacle {
            obstacle = self.obstacle(
                Found(index: index, direction: .reply), now: now, limit: limit)
        }
        switch obstacle {
        case .none:
            break
        case .clash(let other):
            return resolveClash(index, other, &tracked, now)
        case .chainTooLong:
            statistics.chainTooLong &+= 1
            statistics.insertFailed &+= 1
            end(index, now: now)
            return .tableFull
        }
        // The timeout runs from now on, not from when the packet was tracked.
        storage[index].expires &+= now.nanoseconds
        storage[index].start = now.nanoseconds
        storage[index].status.insert(.confirmed)
        storage[index].pendingEvents.insert(.new)
        chain(Found(index: index, direction: .original))
        chain(Found(index: index, direction: .reply))
        wheel.insert(index, storage)
        setEvictable(index, storage[index].mayBeEvicted)
        return nil
    }

    /// Two packets of one UDP flow raced: both entries say the same, the second is thrown away and
    /// its packet goes with the first. With one packet thread that takes an owner who tracks a packet before
    /// it has confirmed the one before. Anything else is a tuple that NAT could not make unique; there the
    /// reply tuple is what clashes, and the kernel drops the packet too (`nf_ct_resolve_clash_harder`).
    private func resolveClash(
        _ index: UInt32, _ other: Found, _ tracked: inout Tracked, _ now: Timestamp
    ) -> DropReason? {
        let mine = storage[index]
        let same =
            mine.original == storage[other.index].original
            && mine.reply == storage[other.index].reply
            && mine.zone == storage[other.index].zone
        end(index, now: now)
        guard mine.original.protocol == .udp, same else {
            statistics.drop &+= 1
            statistics.insertFailed &+= 1
            return .confirmClash
        }
        statistics.clashResolve &+= 1
        tracked.connection = handle(other.index)
        tracked.created = false
        return nil
    }
}
