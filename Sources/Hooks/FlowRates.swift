// The tables of `-m hashlimit` (net/netfilter/xt_hashlimit.c): credits for each flow. A table lives as
// long as a rule names it, with the settings of the rule that named it first.

import Ruleset
import Wire

/// What a table tells packets apart by.
struct FlowKey: BitwiseCopyable, Equatable {
    var source: UInt32 = 0
    var destination: UInt32 = 0
    var ports: UInt32 = 0
}

private let noFlow = UInt32.max

private struct Flow: BitwiseCopyable {
    var key: FlowKey
    /// Chain of the hash; or the next free slot.
    var next = noFlow
    /// Neighbours in the order of the last packet.
    var older = noFlow
    var newer = noFlow
    /// Ticks.
    var expires: UInt64 = 0
    var previous: UInt64 = 0
    var credit: UInt64 = 0
    /// The most there can be; of bytes, how often the second's worth can still be drawn.
    var cap: UInt64 = 0
    /// `--hashlimit-rate-match`: what this interval has seen, and whether the last one saw too much.
    var seen: UInt64 = 0
    var wasOver = false
}

private struct FlowTable {
    var match: HashlimitMatch
    var size: Int
    var most: Int
    var created: Ticks
    var firstHead = 0
    var firstFlow = 0
    var count = 0
    var touched: UInt32 = 0
    var free = noFlow
    var oldest = noFlow
    var newest = noFlow
}

/// What a rule asks of its table.
struct FlowTest: BitwiseCopyable {
    var table: Int32
    var above: Bool
    var countsBytes: Bool
    var matchesRate: Bool
}

final class FlowRates {
    private var tables: [FlowTable] = []
    /// Parallel to `tables`.
    private var names: [String] = []
    private var tests: [FlowTest] = []
    private var heads = Slab<UInt32>(count: 0)
    private var flows = Slab<Flow>(count: 0)
    private let secret: UInt64

    init(secret: UInt64) { self.secret = secret }

    // MARK: Between packets

    func follow(_ rules: [Stateful<HashlimitMatch>], now: Timestamp) {
        var wanted: [FlowTable] = []
        var order: [String] = []
        var places: [String: Int] = [:]
        for rule in rules where places[rule.match.name] == nil {
            places[rule.match.name] = wanted.count
            wanted.append(
                names.firstIndex(of: rule.match.name).map { tables[$0] }
                    ?? FlowTable(rule.match, created: Ticks(now)))
            order.append(rule.match.name)
        }
        tests = rules.map {
            FlowTest(
                table: Int32(places[$0.match.name] ?? 0), above: $0.match.above,
                countsBytes: $0.match.countsBytes, matchesRate: $0.match.matchesRate)
        }
        guard order != names else { return }
        names = order
        layOut(wanted)
    }

    private func layOut(_ wanted: [FlowTable]) {
        var oldHeads = Slab<UInt32>(
            count: wanted.reduce(0) { $0 + $1.size }, repeating: noFlow)
        var oldFlows = Slab<Flow>(count: wanted.reduce(0) { $0 + $1.most })
        swap(&heads, &oldHeads)
        swap(&flows, &oldFlows)
        tables = wanted
        var (head, flow) = (0, 0)
        for place in tables.indices {
            let old = wanted[place]
            tables[place].firstHead = head
            tables[place].firstFlow = flow
            // A table without flows was never in the old slabs, or has nothing in them.
            if old.touched > 0 {
                for bucket in 0..<old.size {
                    heads[head + bucket] = oldHeads[old.firstHead + bucket]
                }
                for slot in 0..<Int(old.touched) {
                    flows.begin(flow + slot, with: oldFlows[old.firstFlow + slot])
                }
            }
            head += old.size
            flow += old.most
        }
    }

    // MARK: Packets

    /// The key of a packet, or `nil` where it has no ports and the table asks for them
    /// (`hashlimit_init_dst`).
    func key(_ index: Int, _ view: PacketView, _ bytes: RawSpan) -> FlowKey? {
        let match = tables[Int(tests[index].table)]
        var key = FlowKey()
        if match.keys.contains(.destination) {
            key.destination = view.destination.rawValue & match.destinationMask
        }
        if match.keys.contains(.source) { key.source = view.source.rawValue & match.sourceMask }
        guard !match.keys.isDisjoint(with: [.sourcePort, .destinationPort]) else { return key }
        let offset: Int
        switch view.protocol.rawValue {
        case 6, 17, 33, 50, 132, 136: offset = 0
        case 51: offset = 4
        default: return key
        }
        // Of a later fragment these are bytes of the payload: so it is in the kernel.
        let start = view.transportOffset + offset
        guard start + 4 <= view.end else { return nil }
        if match.keys.contains(.sourcePort) { key.ports = UInt32(bytes.u16(start)) << 16 }
        if match.keys.contains(.destinationPort) { key.ports |= UInt32(bytes.u16(start + 2)) }
        return key
    }

