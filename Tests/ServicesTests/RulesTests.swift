// The rules of objects of the project's own, and what becomes of the rules that others have in the same
// tables.

import Foundation
import Ruleset
import Services
import Testing
import Wire

@Suite("The rules of Services")
struct RulesTests {
    private static var configuration: ProxyConfiguration {
        var configuration = ProxyConfiguration(nodeName: "node1")
        configuration.clusterNetwork = IPv4Network(prefix: "10.0.0.0/16")
        configuration.nodeAddresses = [IPv4Address(192, 0, 2, 1)]
        return configuration
    }

    private static func shop() throws -> ServiceObjects {
        try ServiceObjects(yaml: try Place.text(Place.fixtures.appending(path: "shop.yaml")))
    }

    @Test("of a Service of each kind, with endpoints in every state, are these")
    func golden() throws {
        let made = Ruleset(try Self.shop(), Self.configuration)
        let expected = try Place.text(Place.fixtures.appending(path: "shop.iptables"))
        ChainText(made).expect(ChainText(try Rules.restored(expected)))
    }

    @Test("leave what others have in the same tables as it is, and go without a trace")
    func others() throws {
        let theirs = try Rules.restored(
            """
            *filter
            :FORWARD DROP [7:8]
            :DOCKER - [0:0]
            :ZEBRA - [0:0]
            [5:6] -A FORWARD -j DOCKER
            -A DOCKER -p tcp -j ACCEPT
            COMMIT
            *nat
            :KUBE-SVC-OFANOLDERTIME00 - [0:0]
            :DUSTIN-SERVICES - [0:0]
            -A PREROUTING -j DUSTIN-SERVICES
            -A KUBE-SVC-OFANOLDERTIME00 -j RETURN
            COMMIT

            """)
        let rules = ServiceRules(try Self.shop(), Self.configuration)
        var ruleset = theirs
        ruleset.carry(ruleset.changes(to: rules.chains), jumpsFor: Self.configuration)
        let forward = try #require(ruleset.table(.filter).chain("FORWARD"))
        #expect(forward.rules.count == 5)
        #expect(forward.rules.last == theirs.table(.filter).chain("FORWARD")?.rules.last)
        #expect(ruleset.table(.nat).chain("KUBE-SVC-OFANOLDERTIME00") == nil)
        for table in ruleset.tables {
            let names = table.chains.filter { $0.policy == nil }.map(\.name)
            #expect(names == names.sorted(), "chains are listed by their names")
        }
        // Twice is as good as once.
        #expect(ruleset.changes(to: rules.chains).isEmpty)
        var again = ruleset
        again.carry(rules.chains.mapValues { $0 }, jumpsFor: Self.configuration)
        #expect(again == ruleset)

        ruleset.clear(rules.chains.keys, jumpsFor: Self.configuration)
        var expected = ChainText(theirs)
        expected.chains["nat KUBE-SVC-OFANOLDERTIME00"] = nil
        ChainText(ruleset).expect(expected)
    }

    @Test("that say what they said keep identity and counters when their chain changes")
    func identity() throws {
        var objects = try Self.shop()
        var rules = ServiceRules(objects, Self.configuration)
        var ruleset = Ruleset(objects, Self.configuration)
        let before = try #require(ruleset.table(.nat).chain("KUBE-SERVICES")).rules
        let touched = try objects.apply(
            try Manifest(
                """
                apiVersion: v1
                kind: Service
                metadata: {name: empty, namespace: able}
                spec: {clusterIP: 10.96.0.12, ports: [{port: 80}]}
                ---
                apiVersion: v1
                kind: Endpoints
                metadata: {name: empty, namespace: able}
                subsets: [{addresses: [{ip: 10.0.4.1}], ports: [{port: 80}]}]
                """, file: "b.yaml"
            ).objects)
        let changes = rules.update(touched, objects)
        #expect(
            changes.keys.map(\.chain).sorted().map { $0.prefix(9) } == [
                "KUBE-SEP-", "KUBE-SERV", "KUBE-SVC-",
            ])
        ruleset.carry(changes, jumpsFor: Self.configuration)
        let after = try #require(ruleset.table(.nat).chain("KUBE-SERVICES")).rules
        #expect(after.count == before.count + 1)
        #expect(after.filter { before.contains($0) } == before)
        #expect(Set(after.map(\.id)).count == after.count)
        // What an update changes leads to what writing everything anew gives.
        ChainText(ruleset).expect(ChainText(Ruleset(objects, Self.configuration)))
    }
}
