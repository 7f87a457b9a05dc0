// What changes between two rulesets, in the words of iptables-save: lines that go behind `-`, lines that
// come behind `+`.

import Ruleset

public enum RulesetDifference {
    /// Empty where both say the same; counters do not count.
    public static func text(
        from old: Ruleset, to new: Ruleset, resolver: any NameResolver
    ) -> String {
        var text = ""
        for name in TableName.allCases {
            let lines = difference(old.table(name), new.table(name), resolver)
            guard !lines.isEmpty else { continue }
            text += (["*\(name.rawValue)"] + lines).joined(separator: "\n") + "\n"
        }
        return text
    }

    private static func difference(
        _ old: Table, _ new: Table, _ resolver: any NameResolver
    ) -> [String] {
        var lines: [String] = []
        let former = Dictionary(uniqueKeysWithValues: old.chains.map { ($0.name, $0) })
        let kept = Set(new.chains.map(\.name))
        for chain in old.chains where !kept.contains(chain.name) {
            lines.append("-:\(chain.name) - [0:0]")
        }
        for chain in new.chains where former[chain.name] == nil {
            lines.append("+:\(chain.name) - [0:0]")
        }
        for chain in old.chains where !kept.contains(chain.name) {
            lines += chain.rules.map { "-" + text($0, chain.name, resolver) }
        }
        for chain in new.chains {
            let before = former[chain.name]?.rules ?? []
            // Equal at a glance where nobody has touched it.
            guard before != chain.rules else { continue }
            lines += difference(
                before.map { text($0, chain.name, resolver) },
                chain.rules.map { text($0, chain.name, resolver) })
        }
        return lines
    }

    private static func text(_ rule: Rule, _ chain: String, _ resolver: any NameResolver) -> String
    {
        rule.saved(chain: chain, counters: false, resolver: resolver)
    }

    private static func difference(_ old: [String], _ new: [String]) -> [String] {
        let changes = new.difference(from: old)
        return changes.removals.map { $0.line("-") } + changes.insertions.map { $0.line("+") }
    }
}

extension CollectionDifference<String>.Change {
    fileprivate func line(_ sign: String) -> String {
        switch self {
        case .insert(_, let text, _), .remove(_, let text, _): sign + text
        }
    }
}
