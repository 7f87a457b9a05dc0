// Cases made for rules that somebody has.

import Foundation
import NamespaceFixture
import Scenario
import Testing
import Wire

@testable import Mirror

private let directory = URL(filePath: #filePath).deletingLastPathComponent()
    .appending(path: "Rules")

private func rules(_ name: String) throws -> OwnRules {
    let file = directory.appending(path: name + ".iptables")
    return try OwnRules(String(contentsOf: file, encoding: .utf8), name: name)
}

@Suite("Rules of one's own")
struct OwnRulesTests {
    private let router: OwnRules
    private let made: Case

    init() throws {
        router = try rules("home-router")
        made = router.makeCase(seed: 3, packets: 0)
    }

    @Test("the same seed gives the same case, which can be run, another seed another")
    func deterministic() throws {
        #expect(router.makeCase(seed: 3, packets: 0) == made)
        #expect(router.makeCase(seed: 4, packets: 0).packets != made.packets)
        #expect(router.makeCase(seed: 3, packets: 50).packets.count == made.packets.count + 50)
        for seed in 0..<40 as Range<UInt64> {
            for name in ["home-router", "service-proxy"] {
                try rules(name).makeCase(seed: seed, packets: 20).check()
            }
        }
    }

    @Test(
        "interfaces that rules name are links, beside one that they do not name; NAT's has the default route"
    )
    func links() throws {
        #expect(Set(made.topology.links.map(\.name)) == ["ppp0", "lan0", "guest0", "eth0"])
        #expect(made.topology.links.last?.name == "ppp0")
        let gateway = try #require(made.topology.neighbours.last { $0.link == "ppp0" }).link
        #expect(gateway == "ppp0")
        #expect(made.topology.routes.contains { $0.hasPrefix("default via ") })
    }

    @Test(
        "networks lie where rules place them, and what only rules of a drop say counts for nothing")
    func networks() throws {
        let lan = try #require(made.topology.links.first { $0.name == "lan0" })
        #expect(lan.addresses == [LinkAddress(IPv4Address(192, 168, 10, 1), prefixLength: 24)])
        #expect(
            made.topology.neighbours.contains {
                $0.address == IPv4Address(192, 168, 10, 20) && $0.link == "lan0"
            })
    }

    @Test("addresses that rules take for the node's are its own: a source to translate to")
    func own() throws {
        let text = """
            *nat
            -A POSTROUTING -o wan -j SNAT --to-source 203.0.113.9
            COMMIT
            *filter
            -A INPUT -d 198.51.100.4/32 -j ACCEPT
            COMMIT

            """
        let topology = try OwnRules(text, name: "own").makeCase(seed: 1, packets: 0).topology
        let wan = try #require(topology.links.first { $0.name == "wan" })
        #expect(wan.addresses.map(\.address).contains(IPv4Address(203, 0, 113, 9)))
        #expect(
            topology.links.flatMap(\.addresses).map(\.address)
                .contains(IPv4Address(198, 51, 100, 4)))
    }

    @Test("what Sluice does not know is refused by name and place")
    func refused() {
        #expect {
            try OwnRules("*filter\n-A INPUT -m set --match-set x src -j DROP\nCOMMIT\n", name: "x")
        } throws: { error in
            "\(error)".contains("line 2") && "\(error)".contains("\"set\"")
        }
    }

    @Test("rules that no packet hit are named, over all cases together")
    func reach() {
        var reach = RuleReach()
        reach.record(
            "*filter\n:INPUT ACCEPT [3:9]\n[2:80] -A INPUT -j DROP\n[0:0] -A INPUT\nCOMMIT\n")
        reach.record(
            "*filter\n:INPUT ACCEPT [3:9]\n[1:80] -A INPUT -j DROP\n[0:0] -A INPUT\nCOMMIT\n")
        #expect(reach.entries.map(\.packets) == [3, 0])
        #expect(reach.text == "rules hit: 1 of 2\nnot hit: filter -A INPUT\n")
    }

    @Test(
        "both engines do the same with what is made for a router and for a node of a cluster, and nearly all rules are hit",
        .enabled(if: isRoot, needsRoot), arguments: ["home-router", "service-proxy"])
    func agrees(name: String) throws {
        var run = RandomRun()
        let options = RandomRun.Options(cases: 2, seed: 1, packets: 100, rules: try rules(name))
        try run.run(options) { result in
            if let divergence = result.verdict.divergence {
                Issue.record("seed \(result.seed): \(divergence.report)")
            }
        }
        let reach = run.coverage.rules
        #expect(reach.hits * 10 >= reach.entries.count * 9, "\(reach.text)")
    }
}
