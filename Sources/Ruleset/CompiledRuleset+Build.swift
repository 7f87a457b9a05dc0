// From rules as a person said them to rules as packets walk them. What the command engine let pass is
// sound; what could still be wrong (a jump to nowhere, nesting deeper than the kernel's) is refused.

import Wire

/// Why a ruleset cannot be compiled.
public enum CompileError: Error, Hashable, Sendable {
    case noSuchChain(TableName, chain: String, target: String)
    /// Jumps nest deeper than nf_tables allows (NFT_JUMP_STACK_SIZE), or run in a circle.
    case jumpsTooDeep(TableName, chain: String)
    case badInterfaceName(String)
}

extension CompileError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .noSuchChain(let table, let chain, let target):
            "table \(table.rawValue), chain \(chain): there is no chain '\(target)' to jump to"
        case .jumpsTooDeep(let table, let chain):
            "table \(table.rawValue), chain \(chain): jumps nest deeper than 16 or run in a circle"
        case .badInterfaceName(let name):
            "interface name '\(name)': expected at most 15 characters"
        }
    }
}

extension CompiledRuleset {
    /// Compiles a whole ruleset, with the counters it has.
    public convenience init(_ ruleset: Ruleset) throws(CompileError) {
        var compiler = RulesetCompiler()
        var pools = try compiler.pools(of: ruleset)
        pools.lineage = Lineage()
        self.init(pools)
    }

    /// The ruleset of a node where nobody said anything.
    public convenience init() {
        self.init(CompilerPools())
    }
}

extension BuiltinChain {
    /// The position in `allCases`, which is the order of the hooks.
    @inlinable public var index: Int {
        switch self {
        case .prerouting: 0
        case .input: 1
        case .forward: 2
        case .output: 3
        case .postrouting: 4
        }
    }
}

extension TableName {
    /// The position in `allCases`.
    @inlinable public var index: Int {
        switch self {
        case .raw: 0
        case .mangle: 1
        case .nat: 2
        case .filter: 3
        }
    }
}

/// The pools while they grow.
struct CompilerPools {
    var chains: [CompiledChain] = []
    var rules: [CompiledRule] = []
    var runs: [RuleRun] = []
    var runSlots: [RunSlot] = []
    var matches: [CompiledMatch] = []
    var portRanges: [PortRange] = []
    var conntrackMatches: [ConntrackMatch] = []
    var statelessMatches: [StatelessMatch] = []
    var translations: [NATTarget] = []
    var logs: [LogTarget] = []
    var packetLogs: [NFLogTarget] = []
    var connmarks: [ConnmarkTarget] = []
    var trackingTargets: [CTTarget] = []
    var stateful = CompiledStateful()
    var identities: [RuleID] = []
    var ruleCounters: [Counters] = []
    var policyCounters: [Counters] = []
    var nthCounters: [UInt32] = []
    var needsTracking = false
    var hasNAT = false
    var mayGrowPackets = false
    var baseChains = [Int32](
        repeating: -1, count: TableName.allCases.count * BuiltinChain.allCases.count)
    /// The chains in the order of the ruleset, where those that changed stand elsewhere.
    var order: [Int32] = []
    var lineage = Lineage()

    /// Compiles the rules of a chain behind those that are there, as the chain at `slot`.
    mutating func add(
        _ chain: Chain, at slot: Int32, _ table: TableName, _ indices: [String: Int32]
    ) throws(CompileError) {
        let firstRule = Int32(rules.count)
        for rule in chain.rules { try add(rule, table, chain.name, indices) }
        findRuns(Int(firstRule)..<rules.count)
        chains[Int(slot)].firstRule = firstRule
        chains[Int(slot)].ruleCount = Int32(rules.count) - firstRule
    }