    /// `hashlimit_mt_common`; `nil` where the table is full.
    func evaluate(_ index: Int, _ key: FlowKey, length: Int, now: Ticks, counting: Bool) -> Bool? {
        let test = tests[index]
        let table = Int(test.table)
        guard counting else {
            var flow = known(table, key, now).map { flows[$0] } ?? fresh(table, key, now)
            tables[table].refill(&flow, now)
            return judge(&flow, tables[table], test, length) != test.above
        }
        let slot: Int
        if let found = known(table, key, now) {
            slot = found
            tables[table].refill(&flows[slot], now)
        } else {
            guard let taken = take(table, key, now) else { return nil }
            slot = taken
        }
        flows[slot].expires = now.rawValue + Ticks.count(milliseconds: tables[table].expiry)
        touch(table, slot)
        return judge(&flows[slot], tables[table], test, length) != test.above
    }

    /// Whether the packet is below the limit, for which it pays.
    private func judge(
        _ flow: inout Flow, _ table: FlowTable, _ test: FlowTest, _ length: Int
    ) -> Bool {
        if test.matchesRate {
            flow.seen &+= test.countsBytes ? UInt64(length) : 1
            return !flow.wasOver && flow.seen <= table.rateBurst
        }
        let cost = test.countsBytes ? table.byteCost(&flow, length) : table.cost
        guard flow.credit >= cost else { return false }
        flow.credit -= cost
        return true
    }

    // MARK: Flows

    private func bucket(_ table: Int, _ key: FlowKey) -> Int {
        let first = (UInt64(key.source) << 32 | UInt64(key.destination)) ^ secret
        let second = (UInt64(key.ports) ^ secret &* 0x9E37_79B9_7F4A_7C15) | 1
        let product = first.multipliedFullWidth(by: second)
        let mixed = (product.high ^ product.low) &* 0x9E37_79B9_7F4A_7C15 >> 32
        return tables[table].firstHead + Int(mixed * UInt64(tables[table].size) >> 32)
    }

    /// The flow's slot; one that the collector would have taken by now does not exist any more.
    private func known(_ table: Int, _ key: FlowKey, _ now: Ticks) -> Int? {
        var link = heads[bucket(table, key)]
        while link != noFlow {
            let slot = tables[table].firstFlow + Int(link)
            if flows[slot].key == key {
                return flows[slot].expires <= tables[table].lastCollection(now) ? nil : slot
            }
            link = flows[slot].next
        }
        return nil
    }

    private func fresh(_ table: Int, _ key: FlowKey, _ now: Ticks) -> Flow {
        var flow = Flow(key: key)
        flow.previous = now.rawValue
        (flow.credit, flow.cap) = tables[table].firstCredit
        return flow
    }

    private func take(_ table: Int, _ key: FlowKey, _ now: Ticks) -> Int? {
        collect(table, now)
        guard tables[table].count < tables[table].most else { return nil }
        let link: UInt32
        if tables[table].free != noFlow {
            link = tables[table].free
            tables[table].free = flows[tables[table].firstFlow + Int(link)].next
        } else {
            link = tables[table].touched
            tables[table].touched += 1
        }
        let slot = tables[table].firstFlow + Int(link)
        let bucket = bucket(table, key)
        flows.begin(slot, with: fresh(table, key, now))
        flows[slot].next = heads[bucket]
        heads[bucket] = link
        flows[slot].older = tables[table].newest
        if tables[table].newest == noFlow {
            tables[table].oldest = link
        } else {
            flows[tables[table].firstFlow + Int(tables[table].newest)].newer = link
        }
        tables[table].newest = link
        tables[table].count += 1
        return slot
    }

    /// Frees what the collector would have taken: flows expire in the order of their last packets.
    private func collect(_ table: Int, _ now: Ticks) {
        let last = tables[table].lastCollection(now)
        while tables[table].oldest != noFlow {
            let link = tables[table].oldest
            let slot = tables[table].firstFlow + Int(link)
            guard flows[slot].expires <= last else { return }
            unlink(table, slot)
            unchain(table, slot, link)
            flows[slot].next = tables[table].free
            tables[table].free = link
            tables[table].count -= 1
        }
    }

    private func unchain(_ table: Int, _ slot: Int, _ link: UInt32) {
        let bucket = bucket(table, flows[slot].key)
        if heads[bucket] == link {
            heads[bucket] = flows[slot].next
            return
        }
        var before = tables[table].firstFlow + Int(heads[bucket])
        while flows[before].next != link {
            before = tables[table].firstFlow + Int(flows[before].next)
        }
        flows[before].next = flows[slot].next
    }

