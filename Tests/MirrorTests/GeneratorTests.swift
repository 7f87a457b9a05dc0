import Foundation
import NamespaceFixture
import Scenario
import Testing
import Wire

@testable import Mirror
@testable import Ruleset

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

    @Test("every match and target of Sluice's grammar has a generator, and no other")
    func complete() {
        #expect(
            RuleGenerator.matches.map(\.name).sorted()
                == ExtensionTable.matches.map { $0.name }.sorted())
        #expect(
            RuleGenerator.targets.map(\.name).sorted()
                == ExtensionTable.targets.map { $0.name }.sorted())
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
}
