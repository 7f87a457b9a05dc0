// Rules that somebody has, before they are trusted to Sluice: a node and traffic are made for them, so
// that both engines can be compared on them.

import Ruleset
public import Scenario
import Wire

public struct OwnRules: Sendable {
    /// As `iptables-save` prints them, with names of services and users in numbers.
    public let text: String
    private let ruleset: Ruleset
    private let paths: RulePaths
    private let mentions: RuleMentions

    /// - Parameters:
    ///   - text: what iptables-restore takes.
    ///   - name: what messages call it.
    /// - Throws: with the place of what Sluice refuses.
    public init(_ text: String, name: String) throws(CaseError) {
        ruleset = try RulesText.parse(text, name: name, resolver: SystemNameResolver())
        self.text = RulesText.saved(ruleset, counters: false)
        paths = RulePaths(ruleset)
        mentions = RuleMentions(ruleset, paths)
    }

    /// How many rules there are, over all tables.
    public var count: Int {
        ruleset.tables.reduce(0) { $0 + $1.chains.reduce(0) { $0 + $1.rules.count } }
    }

    /// The same seed gives the same case.
    ///
    /// - Parameter packets: of random conversations, behind those that are about single rules.
    public func makeCase(seed: UInt64, packets: Int) -> Case {
        var random = SeededRandom(seed: seed)
        let surroundings = RuleSurroundings(mentions, &random)
        let directed = DirectedTraffic(surroundings, paths).conversations(ruleset, &random)
        let traffic = TrafficGenerator(world: surroundings.world)
        return Case(
            title: "seed \(seed)", topology: surroundings.topology, rules: text,
            seed: random.next(), packets: traffic.packets(directed, then: packets, &random))
    }
}
