// What one change among many Services costs: the chains of that Service are written and compiled, and no
// others.

import Ruleset
import Services
import Testing
import Wire

@Suite("A change of one Service among many")
struct ChangeTests {
    /// `count` Services of four endpoints each.
    private static func yaml(
        _ numbers: Range<Int>, weights: String = "", endpoints: Range<Int> = 1..<5
    )
        -> String
    {
        numbers.map { number in
            let addresses = endpoints.map {
                "{addresses: [10.\($0).\(number >> 8).\(number & 255)]}"
            }
            return """
                apiVersion: v1
                kind: Service
                metadata: {name: s\(number), annotations: {sluice.dev/weights: "\(weights.isEmpty ? "192.0.2.1=1" : weights)"}}
                spec: {clusterIP: 10.96.\(number >> 8).\(number & 255), ports: [{port: 80}]}
                ---
                apiVersion: discovery.k8s.io/v1
                kind: EndpointSlice
                metadata: {name: s\(number)-1, labels: {kubernetes.io/service-name: s\(number)}}
                addressType: IPv4
                ports: [{port: 8080}]
                endpoints: [\(addresses.joined(separator: ", "))]

                """
        }.joined(separator: "---\n")
    }

    /// A node with its Services, changed as the daemon changes them.
    private struct Node {
        var proxy = ServiceProxy(ProxyConfiguration(nodeName: "node1"))
        var ruleset = Ruleset()
        var compiler = RulesetCompiler()
        var isIntact = false

        mutating func apply(_ text: String) throws -> [String] {
            var change = ServiceProxy.Change()
            change.objects = try Manifest(text, file: "test.yaml").objects
            return try carry(change)
        }

        /// The chains that were compiled.
        mutating func carry(_ change: ServiceProxy.Change) throws -> [String] {
            _ = try proxy.carry(out: change, on: &ruleset, isIntact: isIntact)
            isIntact = true
            _ = try compiler.compile(ruleset)
            // However it came about, it is what making everything anew would give.
            let expected =
                proxy.objects.isEmpty
                ? Ruleset() : Ruleset(proxy.objects, proxy.configuration)
            ChainText(ruleset).expectRules(ChainText(expected))
            return compiler.lastCompiled.sorted()
        }
    }

    private static func kinds(_ chains: [String]) -> [String] {
        chains.map { String($0.prefix { $0 != "-" }) + String($0.dropFirst(4).prefix(4)) }.sorted()
    }

