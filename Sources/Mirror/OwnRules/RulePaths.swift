// How packets come to a rule: which base chains lead to its chain, and over which other rules.

import Ruleset
import Wire

struct RulePaths {
    /// A way to a rule: the hook where it begins, and the rules that must match on it, the last one included.
    struct Path {
        var hook: BuiltinChain
        var rules: [Rule]
        /// Whether a rule before one of these matches at random.
        var isLeftToChance = false
    }

    private struct ChainName: Hashable {
        var table: TableName
        var chain: String
    }

    private struct Call {
        var chain: ChainName
        var rule: Rule
    }

    /// The rules that jump, or go, to a chain.
    private var calls: [ChainName: [Call]] = [:]
    private var hooks: [ChainName: Set<BuiltinChain>] = [:]
    private var rules: [ChainName: [Rule]] = [:]

    init(_ ruleset: Ruleset) {
        for table in ruleset.tables {
            for chain in table.chains {
                let name = ChainName(table: table.name, chain: chain.name)
                rules[name] = chain.rules
                if let hook = chain.builtin { hooks[name] = [hook] }
                for rule in chain.rules {
                    guard let callee = rule.target.chain else { continue }
                    calls[ChainName(table: table.name, chain: callee), default: []]
                        .append(Call(chain: name, rule: rule))
                }
            }
        }
        // Chains nest at most 16 deep.
        for _ in 0..<17 {
            for (chain, callers) in calls {
                for call in callers { hooks[chain, default: []].formUnion(hooks[call.chain] ?? []) }
            }
        }
    }

    /// The hooks from which packets come to a chain; none where nobody jumps to it.
    func hooks(of chain: String, in table: TableName) -> Set<BuiltinChain> {
        hooks[ChainName(table: table, chain: chain)] ?? []
    }

    /// One of the ways to a rule; `nil` where there is none.
    func path(
        to rule: Rule, in chain: String, of table: TableName, _ random: inout SeededRandom
    ) -> Path? {
        var path = Path(hook: .prerouting, rules: [rule])
        var name = ChainName(table: table, chain: chain)
        for _ in 0...16 {
            let before = (rules[name] ?? []).prefix { $0.id != path.rules.last?.id }
            if before.contains(where: \.isRandom) { path.isLeftToChance = true }
            if let hook = BuiltinChain(rawValue: name.chain) {
                path.hook = hook
                path.rules.reverse()
                return path
            }
            let callers = (calls[name] ?? []).filter { hooks[$0.chain]?.isEmpty == false }
            guard !callers.isEmpty else { return nil }
            let call = random.pick(callers)
            path.rules.append(call.rule)
            name = call.chain
        }
        return nil
    }
}

extension Rule {
    fileprivate var isRandom: Bool {
        matches.contains {
            if case .statistic(let match) = $0, case .random = match.mode { true } else { false }
        }
    }
}

extension Target {
    /// The user chain that it leads to.
    var chain: String? {
        switch self {
        case .jump(let chain), .goto(let chain): chain
        default: nil
        }
    }

    /// Whether what matches goes no further.
    var refuses: Bool {
        switch self {
        case .drop, .reject: true
        default: false
        }
    }
}
