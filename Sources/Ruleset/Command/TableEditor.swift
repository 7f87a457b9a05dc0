// One table while commands change it. What iptables itself finds wrong ends the run at once; what
// the kernel would find wrong is gathered in `refusals`, for the kernel judges a batch as a whole.

struct TableEditor {
    let name: TableName
    /// Whether the table exists at all: until something is put in, `iptables-save` does not show it.
    var exists: Bool
    private(set) var chains: [String: Chain]
    /// How many rules lead to each chain.
    private(set) var references: [String: Int] = [:]
    /// The hooks that reach each chain; `nil` after a removal, until asked for again.
    private var reach: [String: HookSet]?
    private(set) var refusals: [KernelRefusal] = []
    /// Where each rule of this batch came from.
    private var lines: [RuleID: (line: Int, verb: String)] = [:]

    init(_ name: TableName, _ table: Table?) {
        self.name = name
        exists = table != nil
        chains = Dictionary(
            uniqueKeysWithValues: (table ?? Table(name: name)).chains.map { ($0.name, $0) })
        for chain in chains.values {
            for rule in chain.rules { count(rule, +1) }
        }
    }

    /// Base chains in hook order, then the others by name, as iptables-nft lists them.
    var table: Table {
        let base = name.baseChains.compactMap { chains[$0.rawValue] }
        var others = chains.values.filter { $0.policy == nil }
        // By bytes. Of plain names the library's order is the same, and comes sooner.
        if others.allSatisfy(\.name.isPlainASCII) {
            others.sort { $0.name < $1.name }
        } else {
            others.sort { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
        }
        return Table(name: name, chains: base + others)
    }

    private mutating func count(_ rule: Rule, _ change: Int) {
        if let chain = rule.target.chain { references[chain, default: 0] += change }
    }

    private mutating func refuse(_ line: Int, _ text: String, _ reason: String) {
        refusals.append(KernelRefusal(line: line, text: text, reason: reason))
    }

    // MARK: Rules

    /// A target that is neither verdict nor extension must be a chain that exists.
    func checkTarget(of rule: Rule) throws(CommandError) {
        guard let chain = rule.target.chain, chains[chain] == nil else { return }
        throw .parameter(
            "Chain '\(chain)' does not exist", word: chain,
            expected: "a chain of table \(name.rawValue) or one of "
                + ExtensionTable.supportedTargets)
    }

    mutating func insert(
        _ rule: Rule, into chain: String, at place: Int?, line: Int
    ) throws(CommandError) {
        guard let count = chains[chain]?.rules.count else { throw .noSuchChain }
        if let place, place > count {
            throw .operation("Index of insertion too big", expected: "\(count + 1) at most")
        }
        exists = true
        let before = reach ?? freshReach()
        chains[chain]?.rules.insert(rule, at: place ?? count)
        reach = before
        self.count(rule, +1)
        examine(rule, in: chain, verb: place == nil ? "RULE_APPEND" : "RULE_INSERT", line: line)
    }

    mutating func replace(
        _ number: Int, in chain: String, with rule: Rule, line: Int
    ) throws(CommandError) {
        guard let count = chains[chain]?.rules.count else { throw .noSuchChain }
        guard number <= count else {
            throw .operation("Index of replacement too big", expected: "\(count) at most")
        }
        if let old = chains[chain]?.rules.remove(at: number - 1) { self.count(old, -1) }
        let before = freshReach()
        chains[chain]?.rules.insert(rule, at: number - 1)
        reach = before
        self.count(rule, +1)
        examine(rule, in: chain, verb: "RULE_REPLACE", line: line)
    }

    func index(of rule: Rule, in chain: String) throws(CommandError) -> Int {
        let found = chains[chain]?.rules.firstIndex { $0.says(thatOf: rule) }
        guard let found else { throw .noSuchRule }
        return found
    }

    mutating func delete(_ number: Int, in chain: String) throws(CommandError) {
        guard let count = chains[chain]?.rules.count else { throw .noSuchChain }
        guard number <= count else {
            throw .operation("Index of deletion too big", expected: "\(count) at most")
        }
        if let old = chains[chain]?.rules.remove(at: number - 1) { self.count(old, -1) }
        reach = nil
    }

    mutating func flush(_ chain: String) throws(CommandError) {
        guard let rules = chains[chain]?.rules else { throw .noSuchChain }
        for rule in rules { count(rule, -1) }
        chains[chain]?.rules = []
        reach = nil
    }

    /// The chain's own counters and those of its rules, or of one rule; a number beyond the last
    /// rule zeroes nothing and is no error (tried).
    mutating func zero(_ chain: String, rule number: Int? = nil) throws(CommandError) {
        guard var edited = chains[chain] else { throw .noSuchChain }
        if number == nil { edited.counters = .zero }
        for place in edited.rules.indices where number == nil || place == (number ?? 0) - 1 {
            edited.rules[place].counters = .zero
        }
        chains[chain] = edited
    }

    // MARK: Chains

    mutating func create(_ chain: String) throws(CommandError) {
        guard chains[chain] == nil else { throw .operation("Chain already exists", word: chain) }
        exists = true
        chains[chain] = Chain(name: chain)
    }

    /// A `:CHAIN -` line of a restore file: a chain that is there is emptied.
    mutating func declare(_ chain: String) throws(CommandError) {
        exists = true
        if chains[chain] == nil { chains[chain] = Chain(name: chain) } else { try flush(chain) }
    }

    mutating func remove(_ chain: String, line: Int) throws(CommandError) {
        guard let found = chains[chain], found.policy == nil else { throw .noSuchChain }
        let uses = references[chain] ?? 0
        guard uses == 0, found.rules.isEmpty else {
            let reason =
                uses > 0
                ? "chain \(chain) is used by \(uses) rule\(uses == 1 ? "" : "s")"
                : "chain \(chain) holds rules; flush it first"
            return refuse(
                line, "CHAIN_DEL failed (Device or resource busy): chain \(chain)", reason)
        }
        chains[chain] = nil
        reach = nil
    }

    /// iptables-nft renames base chains too, which leaves a table that it cannot read any more;
    /// here they are refused.
    mutating func rename(_ chain: String, to new: String) throws(CommandError) {
        guard chains[new] == nil else { throw .operation("File exists", word: new) }
        guard var renamed = chains[chain], renamed.policy == nil else { throw .noSuchChain }
        try CommandParser.checkNewName(new)
        renamed.name = new
        chains[chain] = nil
        chains[new] = renamed
        guard let uses = references.removeValue(forKey: chain), uses > 0 else { return }
        references[new] = uses
        reach = nil
        for name in chains.keys {
            guard chains[name]?.rules.contains(where: { $0.target.chain == chain }) == true else {
                continue
            }
            chains[name]?.retarget(from: chain, to: new)
        }
    }

    mutating func set(
        policy word: String, of chain: String, counters: Counters? = nil
    ) throws(CommandError) {
        guard chains[chain]?.policy != nil else {
            throw .operation(
                "Bad built-in chain name", word: chain,
                expected: name.baseChains.map(\.rawValue).joined(separator: ", "))
        }
        guard let policy = Policy(rawValue: word) else {
            throw .operation("Bad policy name", word: word, expected: "ACCEPT or DROP")
        }
        exists = true
        chains[chain]?.policy = policy
        // Whoever sets a policy starts its counters anew (tried).
        chains[chain]?.counters = counters ?? .zero
    }

    // MARK: What the kernel looks at

    private mutating func examine(_ rule: Rule, in chain: String, verb: String, line: Int) {
        lines[rule.id] = (line, verb)
        if let target = rule.target.chain, chains[target]?.policy != nil {
            return refuse(
                line, "\(verb) failed (Operation not supported): rule in chain \(chain)",
                "a rule cannot lead to a base chain")
        }
        let invalid = "\(verb) failed (Invalid argument): rule in chain \(chain)"
        if let objection = KernelRules.objection(to: rule, in: name) {
            return refuse(line, invalid, objection)
        }
        if quarrelsOverRates(rule) {
            return refuse(
                line, invalid, "the rules of one hashlimit table agree on --hashlimit-rate-match")
        }
        if let objection = KernelRules.rangeObjection(to: rule) {
            let text = "\(verb) failed (Numerical result out of range): rule in chain \(chain)"
            return refuse(line, text, objection)
        }
        if let base = chains[chain]?.builtin,
            let objection = KernelRules.objection(to: rule, inBaseChain: base)
        {
            return refuse(line, invalid, objection)
        }
        guard var reach else { preconditionFailure("reach is known before a rule comes in") }
        self.reach = nil
        let here = reach[chain] ?? []
        var objection = Self.misplaced(rule, here)
        if objection == nil, let target = rule.target.chain {
            objection = spread(here, from: target, &reach)
        }
        self.reach = reach
        if let objection { refuse(line, invalid, objection) }
    }

    /// Whether the rule matches rates in a table in which another one limits them, or the other way
    /// round (tried).
    private func quarrelsOverRates(_ rule: Rule) -> Bool {
        for case .hashlimit(let mine) in rule.matches {
            for other in chains.values.lazy.flatMap(\.rules) where other.id != rule.id {
                for case .hashlimit(let theirs) in other.matches
                where theirs.name == mine.name && theirs.matchesRate != mine.matchesRate {
                    return true
                }
            }
        }
        return false
    }

    private static func misplaced(_ rule: Rule, _ here: HookSet) -> String? {
        guard let (what, allowed) = KernelRules.misplaced(rule, here) else { return nil }
        return "\(what) works in \(KernelRules.names(allowed)) only and would be "
            + "reached from \(KernelRules.names(here.subtracting(allowed)))"
    }

    /// Lets `hooks` reach `chain` and all that it leads to; the first rule that cannot be there.
    private func spread(
        _ hooks: HookSet, from chain: String, _ reach: inout [String: HookSet]
    ) -> String? {
        var pending = [chain]
        var objection: String?
        while let next = pending.popLast() {
            let before = reach[next] ?? []
            let after = before.union(hooks)
            guard after != before else { continue }
            reach[next] = after
            for rule in chains[next]?.rules ?? [] {
                objection = objection ?? Self.misplaced(rule, after)
                if let target = rule.target.chain { pending.append(target) }
            }
        }
        return objection
    }

    private func freshReach() -> [String: HookSet] {
        var reach: [String: HookSet] = [:]
        for hook in name.baseChains { _ = spread(HookSet(hook), from: hook.rawValue, &reach) }
        return reach
    }

    /// At the end of a batch: a loop that a packet could enter. Chains that nothing leads to may
    /// loop, as in the kernel (tried).
    mutating func refuseLoops() {
        guard refusals.isEmpty, let loop = findLoop() else { return }
        let latest = loop.compactMap { edge in lines[edge.rule].map { (edge, $0) } }.max {
            $0.1.line < $1.1.line
        }
        guard let (edge, origin) = latest else { return }
        refuse(
            origin.line,
            "\(origin.verb) failed (Too many links): rule in chain \(edge.chain)",
            "the chains would lead back to themselves: "
                + loop.map(\.chain).joined(separator: " → "))
    }

    private typealias Edge = (chain: String, rule: RuleID)

    /// Depth-first from the base chains, with a stack of its own: rule files can nest deeply.
    private func findLoop() -> [Edge]? {
        var done: Set<String> = []
        for hook in name.baseChains {
            var path: [(chain: String, next: Int)] = [(hook.rawValue, 0)]
            var onPath: Set<String> = [hook.rawValue]
            while let (chain, next) = path.last {
                let rules = chains[chain]?.rules ?? []
                guard next < rules.count, !done.contains(chain) else {
                    done.insert(chain)
                    onPath.remove(chain)
                    path.removeLast()
                    continue
                }
                path[path.count - 1].next += 1
                guard let target = rules[next].target.chain, !done.contains(target) else {
                    continue
                }
                if onPath.contains(target) {
                    return path.map { ($0.chain, chains[$0.chain]?.rules[$0.next - 1].id) }
                        .compactMap { chain, rule in rule.map { (chain, $0) } }
                }
                onPath.insert(target)
                path.append((target, 0))
            }
        }
        return nil
    }
}

extension Rule {
    /// Whether both say the same; identity and counters aside.
    func says(thatOf other: Rule) -> Bool {
        var other = other
        (other.id, other.counters) = (id, counters)
        return self == other
    }
}

extension Chain {
    mutating func retarget(from old: String, to new: String) {
        for place in rules.indices {
            switch rules[place].target {
            case .jump(old): rules[place].target = .jump(new)
            case .goto(old): rules[place].target = .goto(new)
            default: break
            }
        }
    }
}
