import Foundation
import NamespaceFixture
import Ruleset
import Scenario
import Testing
import Wire

@testable import Mirror

@Suite("Generated cases")
struct GeneratorTests {
    @Test("the same seed gives the same case, another seed another")
    func deterministic() {
        #expect(
            CaseGenerator.make(seed: 7, packets: 60) == CaseGenerator.make(seed: 7, packets: 60))
        #expect(
            CaseGenerator.make(seed: 7, packets: 60).packets
                != CaseGenerator.make(seed: 8, packets: 60).packets)
    }

    @Test(
        "a case has as many packets as were asked for, in time, and answers only what came before")
    func sound() {
        for seed in 0..<50 as Range<UInt64> {
            let made = CaseGenerator.make(seed: seed, packets: 100)
            #expect(made.packets.count == 100)
            for (number, packet) in made.packets.enumerated() {
                if let answered = packet.answers { #expect(answered < number) }
                if number > 0 { #expect(packet.time > made.packets[number - 1].time) }
            }
        }
    }

    @Test("every match and target of Sluice's grammar has a generator")
    func complete() {
        #expect(
            Set(SupportedExtensions.matches).subtracting(RuleGenerator.matches.map(\.name)) == [])
        #expect(
            Set(SupportedExtensions.targets).subtracting(RuleGenerator.targets.map(\.name)) == [])
    }

    @Test("Sluice takes every generated ruleset")
    func sluiceTakesRules() {
        for seed in 0..<300 as Range<UInt64> {
            let rules = CaseGenerator.make(seed: seed, packets: 0).rules
            let outcome = IPTablesCommand.run(
                .restore, arguments: [], standardInput: Array(rules.utf8), ruleset: Ruleset(),
                environment: CommandEnvironment(resolver: SystemNameResolver(), date: ""))
            #expect(outcome.status == 0, "seed \(seed): \(outcome.standardError)\n\(rules)")
        }
    }

    @Test(
        "the kernel takes every generated ruleset, route and policy rule",
        .enabled(if: isRoot, needsRoot))
    func kernelTakesRules() throws {
        for seed in 0..<40 as Range<UInt64> {
            let made = CaseGenerator.make(seed: seed, packets: 0)
            let namespace = try Namespace("generated")
            var script = "iptables-restore <<'END'\n\(made.rules)END\n"
            for link in made.topology.links {
                script += "ip link add \(link.name) type veth peer name p\(link.name)\n"
                script += "ip link set \(link.name) up; ip link set p\(link.name) up\n"
                for address in link.addresses {
                    script += "ip addr add \(address) dev \(link.name)\n"
                }
            }
            for route in made.topology.routes { script += "ip route add \(route)\n" }
            for rule in made.topology.policyRules { script += "ip rule add \(rule)\n" }
            let outcome = try namespace.outcome(of: ["sh", "-ec", script])
            #expect(outcome.status == 0, "seed \(seed): \(outcome.error)\n\(script)")
        }
    }

    @Test(
        "the kernel takes whatever any extension's generator says", .enabled(if: isRoot, needsRoot),
        arguments: [1, 2] as [UInt64])
    func kernelTakesEveryExtension(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        var generator = RuleGenerator(World(&random), seed: seed)
        let namespace = try Namespace("generated")
        var said: Set<String> = []
        for table in TableName.allCases {
            var rules: [String] = []
            for hook in table.baseChains {
                for word in ["", "tcp", "udp", "icmp", "sctp", "dccp", "esp", "ah"] {
                    let site = RuleSite(table: table, hooks: [hook], protocol: word)
                    let start = "-A \(hook.rawValue)" + (word.isEmpty ? "" : " -p \(word)")
                    for match in RuleGenerator.matches {
                        guard let words = match.make(&generator, site) else { continue }
                        said.insert(match.name)
                        rules.append("\(start) \(words)")
                    }
                    for target in RuleGenerator.targets {
                        guard let words = target.make(&generator, site) else { continue }
                        said.insert(target.name)
                        rules.append("\(start) -j \(words)")
                    }
                }
            }
            let text = (["*\(table.rawValue)"] + rules + ["COMMIT", ""]).joined(separator: "\n")
            let outcome = try namespace.outcome(
                of: ["sh", "-c", "iptables-restore <<'END'\n\(text)END\n"])
            #expect(outcome.status == 0, "seed \(seed): \(outcome.error)\n\(text)")
        }
        #expect(said == Set((RuleGenerator.matches + RuleGenerator.targets).map(\.name)))
    }
}
