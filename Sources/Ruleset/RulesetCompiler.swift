// Compiles one ruleset after the other, and what is as it was only once.
//
// The pools only grow: a chain that changed is compiled behind what is there, and its former rules stay as
// waste. So every index that is in force keeps its meaning, jumps included, and the counters of what stays
// are where they were. Once a third of all rules is waste, everything is laid out anew.

/// How much a compiler had to do.
public struct CompilerStatistics: Hashable, Sendable {
    /// Chains whose rules were compiled, by all calls together.
    public var chainsCompiled = 0
    /// Chains that were taken as they were.
    public var chainsKept = 0
    /// How often everything was laid out anew.
    public var layouts = 0

    public init() {}
}

/// Where a snapshot stands among those of its compiler.
struct Lineage: Sendable {
    /// From 1; 0 for a snapshot that stands alone.
    var serial: UInt64 = 0
    /// The snapshot whose rules stand where they stood.
    var parent: UInt64?
    /// Rules that were compiled again: where they stood, and where they stand.
    var moved: [(before: Int32, index: Int32)] = []

    func continues(_ other: Lineage) -> Bool { other.serial != 0 && parent == other.serial }
}

public struct RulesetCompiler: Sendable {
    /// A chain that was compiled.
    private struct Known: Sendable {
        var rules: [Rule]
        var needsTracking = false
        var mayGrowPackets = false
        /// It has stateful matches of kinds that leave no waste behind.
        var hasOtherState = false
        /// Its places in `CompiledStateful.recents`.
        var recents = 0..<0
    }

    private var pools = CompilerPools()
    /// Indices into `known` and into the pools' chains, by name.
    private var slots: [TableName: [String: Int32]] = [:]
    /// The slots of a table's chains, in the order of the last ruleset.
    private var orders: [TableName: [Int32]] = [:]
    /// `nil` where the chain is gone.
    private var known: [Known?] = []
    private var wastedRules = 0
    public private(set) var statistics = CompilerStatistics()
    /// The chains that the last call compiled.
    public private(set) var lastCompiled: [String] = []

    /// The snapshots of one compiler may take each other's place, and that of one which stands alone.
    public init() {}

    /// Compiles `ruleset`, with the counters it has. Where it throws, nothing is changed.
    public mutating func compile(_ ruleset: Ruleset) throws(CompileError) -> CompiledRuleset {
        CompiledRuleset(try pools(of: ruleset))
    }

    mutating func pools(of ruleset: Ruleset) throws(CompileError) -> CompilerPools {
        var next = self
        next.lastCompiled = []
        next.pools.lineage.parent = pools.lineage.serial
        let isDone = pools.order.isEmpty ? false : try next.extend(ruleset)
        if !isDone || next.wastedRules > next.pools.rules.count / 3 {
            next = self
            next.lastCompiled = []
            try next.layOut(ruleset)
        }
        self = next
        return pools
    }

    private mutating func layOut(_ ruleset: Ruleset) throws(CompileError) {
        let serial = pools.lineage.serial
        pools = CompilerPools()
        pools.lineage = Lineage(serial: serial)
        (slots, orders, known, wastedRules) = ([:], [:], [], 0)
        statistics.layouts += 1
        _ = try extend(ruleset)
    }

    /// - Returns: `false` where a chain that changed cannot be left behind as waste.
    private mutating func extend(_ ruleset: Ruleset) throws(CompileError) -> Bool {
        pools.lineage.serial += 1
        pools.lineage.moved = []
        pools.order = []
        pools.baseChains = pools.baseChains.map { _ in -1 }
        pools.hasNAT = false
        var isLive = [Bool](repeating: false, count: known.count)
        var changed: [(table: TableName, chain: Chain, slot: Int32)] = []
        for name in TableName.allCases {
            guard let table = ruleset.tables.first(where: { $0.name == name }) else {
                orders[name] = nil
                continue
            }
            if name == .nat { pools.hasNAT = true }
            let former = orders[name] ?? []
            var cursor = former.startIndex
            let first = pools.order.count
            for chain in table.chains {
                let slot = place(
                    chain, at: find(chain.name, name, former, &cursor), name, &isLive)
                if keep(chain, at: slot) {
                    statistics.chainsKept += 1
                } else {
                    changed.append((name, chain, slot))
                }
            }
            orders[name] = Array(pools.order[first...])
        }
        for name in TableName.allCases {
            for (chain, slot) in slots[name] ?? [:] where !isLive[Int(slot)] {
                guard waste(slot) else { return false }
                known[Int(slot)] = nil
                slots[name]?[chain] = nil
            }
        }
        for (table, chain, slot) in changed {
            guard waste(slot) else { return false }
            try compile(chain, at: slot, table)
        }
        try checkJumps(ruleset, isLive)
        pools.needsTracking = known.indices.contains { known[$0]?.needsTracking == true }
        pools.mayGrowPackets = known.indices.contains { known[$0]?.mayGrowPackets == true }
        return true
    }