    /// Follows every jump; with at most 16 levels this ends even where jumps run in a circle.
    /// - Parameter seen: the greatest depth at which a chain was followed so far, or -1.
    func checkDepth(
        from chain: Int, depth: Int8, _ table: TableName, _ seen: inout [Int8]
    ) throws(CompileError) {
        if seen[chain] >= depth { return }
        seen[chain] = depth
        guard depth <= 16 else {
            throw .jumpsTooDeep(table, chain: chains[chain].name)
        }
        for index in Int(chains[chain].firstRule)..<chains[chain].endRule {
            switch rules[index].target {
            // A goto takes no place on the stack, but a circle of them would never end.
            case .jump(let target), .goto(let target):
                try checkDepth(from: Int(target), depth: depth + 1, table, &seen)
            default: continue
            }
        }
    }

    private mutating func add(
        _ rule: Rule, _ table: TableName, _ chain: String, _ indices: [String: Int32]
    ) throws(CompileError) {
        let firstMatch = Int32(matches.count)
        var flags: CompiledRuleFlags = []
        for predicate in rule.predicates {
            add(predicate, of: rule.id, from: firstMatch)
            if predicate.looksFurther { flags.insert(.looksFurther) }
        }
        if rule.source.inverted { flags.insert(.notSource) }
        if rule.destination.inverted { flags.insert(.notDestination) }
        if let test = rule.protocol {
            flags.insert(.hasProtocol)
            if test.inverted { flags.insert(.notProtocol) }
        }
        if let test = rule.fragment {
            flags.insert(test.inverted ? .notLaterFragment : .laterFragment)
        }
        if let test = rule.inInterface {
            flags.insert(.hasInInterface)
            if test.inverted { flags.insert(.notInInterface) }
        }
        if let test = rule.outInterface {
            flags.insert(.hasOutInterface)
            if test.inverted { flags.insert(.notOutInterface) }
        }
        rules.append(
            CompiledRule(
                source: rule.source.network, destination: rule.destination.network,
                inPattern: try pattern(rule.inInterface),
                outPattern: try pattern(rule.outInterface), flags: flags,
                protocol: rule.protocol?.value ?? IPProtocol(rawValue: 0),
                firstMatch: firstMatch, matchCount: Int32(matches.count) - firstMatch,
                target: try target(rule.target, table, chain, indices)))
        identities.append(rule.id)
        ruleCounters.append(rule.counters)
    }

    private func pattern(_ match: InterfaceMatch?) throws(CompileError) -> InterfacePattern {
        let name = match?.name ?? ""
        guard let pattern = InterfacePattern(name, wildcard: match?.wildcard ?? true) else {
            throw .badInterfaceName(name)
        }
        return pattern
    }
}

extension CompilerPools {
    private mutating func add(
        _ predicate: Predicate, of rule: RuleID, from firstMatch: Int32
    ) {
        let position = Int32(matches.count) - firstMatch
        switch predicate {
        case .ports(let kind, let source, let destination, let judgesHeader):
            matches.append(
                .ports(
                    CompiledPorts(
                        kind: kind, source: source, destination: destination,
                        judgesHeader: judgesHeader)))
        case .tcpFlags(let flags): matches.append(.tcpFlags(flags))
        case .tcpOption(let option): matches.append(.tcpOption(option))
        case .icmp(let icmp): matches.append(.icmp(icmp))
        case .multiport(let multiport): add(multiport)
        case .state(let states):
            needsTracking = true
            matches.append(.state(states))
        case .conntrack(let conntrack):
            needsTracking = true
            matches.append(.conntrack(Int32(conntrackMatches.count)))
            conntrackMatches.append(conntrack)
        case .statistic(let statistic): add(statistic)
        case .mark(let test): matches.append(.mark(test))
        case .addrtype(let types): matches.append(.addressType(types))
        case .stateless(let match):
            matches.append(.stateless(Int32(statelessMatches.count)))
            statelessMatches.append(match)
        case .connmark(let test):
            needsTracking = true
            matches.append(.connmark(test))
        case .limit(let limit):
            matches.append(.stateful(.limit(Int32(stateful.limits.count))))
            stateful.limits.append(Stateful(match: limit, rule: rule, position: position))
        case .connlimit(let limit):
            needsTracking = true
            matches.append(.stateful(.connlimit(Int32(stateful.connlimits.count))))
            stateful.connlimits.append(Stateful(match: limit, rule: rule, position: position))
        case .recent(let recent):
            matches.append(.stateful(.recent(Int32(stateful.recents.count))))
            stateful.recents.append(Stateful(match: recent, rule: rule, position: position))
        case .hashlimit(let limit):
            matches.append(.stateful(.hashlimit(Int32(stateful.hashlimits.count))))
            stateful.hashlimits.append(Stateful(match: limit, rule: rule, position: position))
        }
    }

