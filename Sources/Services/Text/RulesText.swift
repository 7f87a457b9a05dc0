// The rules of Services as a file for `iptables-restore --noflush`.

import Ruleset

extension ServiceRules {
    /// filter and nat: the chains, then the jumps to them, then their rules.
    public func text(resolver: any NameResolver) -> String {
        [TableName.filter, .nat].map { text($0, resolver) }.joined()
    }

    private func text(_ table: TableName, _ resolver: any NameResolver) -> String {
        let chains = chains.filter { $0.key.table == table }.sorted { $0.key < $1.key }
        var text = "*\(table.rawValue)\n"
        for (key, _) in chains { text += ":\(key.chain) - [0:0]\n" }
        for jump in Self.jumps(configuration) where jump.table == table {
            text +=
                jump.rule.saved(
                    chain: jump.chain.rawValue, counters: false, resolver: resolver) + "\n"
        }
        for (key, rules) in chains {
            for rule in rules {
                text += rule.saved(chain: key.chain, counters: false, resolver: resolver) + "\n"
            }
        }
        return text + "COMMIT\n"
    }
}
