// What rules ask for and a running data plane cannot know, though an offline one can.

import Ruleset

extension Ruleset {
    /// Why `sluice run` cannot carry these rules out, with the place; `nil` where it can.
    var liveObjection: String? {
        for table in tables {
            for chain in table.chains {
                for (index, rule) in chain.rules.enumerated()
                where rule.matches.contains(where: \.asksForSupplementaryGroups) {
                    return "rule \(index + 1) of chain \(chain.name), table \(table.name.rawValue):"
                        + " --suppl-groups of match \"owner\" is not supported by 'sluice run',"
                        + " which is told one group of a socket; 'sluice replay' supports it"
                }
            }
        }
        return nil
    }
}

extension CompiledRuleset {
    /// Whether looking for an objection is worth the while; rules that are gone may count.
    var mayAskTheImpossible: Bool {
        statelessMatches.contains { Match.stateless($0).asksForSupplementaryGroups }
    }
}

extension Match {
    fileprivate var asksForSupplementaryGroups: Bool {
        guard case .stateless(.owner(let owner)) = self else { return false }
        return owner.includesSupplementaryGroups
    }
}
