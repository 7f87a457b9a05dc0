// When does which entry time out? A hierarchical wheel (Varghese and Lauck, 1987): four levels of
// 256 slots, a tick of 2^24 ns (16.8 ms), so that level 0 looks 4 s ahead, level 3 two years.
//
// A packet that prolongs its connection touches only the entry's deadline. The entry stays in its
// slot; when the slot's time comes, it is put where its deadline says. So a refresh costs a store,
// and an entry is moved a few times in its life rather than once per packet. A deadline that comes
// nearer does move the entry at once.
//
// Deadlines are exact: within the current tick an entry waits for its own nanosecond. The wheel knows
// slots and links, and leaves it to the table to end an entry.

import Wire

struct TimerWheel {
    static let tickShift: UInt64 = 24
    private static let levels = 4
    private static let slots: UInt64 = 256
    /// Farther deadlines are filed at this distance, and again when it is reached.
    private static let horizon: UInt64 = 1 << 30

    private var heads = [UInt32](repeating: noEntry, count: levels * Int(slots))
    /// One bit per slot that is not empty.
    private var occupied = [UInt64](repeating: 0, count: levels * 4)
    /// The first tick that is not wholly past.
    private(set) var cursor: UInt64

    init(now: Timestamp) { cursor = Self.tick(now.nanoseconds) }

    static func tick(_ nanoseconds: UInt64) -> UInt64 { nanoseconds >> tickShift }

    /// Files an entry under its deadline.
    mutating func insert(_ index: UInt32, _ storage: borrowing ConnectionStorage) {
        let wanted = Self.tick(storage[index].expires)
        let tick = min(max(wanted, cursor), cursor &+ Self.horizon)
        var level = 0
        while level < Self.levels &- 1,
            (tick >> (8 * UInt64(level))) &- (cursor >> (8 * UInt64(level))) >= Self.slots
        {
            level &+= 1
        }
        let slot = level &* 256 &+ Int((tick >> (8 * UInt64(level))) & 255)
        let head = heads[slot]
        storage[index].timerSlot = UInt32(slot)
        storage[index].timerTick = UInt32(truncatingIfNeeded: tick)
        storage[index].timerPrevious = noEntry
        storage[index].timerNext = head
        if head != noEntry { storage[head].timerPrevious = index }
        heads[slot] = index
        occupied[slot >> 6] |= 1 << UInt64(slot & 63)
    }

    mutating func remove(_ index: UInt32, _ storage: borrowing ConnectionStorage) {
        guard storage[index].timerSlot != noEntry else { return }
        let slot = Int(storage[index].timerSlot)
        let next = storage[index].timerNext
        let previous = storage[index].timerPrevious
        if next != noEntry { storage[next].timerPrevious = previous }
        if previous != noEntry {
            storage[previous].timerNext = next
        } else {
            heads[slot] = next
            if next == noEntry { occupied[slot >> 6] &= ~(1 << UInt64(slot & 63)) }
        }
        storage[index].timerSlot = noEntry
    }

    /// Whether an entry whose deadline changed would be found too late where it is filed.
    @inline(__always)
    static func isFiledTooLate(_ index: UInt32, _ storage: borrowing ConnectionStorage) -> Bool {
        let tick = UInt32(truncatingIfNeeded: tick(storage[index].expires))
        return Int32(bitPattern: tick &- storage[index].timerTick) < 0
    }

    /// The first occupied slot at or after the cursor on a level: the tick at which it begins.
    private func next(on level: Int) -> UInt64? {
        let shift = 8 * UInt64(level)
        let block = cursor >> shift
        let start = Int(block & 255)
        for step in 0...4 {
            let word = (start >> 6 &+ step) & 3
            var bits = occupied[level &* 4 &+ word]
            if step == 0 { bits &= ~0 << UInt64(start & 63) }
            if step == 4 { bits &= ~(~0 << UInt64(start & 63)) }
            guard bits != 0 else { continue }
            let slot = word &* 64 &+ bits.trailingZeroBitCount
            let distance = UInt64((slot &- start) & 255)
            return (block &+ distance) << shift
        }
        return nil
    }

    /// Where the next work waits: the lowest level wins a tie only after the higher ones were
    /// emptied into it.
    private func nextWork() -> (tick: UInt64, level: Int)? {
        var best: (tick: UInt64, level: Int)?
        for level in 0..<Self.levels {
            guard let tick = next(on: level) else { continue }
            if let known = best, known.tick < tick { continue }
            best = (tick, level)
        }
        return best
    }

    /// The next entry whose slot is due at `now`, `nil` when there is none. The caller ends it if its
    /// deadline has passed, else files it again.
    ///
    /// Entries of the current tick that are not due yet stay where they are.
    mutating func nextDue(now: Timestamp, _ storage: borrowing ConnectionStorage) -> UInt32? {
        let nowTick = Self.tick(now.nanoseconds)
        while let work = nextWork(), work.tick <= nowTick {
            cursor = max(cursor, work.tick)
            let slot = work.level &* 256 &+ Int((work.tick >> (8 * UInt64(work.level))) & 255)
            if work.level > 0 || cursor < nowTick { return heads[slot] }
            return firstPast(now, slot, storage)
        }
        cursor = max(cursor, nowTick)
        return nil
    }

    private func firstPast(
        _ now: Timestamp, _ slot: Int, _ storage: borrowing ConnectionStorage
    ) -> UInt32? {
        var index = heads[slot]
        while index != noEntry {
            let deadline = storage[index].expires
            if deadline <= now.nanoseconds || Self.tick(deadline) > cursor { return index }
            index = storage[index].timerNext
        }
        return nil
    }

    /// When to look again, at the latest a tick after the next deadline; `nil` while nothing is filed.
    var nextExpiry: Timestamp? {
        guard let work = nextWork() else { return nil }
        let tick = work.level == 0 ? work.tick &+ 1 : work.tick
        return Timestamp(nanoseconds: tick << Self.tickShift)
    }
}