    private func unlink(_ table: Int, _ slot: Int) {
        let first = tables[table].firstFlow
        let (older, newer) = (flows[slot].older, flows[slot].newer)
        if older == noFlow {
            tables[table].oldest = newer
        } else {
            flows[first + Int(older)].newer = newer
        }
        if newer == noFlow {
            tables[table].newest = older
        } else {
            flows[first + Int(newer)].older = older
        }
    }

    private func touch(_ table: Int, _ slot: Int) {
        let first = tables[table].firstFlow
        let link = UInt32(slot - first)
        guard tables[table].newest != link else { return }
        unlink(table, slot)
        flows[slot].older = tables[table].newest
        flows[slot].newer = noFlow
        flows[first + Int(tables[table].newest)].newer = link
        tables[table].newest = link
    }
}

extension FlowTable {
    /// The size that the kernel chooses with more than a gigabyte of memory, and its greatest
    /// (HASHLIMIT_MAX_SIZE).
    private static let usualSize = 8192
    private static let greatestSize = 1_048_576

    init(_ match: HashlimitMatch, created: Ticks) {
        self.match = match
        // Of no use to packets, who would count references to it.
        self.match.name = ""
        self.created = created
        size = match.size == 0 ? Self.usualSize : min(Int(match.size), Self.greatestSize)
        most = match.most == 0 ? 8 * size : max(size, min(Int(match.most), Self.greatestSize))
    }

    var keys: HashlimitMatch.Keys { match.keys }
    var expiry: UInt32 { match.expiry }
    var sourceMask: UInt32 { Self.mask(match.sourceLength) }
    var destinationMask: UInt32 { Self.mask(match.destinationLength) }
    private static func mask(_ length: UInt32) -> UInt32 { length == 0 ? 0 : .max << (32 - length) }

    /// When the collector last ran.
    func lastCollection(_ now: Ticks) -> UInt64 {
        let interval = Ticks.count(milliseconds: match.collectionInterval)
        guard now > created else { return 0 }
        let runs = (now.rawValue - created.rawValue) / interval
        return runs == 0 ? 0 : created.rawValue + runs * interval
    }

    private static let secondOfBytes =
        HashlimitMatch.byteCreditsPerTick * HashlimitMatch.ticksPerSecond

    var cost: UInt64 {
        match.countsBytes
            ? HashlimitMatch.byteCredits(match.average) : HashlimitMatch.credits(match.average)
    }

    /// `rateinfo_init`.
    var firstCredit: (credit: UInt64, cap: UInt64) {
        if match.matchesRate { return (0, 0) }
        if match.countsBytes { return (Self.secondOfBytes, match.burst) }
        let credit = HashlimitMatch.credits(match.average &* match.burst)
        return (credit, credit)
    }

    private var rate: UInt64 {
        guard match.countsBytes else { return match.average == 0 ? 0 : 1_000_000 / match.average }
        let cost = match.average & UInt64(UInt32.max)
        return ((cost == 0 ? UInt64(UInt32.max) : UInt64(UInt32.max) / cost) &- 1) << 4
    }

    var rateBurst: UInt64 {
        guard match.countsBytes else { return match.burst &+ rate }
        return match.burst == 0 ? rate : match.burst &* rate
    }

    /// `rateinfo_recalc`.
    func refill(_ flow: inout Flow, _ now: Ticks) {
        let passed = now.rawValue - flow.previous
        guard passed > 0 else { return }
        if match.matchesRate {
            let interval = UInt64(match.interval) * Ticks.perSecond
            guard passed >= interval else { return }
            flow.previous = now.rawValue
            flow.wasOver = flow.seen &* interval > passed &* rate
            flow.seen = 0
            return
        }
        flow.previous = now.rawValue
        guard match.countsBytes else {
            flow.credit = min(flow.cap, flow.credit &+ passed &* HashlimitMatch.creditsPerTick)
            return
        }
        flow.credit = min(
            Self.secondOfBytes, flow.credit &+ passed &* HashlimitMatch.byteCreditsPerTick)
    }

    /// `hashlimit_byte_cost`: draws a second's worth more while the burst lasts.
    func byteCost(_ flow: inout Flow, _ length: Int) -> UInt64 {
        let pieces = UInt64(length >> 4) + 1
        let cost = min(pieces &* self.cost, Self.secondOfBytes)
        if flow.credit < cost, flow.cap > 0 {
            flow.cap -= 1
            flow.credit = Self.secondOfBytes
        }
        return cost & UInt64(UInt32.max)
    }
}
