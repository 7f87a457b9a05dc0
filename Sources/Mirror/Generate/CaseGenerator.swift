// A whole case from a seed: a node, its rules, and traffic that meets both. It refuses to judge: what
// the engines make of a case is for `Mirror` to compare.

public import Scenario
import Wire

public enum CaseGenerator {
    /// The same seed and count give the same case, on every machine. Every eighth leaves much to chance.
    public static func make(seed: UInt64, packets: Int) -> Case {
        var random = SeededRandom(seed: seed)
        var world = World(&random)
        world.leavesMuchToChance = seed.isMultiple(of: 8)
        let generator = TopologyGenerator(world: world)
        var topology = generator.topology(&random)
        if !topology.policyRules.isEmpty { topology.routes += generator.policyTable }
        var rules = RuleGenerator(world, seed: random.next())
        return Case(
            title: "seed \(seed)", topology: topology, rules: rules.ruleset(),
            seed: random.next(), packets: TrafficGenerator(world: world).packets(packets, &random))
    }
}
