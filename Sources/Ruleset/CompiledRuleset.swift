// The immutable snapshot that packets walk: flat pools, chains as ranges, jumps as indices. Made by a
// `RulesetCompiler` and swapped in as a whole; only its counters change afterwards.

import Wire

/// A chain as a range of rules.
public struct CompiledChain: Sendable {
    public var name: String
    public var firstRule: Int32
    public var ruleCount: Int32
    /// Of a base chain; user chains return.
    public var policy: Policy

    @inlinable public var endRule: Int { Int(firstRule &+ ruleCount) }
}

/// Rules as packets walk them. Belongs to one worker from the moment it is swapped in.
public final class CompiledRuleset {
    public let chains: [CompiledChain]
    public let rules: [CompiledRule]
    let runs: [RuleRun]
    let runSlots: [RunSlot]
    public let matches: [CompiledMatch]
    public let portRanges: [PortRange]
    public let conntrackMatches: [ConntrackMatch]
    public let statelessMatches: [StatelessMatch]
    public let translations: [NATTarget]
    public let logs: [LogTarget]
    public let packetLogs: [NFLogTarget]
    public let connmarks: [ConnmarkTarget]
    public let trackingTargets: [CTTarget]
    public let stateful: CompiledStateful
    /// Indexed like `rules`.
    public let identities: [RuleID]
    /// Indexed like `rules` and like `chains`. What packets on `paths` counted is not among them before
    /// `settle`.
    var rulesCounted: [Counters]
    var policiesCounted: [Counters]
    var paths = RulePaths()
    /// Called before counters are read: whoever lets packets take paths adds what they counted.
    public var onReading: ((CompiledRuleset) -> Void)?
    public var nthCounters: [UInt32]
    /// Some rule needs connection tracking; without one nothing is tracked or reassembled.
    public let needsTracking: Bool
    /// The nat table exists, so that new connections are bound at its hooks.
    public let hasNAT: Bool
    /// Some rule may make a packet larger (TCPMSS); see `HookEngine.roomNeeded`.
    public let mayGrowPackets: Bool

    /// Indices into `chains` in the order of the ruleset.
    let order: [Int32]
    let lineage: Lineage
    /// Indices into `chains` by table and hook; -1 where a table has no chain there.
    private let baseChains: [Int32]
    /// Asked per packet and table; `allCases` itself makes an array.
    private let hookCount = BuiltinChain.allCases.count
    /// What the counters stood at when they were last handed out or made; see `adoptCounters`.
    var handedOutRules: [Counters]
    var handedOutPolicies: [Counters]

    init(_ pools: CompilerPools) {
        chains = pools.chains
        rules = pools.rules
        runs = pools.runs
        runSlots = pools.runSlots
        matches = pools.matches
        portRanges = pools.portRanges
        conntrackMatches = pools.conntrackMatches
        statelessMatches = pools.statelessMatches
        translations = pools.translations
        logs = pools.logs
        packetLogs = pools.packetLogs
        connmarks = pools.connmarks
        trackingTargets = pools.trackingTargets
        stateful = pools.stateful
        identities = pools.identities
        rulesCounted = pools.ruleCounters
        policiesCounted = pools.policyCounters
        nthCounters = pools.nthCounters
        needsTracking = pools.needsTracking
        hasNAT = pools.hasNAT
        mayGrowPackets = pools.mayGrowPackets
        baseChains = pools.baseChains
        order = pools.order
        lineage = pools.lineage
        handedOutRules = pools.ruleCounters
        handedOutPolicies = pools.policyCounters
    }

    /// The index of the base chain of `table` at `hook`, if the table has one there.
    public func baseChain(_ table: TableName, _ hook: BuiltinChain) -> Int? {
        let index = baseChains[table.index &* hookCount &+ hook.index]
        return index < 0 ? nil : Int(index)
    }
}

extension CompiledRuleset {
    /// Where the rule at `index`, met in `chain`, stands.
    public func position(in chain: Int, of index: Int) -> Int {
        index - Int(chains[chain].firstRule) + 1
    }
}
