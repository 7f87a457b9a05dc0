// The lists of `-m recent` (net/netfilter/xt_recent.c): up to 100 addresses each, with the times at which
// each was seen. A list lives as long as a rule names it.

import Ruleset
import Wire

/// One address in a list.
private struct RecentEntry: BitwiseCopyable {
    var address: UInt32
    var ttl: UInt8
    /// Where the next time goes, and how many there are.
    var next: Int32 = 0
    var count: Int32 = 0
}

/// One list's place in the slabs.
private struct RecentList {
    /// `ip_list_tot`.
    static let capacity = 100

    var name: String
    /// Times per address, a power of two.
    var depth: Int
    var firstEntry: Int
    var firstTime: Int
    /// Of the rule that made the list; that of the others counts for nothing (recent_mt_check).
    var mask: UInt32
    var count = 0
}

/// What a rule asks, without its name.
struct RecentTest {
    var list: Int32
    var operation: RecentMatch.Operation
    var inverted: Bool
    var reaps: Bool
    var comparesTTL: Bool
    var ofDestination: Bool
    var seconds: UInt32
    var hitCount: UInt32
}

final class RecentLists {
    private var lists: [RecentList] = []
    private var tests: [RecentTest] = []
    private var entries = Slab<RecentEntry>(count: 0)
    /// Of each list, 100 slots in the order in which they were taken, then the free ones; and the
    /// taken ones, the one seen longest ago first.
    private var order = Slab<UInt8>(count: 0)
    private var age = Slab<UInt8>(count: 0)
    private var times = Slab<UInt64>(count: 0)

    // MARK: Between packets

    /// Lays the lists out for other rules. A list that is still named keeps its addresses, unless a
    /// rule now asks for more times than it kept: then it begins anew, as in the kernel.
    func follow(_ rules: [Stateful<RecentMatch>]) {
        var wanted: [RecentList] = []
        var places: [String: Int] = [:]
        // In the order in which they were added: the first one makes the list.
        for rule in rules.sorted(by: { $0.rule < $1.rule }) where !rule.isWaste {
            let depth = Self.depth(rule.match)
            if let place = places[rule.match.name] {
                wanted[place].depth = max(wanted[place].depth, depth)
            } else {
                places[rule.match.name] = wanted.count
                wanted.append(
                    RecentList(
                        name: rule.match.name, depth: depth, firstEntry: 0, firstTime: 0,
                        mask: rule.match.mask))
            }
        }
        tests = rules.map { RecentTest($0.match, list: places[$0.match.name] ?? 0) }
        layOut(wanted)
    }

    /// `nstamp_mask` + 1 of recent_mt_check.
    private static func depth(_ match: RecentMatch) -> Int {
        guard match.hitCount > 0 else { return 32 }
        var depth = 1
        while depth < Int(match.hitCount) { depth *= 2 }
        return depth
    }

    private func layOut(_ wanted: [RecentList]) {
        let former = lists
        let places = Dictionary(
            zip(former.map(\.name), former.indices), uniquingKeysWith: { first, _ in first })
        var next = wanted
        var (entryCount, timeCount) = (0, 0)
        for place in next.indices {
            if let old = places[next[place].name].map({ former[$0] }) {
                next[place].depth = max(next[place].depth, old.depth)
                next[place].mask = old.mask
            }
            next[place].firstEntry = entryCount
            next[place].firstTime = timeCount
            entryCount += RecentList.capacity
            timeCount += RecentList.capacity * next[place].depth
        }
        let isSame =
            next.count == former.count
            && zip(next, former).allSatisfy { $0.name == $1.name && $0.depth == $1.depth }
        guard !isSame else { return }
        lists = next
        var oldEntries = Slab<RecentEntry>(count: entryCount)
        var oldOrder = Slab<UInt8>(count: entryCount)
        var oldAge = Slab<UInt8>(count: entryCount)
        var oldTimes = Slab<UInt64>(count: timeCount)
        swap(&entries, &oldEntries)
        swap(&order, &oldOrder)
        swap(&age, &oldAge)
        swap(&times, &oldTimes)
        for place in lists.indices {
            let first = lists[place].firstEntry
            for slot in 0..<RecentList.capacity { order.begin(first + slot, with: UInt8(slot)) }
            guard let old = former.first(where: { $0.name == lists[place].name }),
                old.depth == lists[place].depth
            else { continue }
            lists[place].count = old.count
            for slot in 0..<RecentList.capacity {
                order[first + slot] = oldOrder[old.firstEntry + slot]
            }
            for position in 0..<old.count {
                age.begin(first + position, with: oldAge[old.firstEntry + position])
                let slot = Int(order[first + position])
                let entry = oldEntries[old.firstEntry + slot]
                entries.begin(first + slot, with: entry)
                for time in 0..<Int(entry.count) {
                    let offset = slot * old.depth + time
                    times.begin(
                        lists[place].firstTime + offset, with: oldTimes[old.firstTime + offset])
                }
            }
        }
    }

    // MARK: Packets