    /// The slot of a chain: mostly the next one of the last time, which spares a look into the names.
    private func find(
        _ chain: String, _ table: TableName, _ former: [Int32], _ cursor: inout Int
    ) -> Int32? {
        // Behind the one that is expected where that is gone; where this one is new the cursor stays.
        for place in cursor..<min(cursor + 2, former.count)
        where pools.chains[Int(former[place])].name == chain {
            cursor = place + 1
            return former[place]
        }
        return slots[table]?[chain]
    }

    /// The slot of a chain, a new one where it has none, with what a chain has besides its rules.
    private mutating func place(
        _ chain: Chain, at found: Int32?, _ table: TableName, _ isLive: inout [Bool]
    ) -> Int32 {
        let policy = chain.policy ?? .accept
        let slot: Int32
        if let found {
            slot = found
            if pools.chains[Int(slot)].policy != policy { pools.chains[Int(slot)].policy = policy }
            pools.policyCounters[Int(slot)] = chain.counters
        } else {
            slot = Int32(known.count)
            slots[table, default: [:]][chain.name] = slot
            known.append(nil)
            isLive.append(false)
            pools.chains.append(
                CompiledChain(name: chain.name, firstRule: 0, ruleCount: 0, policy: policy))
            pools.policyCounters.append(chain.counters)
        }
        isLive[Int(slot)] = true
        pools.order.append(slot)
        if let hook = chain.builtin {
            pools.baseChains[table.index * BuiltinChain.allCases.count + hook.index] = slot
        }
        return slot
    }

    /// Whether the chain says what it said; its rules' counters may be others.
    private mutating func keep(_ chain: Chain, at slot: Int32) -> Bool {
        // Equal at a glance where nobody has touched it.
        guard let former = known[Int(slot)]?.rules else { return false }
        if former == chain.rules { return true }
        guard former.count == chain.rules.count,
            zip(former, chain.rules).allSatisfy({ $0.id == $1.id && $0.says(thatOf: $1) })
        else { return false }
        let first = Int(pools.chains[Int(slot)].firstRule)
        for (offset, rule) in chain.rules.enumerated() {
            pools.ruleCounters[first + offset] = rule.counters
        }
        known[Int(slot)]?.rules = chain.rules
        return true
    }

    /// Gives up what a chain was compiled to.
    private mutating func waste(_ slot: Int32) -> Bool {
        guard let former = known[Int(slot)] else { return true }
        guard !former.hasOtherState else { return false }
        for index in former.recents { pools.stateful.recents[index].isWaste = true }
        wastedRules += former.rules.count
        return true
    }

    private mutating func compile(
        _ chain: Chain, at slot: Int32, _ table: TableName
    ) throws(CompileError) {
        statistics.chainsCompiled += 1
        lastCompiled.append(chain.name)
        let former = known[Int(slot)].map { ($0.rules, pools.chains[Int(slot)].firstRule) }
        (pools.needsTracking, pools.mayGrowPackets) = (false, false)
        let recents = pools.stateful.recents.count
        let others = pools.stateful.otherCount
        try pools.add(chain, at: slot, table, slots[table] ?? [:])
        known[Int(slot)] = Known(
            rules: chain.rules, needsTracking: pools.needsTracking,
            mayGrowPackets: pools.mayGrowPackets,
            hasOtherState: pools.stateful.otherCount > others,
            recents: recents..<pools.stateful.recents.count)
        guard let (rules, before) = former else { return }
        var places: [RuleID: Int32] = [:]
        for (offset, rule) in rules.enumerated() { places[rule.id] = before + Int32(offset) }
        let first = pools.chains[Int(slot)].firstRule
        for (offset, rule) in chain.rules.enumerated() {
            guard let before = places[rule.id] else { continue }
            pools.lineage.moved.append((before, first + Int32(offset)))
        }
    }

    /// A chain that was kept may lead to one that is gone, and deeper than before.
    private func checkJumps(
        _ ruleset: Ruleset, _ isLive: [Bool]
    ) throws(CompileError) {
        var place = 0
        for name in TableName.allCases {
            guard let table = ruleset.tables.first(where: { $0.name == name }) else { continue }
            // The greatest depth at which a chain was followed so far.
            var seen = [Int8](repeating: -1, count: known.count)
            for index in table.chains.indices {
                let slot = Int(pools.order[place])
                place += 1
                let rules = Int(pools.chains[slot].firstRule)..<pools.chains[slot].endRule
                for rule in rules {
                    switch pools.rules[rule].target {
                    case .jump(let target), .goto(let target):
                        guard !isLive[Int(target)] else { continue }
                        throw .noSuchChain(
                            name, chain: pools.chains[slot].name,
                            target: pools.chains[Int(target)].name)
                    default: continue
                    }
                }
                if table.chains[index].policy != nil {
                    try pools.checkDepth(from: slot, depth: 0, name, &seen)
                }
            }
        }
    }
}

extension CompiledStateful {
    /// Matches of the kinds that keep an account for each place.
    fileprivate var otherCount: Int { limits.count + connlimits.count + hashlimits.count }
}