    private mutating func add(_ multiport: MultiportMatch) {
        matches.append(
            .multiport(
                CompiledMultiport(
                    side: multiport.side, first: Int32(portRanges.count),
                    count: Int32(multiport.ports.count), inverted: multiport.inverted)))
        portRanges += multiport.ports
    }

    private mutating func add(_ statistic: StatisticMatch) {
        switch statistic.mode {
        case .random(let probability):
            matches.append(.random(threshold: probability, inverted: statistic.inverted))
        case .nth(let every, let packet):
            matches.append(
                .nth(
                    every: every, counter: Int32(nthCounters.count), inverted: statistic.inverted))
            // The rule matches where the counter wraps, so that `--packet 0` matches the first.
            nthCounters.append(every - 1 - packet)
        }
    }

    private mutating func target(
        _ target: Target, _ table: TableName, _ chain: String, _ indices: [String: Int32]
    ) throws(CompileError) -> CompiledTarget {
        switch target {
        case .none: return .none
        case .accept: return .accept
        case .drop: return .drop
        case .return: return .return
        case .jump(let name), .goto(let name):
            guard let index = indices[name] else {
                throw .noSuchChain(table, chain: chain, target: name)
            }
            if case .goto = target { return .goto(index) }
            return .jump(index)
        case .dnat(let nat): return .translate(.destination, add(nat))
        case .snat(let nat): return .translate(.source, add(nat))
        case .masquerade(let mapping): return .masquerade(add(mapping))
        case .redirect(let mapping): return .redirect(add(mapping))
        case .mark(let mark): return .mark(mark)
        case .reject(.tcpReset): return .rejectReset
        case .reject(let type): return .rejectICMP(code: type.icmpCode)
        case .log(let log):
            logs.append(log)
            return .log(Int32(logs.count - 1))
        case .mangle(let mangle):
            if case .tcpmss = mangle { mayGrowPackets = true }
            return .mangle(mangle)
        case .netmap(let network):
            needsTracking = true
            return .netmap(network)
        case .nflog(let log):
            packetLogs.append(log)
            return .nflog(Int32(packetLogs.count - 1))
        case .trace: return .trace
        case .connmark(let connmark):
            needsTracking = true
            connmarks.append(connmark)
            return .connmark(Int32(connmarks.count - 1))
        case .ct(let target): return add(target)
        case .notrack: return add(CTTarget(notrack: true))
        }
    }

    /// What must not be tracked needs no tracking (xt_CT.c, xt_ct_tg_check).
    private mutating func add(_ target: CTTarget) -> CompiledTarget {
        if !target.notrack { needsTracking = true }
        trackingTargets.append(target)
        return .tracking(Int32(trackingTargets.count - 1))
    }

    private mutating func add(_ mapping: PortMapping) -> Int32 {
        add(
            NATTarget(
                ports: mapping.ports, random: mapping.random, randomFully: mapping.randomFully))
    }

    private mutating func add(_ nat: NATTarget) -> Int32 {
        needsTracking = true
        translations.append(nat)
        return Int32(translations.count - 1)
    }
}

extension RejectType {
    /// The code of the ICMP "destination unreachable" that answers; a TCP reset has none.
    var icmpCode: UInt8 {
        switch self {
        case .netUnreachable: 0
        case .hostUnreachable: 1
        case .protocolUnreachable: 2
        case .portUnreachable: 3
        case .netProhibited: 9
        case .hostProhibited: 10
        case .adminProhibited: 13
        case .tcpReset: 0
        }
    }
}
