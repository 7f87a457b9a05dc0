// kube-proxy's chains in a ruleset that others use as well: what is not theirs stays as it is, and a rule
// that says what one in its place said before is that one still, counters and all.

import Ruleset
import Wire

extension Ruleset {
    /// A node's rules with nothing in them but those of the objects.
    public init(_ objects: ServiceObjects, _ configuration: ProxyConfiguration) {
        self.init()
        carry(
            ServiceRules(objects, configuration).chains.mapValues { $0 },
            jumpsFor: configuration)
    }

    /// Puts chains in (or takes them out, where there are no rules), and the jumps to them.
    ///
    /// - Parameter changes: chains of the user's kind; base chains get the jumps only.
    public mutating func carry(
        _ changes: [ChainKey: [Rule]?], jumpsFor configuration: ProxyConfiguration
    ) {
        for name in [TableName.nat, .filter] {
            withTable(name) { ruleset, table in
                ruleset.merge(changes.filter { $0.key.table == name }, into: &table)
                ruleset.addJumps(configuration, to: &table)
            }
        }
    }

    /// Takes out all that `chains` names, and the jumps to them.
    public mutating func clear(
        _ chains: some Collection<ChainKey>, jumpsFor configuration: ProxyConfiguration
    ) {
        var changes: [ChainKey: [Rule]?] = [:]
        for key in chains { changes[key] = .some(nil) }
        for name in Set(changes.keys.map(\.table)) {
            withTable(name) { ruleset, table in
                for jump in ServiceRules.jumps(configuration) where jump.table == name {
                    guard let place = table.place(of: jump.chain) else { continue }
                    table.chains[place].rules.removeAll { $0.says(thatOf: jump.rule) }
                }
                ruleset.merge(changes.filter { $0.key.table == name }, into: &table)
            }
        }
    }

    /// What must change so that `chains` are there, and no chains of Services beside them.
    public func changes(to chains: [ChainKey: [Rule]]) -> [ChainKey: [Rule]?] {
        var changes = chains.mapValues { Optional($0) }
        for table in tables {
            for chain in table.chains {
                let key = ChainKey(table.name, chain.name)
                if let wanted = chains[key] {
                    if chain.rules.says(thatOf: wanted) { changes[key] = nil }
                } else if table.name == .nat, ChainName.isOfService(chain.name) {
                    changes[key] = .some(nil)
                }
            }
        }
        return changes
    }

    /// Edits a table in place, which is made if it is not there yet.
    private mutating func withTable(
        _ name: TableName, _ edit: (inout Ruleset, inout Table) -> Void
    ) {
        if !tables.contains(where: { $0.name == name }) { tables.append(Table(name: name)) }
        guard let place = tables.firstIndex(where: { $0.name == name }) else { return }
        // Taken out meanwhile, so that nobody else holds its arrays.
        var table = tables[place]
        tables[place] = Table(name: name, chains: [])
        edit(&self, &table)
        tables[place] = table
    }

    /// Both lists are in the order of names: base chains first, then the others by their bytes.
    private mutating func merge(_ changes: [ChainKey: [Rule]?], into table: inout Table) {
        guard !changes.isEmpty else { return }
        var rest = changes.map { (name: $0.key.chain, rules: $0.value) }
            .sorted { $0.name < $1.name }[...]
        var merged: [Chain] = []
        merged.reserveCapacity(table.chains.count + rest.count)
        func make(_ name: String, _ rules: [Rule]) -> Chain {
            Chain(name: name, rules: identified(rules, from: []))
        }
        for chain in table.chains {
            if chain.policy == nil {
                while let next = rest.first, next.name < chain.name {
                    rest.removeFirst()
                    if let rules = next.rules { merged.append(make(next.name, rules)) }
                }
            }
            guard chain.policy == nil, let next = rest.first, next.name == chain.name else {
                merged.append(chain)
                continue
            }
            rest.removeFirst()
            guard let rules = next.rules else { continue }
            var changed = chain
            changed.rules = identified(rules, from: chain.rules)
            merged.append(changed)
        }
        for next in rest {
            if let rules = next.rules { merged.append(make(next.name, rules)) }
        }
        table.chains = merged
    }

    /// The rules with the identities and counters of those that said the same.
    private mutating func identified(_ rules: [Rule], from old: [Rule]) -> [Rule] {
        var result = rules
        // What stands in front and behind is mostly what stood there; only the middle is searched.
        var front = 0
        while front < min(rules.count, old.count), rules[front].says(thatOf: old[front]) {
            result[front] = old[front]
            front += 1
        }
        var back = 0
        while back < min(rules.count, old.count) - front,
            rules[rules.count - 1 - back].says(thatOf: old[old.count - 1 - back])
        {
            result[rules.count - 1 - back] = old[old.count - 1 - back]
            back += 1
        }
        var known: [Rule: Rule] = [:]
        for rule in old[front..<old.count - back] { known[rule.anonymous] = rule }
        for index in front..<rules.count - back {
            if let before = known.removeValue(forKey: rules[index].anonymous) {
                result[index] = before
            } else {
                result[index].id = makeRuleID()
            }
        }
        return result
    }

    /// In front of the rules that are there, in their order; those that are there already stay.
    private mutating func addJumps(_ configuration: ProxyConfiguration, to table: inout Table) {
        var missing: [BuiltinChain: [Rule]] = [:]
        for jump in ServiceRules.jumps(configuration) where jump.table == table.name {
            guard let place = table.place(of: jump.chain),
                !table.chains[place].rules.contains(where: { $0.says(thatOf: jump.rule) })
            else { continue }
            var rule = jump.rule
            rule.id = makeRuleID()
            missing[jump.chain, default: []].append(rule)
        }
        for (chain, rules) in missing {
            guard let place = table.place(of: chain) else { continue }
            table.chains[place].rules.insert(contentsOf: rules, at: 0)
        }
    }
}

extension Table {
    fileprivate func place(of chain: BuiltinChain) -> Int? {
        chains.firstIndex { $0.builtin == chain }
    }
}

extension Rule {
    /// Without identity and counters.
    fileprivate var anonymous: Rule {
        var rule = self
        (rule.id, rule.counters) = (RuleID(rawValue: 0), .zero)
        return rule
    }

    /// Whether both say the same; identity and counters aside.
    fileprivate func says(thatOf other: Rule) -> Bool {
        matches == other.matches && target == other.target && source == other.source
            && destination == other.destination && `protocol` == other.protocol
            && inInterface == other.inInterface && outInterface == other.outInterface
            && fragment == other.fragment
    }
}

extension [Rule] {
    fileprivate func says(thatOf other: [Rule]) -> Bool {
        count == other.count && zip(self, other).allSatisfy { $0.says(thatOf: $1) }
    }
}
