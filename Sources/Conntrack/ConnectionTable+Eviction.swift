// A full table. As in the kernel, a new connection may push out an unassured one that hangs within
// eight chains of its own (early_drop); else the packet is dropped, and from then on a collector, which
// works in `expire`, takes unassured and closing entries until the table is below 95 % (gc_worker). An
// established, assured connection is never taken.

import Wire

/// NF_CT_EVICTION_RANGE: chains to look through.
private let evictionRange = 8

extension ConnectionTable {
    /// Evicts what may be evicted from the first chain near the tuple's that has any.
    func evictAndAllocate(
        _ tuple: Tuple, _ template: TrackingTemplate, now: Timestamp
    ) -> UInt32? {
        let bucket = hash(tuple, template.zone.original)
        for offset in 0..<evictionRange {
            var evicted: UInt64 = 0
            var expired = false
            while let victim = victim(in: bucket &+ offset, now: now) {
                if isPast(victim, now) {
                    end(victim, now: now, expired: true)
                    expired = true
                } else {
                    end(victim, now: now)
                    evicted &+= 1
                }
            }
            statistics.earlyDrop &+= evicted
            if evicted > 0 || expired { return allocate(tuple, template) }
        }
        wantsCollection = true
        return nil
    }

    /// Whether `evictAndAllocate` would find anything.
    func victims(near tuple: Tuple, _ zone: Zone, now: Timestamp) -> Bool {
        let bucket = hash(tuple, zone.original)
        return (0..<evictionRange).contains { victim(in: bucket &+ $0, now: now) != nil }
    }

    private func victim(in bucket: Int, now: Timestamp) -> UInt32? {
        var link = storage.tupleHead(bucket)
        while link != noEntry {
            let candidate = Found(link: link)
            let index = candidate.index
            if isPast(index, now)
                || !storage[index].status.contains(.assured)
            {
                return index
            }
            link = successor(candidate)
        }
        return nil
    }

    /// The collector's share of `expire`: at most `limit` entries.
    func collect(now: Timestamp, limit: Int) {
        guard wantsCollection else { return }
        let target = maximum / 100 * 95
        var left = limit
        while left > 0, count >= target, evictableHead != noEntry {
            end(evictableHead, now: now)
            statistics.collected &+= 1
            left &-= 1
        }
        if left > 0 { wantsCollection = false }
    }
}