    /// `recent_mt`. `ttl` is the packet's as it arrived.
    func evaluate(
        _ index: Int, source: IPv4Address, destination: IPv4Address, ttl: UInt8, now: Ticks,
        counting: Bool
    ) -> Bool {
        let test = tests[index]
        let list = Int(test.list)
        let address = (test.ofDestination ? destination : source).rawValue & lists[list].mask
        guard let slot = find(list, address, ttl: test.comparesTTL ? ttl : 0) else {
            guard test.operation == .set else { return test.inverted }
            if counting { insert(list, address, ttl, now) }
            return !test.inverted
        }
        var result = test.inverted
        switch test.operation {
        case .set: result.toggle()
        case .remove:
            if counting { remove(list, slot) }
            return !result
        case .check, .update:
            // Before the clock has run that long, nothing is too old.
            let (since, before) = now.rawValue.subtractingReportingOverflow(
                UInt64(test.seconds) * Ticks.perSecond)
            let oldest = test.seconds == 0 || before ? 0 : since
            if isSeen(list, slot, since: oldest, times: test.hitCount) { result.toggle() }
            if test.reaps, counting {
                let keeps = test.operation == .update && result ? slot : nil
                reap(list, before: oldest, except: keeps)
            }
        }
        if counting, test.operation == .set || (test.operation == .update && result) {
            see(list, slot, ttl, now)
        }
        return result
    }

    /// The first entry taken for the address whose TTL agrees; 0 agrees with all.
    private func find(_ list: Int, _ address: UInt32, ttl: UInt8) -> Int? {
        let first = lists[list].firstEntry
        for position in 0..<lists[list].count {
            let slot = Int(order[first + position])
            let entry = entries[first + slot]
            if entry.address == address, ttl == 0 || entry.ttl == 0 || entry.ttl == ttl {
                return slot
            }
        }
        return nil
    }

    private func isSeen(_ list: Int, _ slot: Int, since: UInt64, times wanted: UInt32) -> Bool {
        let entry = entries[lists[list].firstEntry + slot]
        let first = lists[list].firstTime + slot * lists[list].depth
        var hits: UInt32 = 0
        for time in 0..<Int(entry.count) where times[first + time] >= since {
            hits += 1
            if wanted == 0 || hits >= wanted { return true }
        }
        return false
    }

    private func insert(_ list: Int, _ address: UInt32, _ ttl: UInt8, _ now: Ticks) {
        if lists[list].count == RecentList.capacity {
            remove(list, Int(age[lists[list].firstEntry]))
        }
        let first = lists[list].firstEntry
        let position = lists[list].count
        let slot = Int(order[first + position])
        entries.begin(first + slot, with: RecentEntry(address: address, ttl: ttl))
        age.begin(first + position, with: UInt8(slot))
        lists[list].count += 1
        see(list, slot, ttl, now)
    }

    /// `recent_entry_update`.
    private func see(_ list: Int, _ slot: Int, _ ttl: UInt8, _ now: Ticks) {
        let depth = Int32(lists[list].depth)
        let first = lists[list].firstEntry
        let place = entries[first + slot].next & (depth - 1)
        times.begin(
            lists[list].firstTime + slot * lists[list].depth + Int(place), with: now.rawValue)
        entries[first + slot].next = place + 1
        entries[first + slot].count = max(entries[first + slot].count, place + 1)
        entries[first + slot].ttl = ttl
        Self.moveToEnd(age, first, UInt8(slot), count: lists[list].count)
    }

    private func remove(_ list: Int, _ slot: Int) {
        let first = lists[list].firstEntry
        let count = lists[list].count
        Self.moveToEnd(age, first, UInt8(slot), count: count)
        Self.moveToEnd(order, first, UInt8(slot), count: count)
        lists[list].count -= 1
    }

    /// `recent_entry_reap`: one address at a time.
    private func reap(_ list: Int, before: UInt64, except kept: Int?) {
        guard lists[list].count > 0 else { return }
        let slot = Int(age[lists[list].firstEntry])
        guard slot != kept else { return }
        let entry = entries[lists[list].firstEntry + slot]
        let last = lists[list].firstTime + slot * lists[list].depth + Int(entry.next) - 1
        if times[last] < before { remove(list, slot) }
    }

    private static func moveToEnd(
        _ slots: borrowing Slab<UInt8>, _ first: Int, _ slot: UInt8, count: Int
    ) {
        var found = false
        for position in 0..<count {
            if slots[first + position] == slot { found = true }
            guard found, position + 1 < count else { continue }
            slots[first + position] = slots[first + position + 1]
        }
        if found { slots[first + count - 1] = slot }
    }

    // MARK: Reading

    var names: [String] { lists.map(\.name) }

    /// As /proc/net/xt_recent/NAME shows a list, in the order in which addresses came; `nil` where no
    /// rule names it.
    func text(_ name: String) -> String? {
        guard let list = lists.firstIndex(where: { $0.name == name }) else { return nil }
        var text = ""
        for position in 0..<lists[list].count {
            let slot = Int(order[lists[list].firstEntry + position])
            let entry = entries[lists[list].firstEntry + slot]
            let first = lists[list].firstTime + slot * lists[list].depth
            let seen = (0..<Int(entry.count)).map { "\(times[first + $0] + Ticks.atBoot)" }
            text += "src=\(IPv4Address(rawValue: entry.address)) ttl: \(entry.ttl)"
            text += " last_seen: \(seen[Int(entry.next) - 1]) oldest_pkt: \(entry.next) "
            text += seen.joined(separator: ", ") + "\n"
        }
        return text
    }
}

extension RecentTest {
    fileprivate init(_ match: RecentMatch, list: Int) {
        self.init(
            list: Int32(list), operation: match.operation, inverted: match.inverted,
            reaps: match.reaps, comparesTTL: match.comparesTTL,
            ofDestination: match.side == .destination, seconds: match.seconds,
            hitCount: match.hitCount)
    }
}