    @Test("writes and compiles that one's chains only")
    func one() throws {
        var node = Node()
        // 240 endpoints are below kube-proxy's threshold for comments, and 61 Services are as good as 5,000.
        let first = try node.apply(Self.yaml(0..<60))
        #expect(first.count > 60 * 5)
        #expect(try node.apply(Self.yaml(0..<60)).isEmpty)

        // An endpoint more: its chain, and the chain that chooses.
        #expect(
            Self.kinds(try node.apply(Self.yaml(7..<8, endpoints: 1..<6))) == [
                "KUBE-SEP", "KUBE-SVC",
            ])
        // One less, other weights, one drained: the chain that chooses alone.
        #expect(Self.kinds(try node.apply(Self.yaml(7..<8))) == ["KUBE-SVC"])
        #expect(
            Self.kinds(try node.apply(Self.yaml(7..<8, weights: "10.1.0.7=3"))) == ["KUBE-SVC"])
        #expect(
            Self.kinds(try node.apply(Self.yaml(7..<8, weights: "10.1.0.7=0"))) == ["KUBE-SVC"])
        // None left: what leads there goes, and a rule refuses.
        #expect(
            Self.kinds(try node.apply(Self.yaml(7..<8, endpoints: 1..<1))) == [
                "KUBE-SER", "KUBE-SER",
            ])
        // Another Service: its chains, and KUBE-SERVICES.
        #expect(
            Self.kinds(try node.apply(Self.yaml(60..<61))) == [
                "KUBE-SEP", "KUBE-SEP", "KUBE-SEP", "KUBE-SEP", "KUBE-SER", "KUBE-SVC",
            ])
        var change = ServiceProxy.Change()
        change.removedServices = [ObjectName(namespace: "default", name: "s60")]
        #expect(Self.kinds(try node.carry(change)) == ["KUBE-SER"])
        #expect(node.compiler.statistics.layouts == 1)
    }

    @Test("takes the comments from all of them where there are more than a thousand endpoints")
    func largeCluster() throws {
        var node = Node()
        _ = try node.apply(Self.yaml(0..<250))
        let chain = try #require(
            node.ruleset.table(.nat).chains.first { $0.name.hasPrefix("KUBE-SEP-") })
        #expect(chain.rules[0].matches.count == 1)
        #expect(try node.apply(Self.yaml(250..<251)).count > 1000)
        let later = try #require(node.ruleset.table(.nat).chain(chain.name))
        #expect(later.rules[0].matches.isEmpty)
        #expect(Self.kinds(try node.apply(Self.yaml(7..<8, weights: "10.1.0.7=3"))) == ["KUBE-SVC"])
    }

    @Test("turns weights into chances that are exact to the last bit of `statistic`")
    func weights() throws {
        var node = Node()
        _ = try node.apply(
            Self.yaml(1..<2, weights: "10.1.0.1=5,10.2.0.1=3,10.3.0.1=0, 10.4.0.1=2"))
        let chain = try #require(
            node.ruleset.table(.nat).chains.first { $0.name.hasPrefix("KUBE-SVC-") })
        let chances = chain.rules.map { rule -> UInt32? in
            for case .statistic(let statistic) in rule.matches {
                if case .random(let probability) = statistic.mode { return probability }
            }
            return nil
        }
        // 5/10, then 3/5 of the rest (2³¹ · 3/5 = 1288490188.8), then all of it; the third is drained.
        #expect(chances == [1 << 30, 1_288_490_189, nil])
        #expect(
            node.ruleset.table(.nat).chains.filter { $0.name.hasPrefix("KUBE-SEP-") }.count == 3)
        // All drained is as good as none: the client is told.
        _ = try node.apply(
            Self.yaml(1..<2, weights: "10.1.0.1=0,10.2.0.1=0,10.3.0.1=0,10.4.0.1=0"))
        #expect(
            node.ruleset.table(.filter).chain("KUBE-SERVICES")?.rules.map(\.target)
                == [.reject(.portUnreachable)])
    }

    @Test("of UDP leaves the flows of an endpoint behind that is gone, and of none that is drained")
    func staleFlows() throws {
        func text(_ addresses: [String], weights: String = "", ports: String = "") -> String {
            """
            apiVersion: v1
            kind: Service
            metadata: {name: dns, annotations: {sluice.dev/weights: "\(weights.isEmpty ? "192.0.2.1=1" : weights)"}}
            spec:
              type: NodePort
              clusterIP: 10.96.0.53
              ports: [{name: dns, port: 53, protocol: UDP, nodePort: 30053}, {name: tcp, port: 53}]
            ---
            apiVersion: v1
            kind: Endpoints
            metadata: {name: dns}
            subsets:
            - addresses: [\(addresses.map { "{ip: \($0)}" }.joined(separator: ", "))]
              ports: [{name: dns, port: 5353, protocol: UDP}, {name: tcp, port: 5353}]
            """
        }
        var proxy = ServiceProxy(ProxyConfiguration(nodeName: "node1"))
        var ruleset = Ruleset()
        func stale(_ text: String) throws -> Set<StaleFlow> {
            var change = ServiceProxy.Change()
            change.objects = try Manifest(text, file: "test.yaml").objects
            return try proxy.carry(out: change, on: &ruleset, isIntact: false).staleFlows
        }
        func flows(_ endpoint: StaleFlow.Endpoint?) -> Set<StaleFlow> {
            [
                StaleFlow(
                    destination: IPv4Address(10, 96, 0, 53), port: Port(53), endpoint: endpoint),
                StaleFlow(destination: nil, port: Port(30053), endpoint: endpoint),
            ]
        }
        let gone = StaleFlow.Endpoint(address: IPv4Address(10, 0, 0, 2), port: Port(5353))
        // What was sent nowhere so far may go to the first endpoint.
        #expect(try stale(text(["10.0.0.1", "10.0.0.2"])) == flows(nil))
        #expect(try stale(text(["10.0.0.1", "10.0.0.2"], weights: "10.0.0.2=0")) == [])
        #expect(try stale(text(["10.0.0.1"])) == flows(gone))
        #expect(try stale(text(["10.0.0.1", "10.0.0.3"])) == [])
    }
}
