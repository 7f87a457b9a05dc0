// What a manifest may say, and how one that is wrong is refused: file, line, field, and what was expected.

import Services
import Testing
import Wire

@Suite("A manifest")
struct ManifestTests {
    private static let web = """
        apiVersion: v1
        kind: Service
        metadata: {name: web}
        spec:
          clusterIP: 10.96.0.10
          ports:
          - port: 80

        """

    @Test("of several documents and lists is read whole, and what makes no rules is remarked on")
    func documents() throws {
        let text = """
            ---
            # A comment alone is no object.
            ---
            apiVersion: v1
            kind: List
            items:
            - apiVersion: v1
              kind: Service
              metadata: {name: web, namespace: shop, labels: {a: b}, resourceVersion: "85"}
              spec:
                clusterIPs: ["fd00::1", "10.96.0.10"]
                type: NodePort
                trafficDistribution: PreferClose
                ports:
                - {name: http, port: 80, targetPort: http, nodePort: 30080, appProtocol: h2c}
                - {name: dns, port: 53, protocol: UDP, nodePort: 0}
                sessionAffinity: ClientIP
            - apiVersion: discovery.k8s.io/v1beta1
              kind: EndpointSlice
              metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
              addressType: IPv4
              ports: [{name: http, port: 8080}, {name: dns, port: 5353, protocol: UDP}]
              endpoints:
              - {addresses: [10.0.0.1], topology: {kubernetes.io/hostname: node1}}
              - {addresses: [10.0.0.2], conditions: {ready: false, serving: true, terminating: true}}
            ---
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}}
            """
        let manifest = try Manifest(text, file: "shop.yaml")
        #expect(manifest.remarks == ["shop.yaml:27: Deployment is passed over: it makes no rules"])
        guard case .service(let service) = try #require(manifest.objects.first),
            case .slice(let slice) = try #require(manifest.objects.last)
        else {
            Issue.record("expected a Service and a slice: \(manifest.objects)")
            return
        }
        #expect(service.name == ObjectName(namespace: "shop", name: "web"))
        #expect(service.clusterIP == IPv4Address(10, 96, 0, 10))
        #expect(service.affinity == 10_800)
        #expect(service.ports.map(\.targetPort) == ["http", "53"])
        #expect(service.ports.map(\.nodePort) == [Port(30080), nil])
        #expect(slice.groups[0].endpoints.map(\.node) == ["node1", nil])
        #expect(slice.groups[0].endpoints.map(\.isReady) == [true, false])
        #expect(slice.groups[0].endpoints.map(\.isTerminating) == [false, true])
    }

    @Test("of the older kind Endpoints has the endpoints of each of its subsets")
    func endpoints() throws {
        let objects = try ServiceObjects(
            yaml: Self.web + """
                ---
                apiVersion: v1
                kind: Endpoints
                metadata: {name: web}
                subsets:
                - addresses: [{ip: 10.0.0.1}]
                  notReadyAddresses: [{ip: 10.0.0.2}]
                  ports: [{port: 8080}]
                - addresses: [{ip: 10.0.0.3}]
                  ports: [{port: 9090}]
                """)
        let service = try #require(objects.services.values.first)
        let found = objects.endpoints(of: service, service.ports[0], nodeName: "node1")
        #expect(found.map(\.text) == ["10.0.0.1:8080", "10.0.0.2:8080", "10.0.0.3:9090"])
        #expect(found.map(\.isReady) == [true, false, true])
    }

    struct Fault: CustomTestStringConvertible {
        var testDescription: String
        /// A line of the manifest of `web`, or all of it, is replaced.
        var line: String = ""
        var by: String
        var message: String
    }

    static let faults: [Fault] = [
        Fault(
            testDescription: "port 0", line: "  - port: 80", by: "  - port: 0",
            message: "web.yaml:7: spec.ports[0].port: 0 is not a port (1 to 65535)"),
        Fault(
            testDescription: "a port as text", line: "  - port: 80", by: "  - port: \"80\"",
            message: "web.yaml:7: spec.ports[0].port: expected a number, found the text '80'"),
        Fault(
            testDescription: "a port as a fraction", line: "  - port: 80", by: "  - port: 8.5",
            message: "web.yaml:7: spec.ports[0].port: expected a number, found 8.5"),
        Fault(
            testDescription: "a number as a name", line: "metadata: {name: web}",
            by: "metadata: {name: 80}",
            message: "web.yaml:3: metadata.name: expected text, found 80; put it in quotes"),
        Fault(
            testDescription: "a name that would break out of a comment",
            line: "metadata: {name: web}", by: "metadata: {name: \"web\\\" -j ACCEPT\"}",
            message:
                "web.yaml:3: metadata.name: 'web\" -j ACCEPT' is not a name: expected small letters, digits, '-' and '.'"
        ),
        Fault(
            testDescription: "no name", line: "metadata: {name: web}", by: "metadata: {}",
            message: "web.yaml:3: metadata.name: is missing"),
        Fault(
            testDescription: "a list for fields", line: "metadata: {name: web}", by: "metadata: []",
            message: "web.yaml:3: metadata: expected fields, found a list"),
        Fault(
            testDescription: "an address of another family", line: "  clusterIP: 10.96.0.10",
            by: "  clusterIP: fd00::1",
            message: "web.yaml:5: spec.clusterIP: fd00::1 is of another family; Sluice carries IPv4"
        ),
        Fault(
            testDescription: "no address", line: "  clusterIP: 10.96.0.10", by: "  type: ClusterIP",
            message:
                "web.yaml:5: spec.clusterIP: is missing: no API server is here to choose one; expected an IPv4 address, or None for a headless Service"
        ),
        Fault(
            testDescription: "an unknown type", line: "  clusterIP: 10.96.0.10",
            by: "  type: Clusterip",
            message:
                "web.yaml:5: spec.type: 'Clusterip' is none of ClusterIP, NodePort, LoadBalancer, ExternalName"
        ),
        Fault(
            testDescription: "a protocol that is not carried", line: "  - port: 80",
            by: "  - {port: 80, protocol: SCTP}",
            message:
                "web.yaml:7: spec.ports[0].protocol: 'SCTP' is not carried by Services here: expected TCP or UDP"
        ),
        Fault(
            testDescription: "two ports without names", line: "  - port: 80",
            by: "  - port: 80\n  - port: 81",
            message: "web.yaml:7: spec.ports[0].name: is missing: of several ports each has a name"),
        Fault(
            testDescription: "one port twice", line: "  - port: 80",
            by: "  - {name: a, port: 80}\n  - {name: b, port: 80}",
            message: "web.yaml:8: spec.ports[1].port: 80/TCP is listed twice"),
        Fault(
            testDescription: "one node port twice in a Service", line: "  - port: 80",
            by:
                "  - {name: a, port: 80, nodePort: 30080}\n  - {name: b, port: 81, nodePort: 30080}",
            message: "web.yaml:8: spec.ports[1].nodePort: 30080/TCP is listed twice"),
        Fault(
            testDescription: "an affinity of two days", line: "  clusterIP: 10.96.0.10",
            by: "  clusterIP: 10.96.0.10\n  sessionAffinity: ClientIP\n"
                + "  sessionAffinityConfig: {clientIP: {timeoutSeconds: 172800}}",
            message:
                "web.yaml:7: spec.sessionAffinityConfig.clientIP.timeoutSeconds: 172800 is not a time-out (1 to 86400 seconds)"
        ),
        Fault(
            testDescription: "weights that are none", line: "metadata: {name: web}",
            by: "metadata: {name: web, annotations: {sluice.dev/weights: \"10.0.0.1=3,10.0.0.2\"}}",
            message:
                "web.yaml:3: metadata.annotations.sluice.dev/weights: '10.0.0.2': expected ADDRESS=SHARES with 0 to 65535 shares, separated by commas"
        ),
        Fault(
            testDescription: "endpoints in another family",
            by: """
                apiVersion: discovery.k8s.io/v1
                kind: EndpointSlice
                metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}
                addressType: IPv4
                endpoints:
                - addresses: [10.0.0.1]
                - addresses: ["fd00::2"]
                """,
            message:
                "web.yaml:7: endpoints[1].addresses[0]: fd00::2 is of another family; Sluice carries IPv4"
        ),
        Fault(
            testDescription: "a slice of another family",
            by: """
                apiVersion: discovery.k8s.io/v1
                kind: EndpointSlice
                metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}
                addressType: IPv6
                """,
            message:
                "web.yaml:4: addressType: 'IPv6' endpoints cannot be reached; Sluice carries IPv4"),
        Fault(
            testDescription: "a slice without its Service",
            by: """
                apiVersion: discovery.k8s.io/v1
                kind: EndpointSlice
                metadata: {name: web-1}
                addressType: IPv4
                """,
            message:
                "web.yaml:3: metadata.labels: has no kubernetes.io/service-name, which names the Service of these endpoints"
        ),
        Fault(
            testDescription: "YAML that is not YAML", by: "kind: [Service\nmetadata: }",
            message: "web.yaml:2: no YAML: did not find expected ',' or ']'"),
        Fault(
            testDescription: "an object of no version", by: "kind: Service",
            message: "web.yaml:1: apiVersion: is missing"),
        Fault(
            testDescription: "a version that does not exist",
            by: "apiVersion: v2\nkind: Service\nmetadata: {name: web}",
            message: "web.yaml:1: apiVersion: 'v2' has no Service; v1 has"),
    ]

    @Test("with a fault is refused by file, line and field", arguments: faults)
    func refusal(_ fault: Fault) throws {
        let text =
            fault.line.isEmpty ? fault.by : Self.web.replacing(fault.line, with: fault.by)
        #expect(text != Self.web)
        var objects = ServiceObjects()
        let error = #expect(throws: ManifestError.self) {
            _ = try objects.apply(try Manifest(text, file: "web.yaml").objects)
        }
        #expect(error?.description == fault.message)
        #expect(objects.isEmpty)
    }

    struct Contradiction: CustomTestStringConvertible {
        var testDescription: String
        var spec: String
        var message: String
    }

    @Test(
        "that contradicts what is there is refused, and changes nothing",
        arguments: [
            Contradiction(
                testDescription: "a node port that is taken",
                spec:
                    "{type: NodePort, clusterIP: 10.96.0.11, ports: [{port: 80, nodePort: 30080}]}",
                message:
                    "b.yaml:4: spec.ports[0].nodePort: 30080/TCP belongs to default/a (a.yaml:1)"),
            Contradiction(
                testDescription: "an address and port that are taken",
                spec: "{clusterIP: 10.96.0.10, ports: [{port: 80}]}",
                message:
                    "b.yaml:1: spec.clusterIP: 10.96.0.10:80/TCP belongs to default/a (a.yaml:1)"),
            Contradiction(
                testDescription: "another Service's external address",
                spec: "{clusterIP: 10.96.0.11, externalIPs: [198.51.100.1], ports: [{port: 80}]}",
                message:
                    "b.yaml:1: spec.externalIPs: 198.51.100.1:80/TCP belongs to default/a (a.yaml:1)"
            ),
        ])
    func contradiction(_ subject: Contradiction) throws {
        func service(_ name: String, _ spec: String) -> String {
            "apiVersion: v1\nkind: Service\nmetadata: {name: \(name)}\nspec: \(spec)\n"
        }
        let first = service(
            "a",
            "{type: NodePort, clusterIP: 10.96.0.10, externalIPs: [198.51.100.1],"
                + " ports: [{port: 80, nodePort: 30080}]}")
        var objects = try ServiceObjects(yaml: first, file: "a.yaml")
        let before = objects.services
        let error = #expect(throws: ManifestError.self) {
            _ = try objects.apply(
                try Manifest(
                    service("b", subject.spec) + "---\n"
                        + service("c", "{clusterIP: 10.96.0.12, ports: [{port: 80}]}"),
                    file: "b.yaml"
                ).objects)
        }
        #expect(error?.description == subject.message)
        #expect(objects.services == before)
        // What is another port, or the same port of UDP, is no contradiction.
        _ = try objects.apply(
            try Manifest(
                service(
                    "b",
                    "{type: NodePort, clusterIP: 10.96.0.10, ports:"
                        + " [{port: 80, nodePort: 30080, protocol: UDP}]}"), file: "b.yaml"
            ).objects)
        #expect(objects.services.count == 2)
    }

    @Test("may move a port from one Service to another in one go")
    func exchange() throws {
        func text(_ first: Int, _ second: Int) -> String {
            ["a": first, "b": second].sorted { $0.key < $1.key }.map { name, port in
                """
                apiVersion: v1
                kind: Service
                metadata: {name: \(name)}
                spec: {type: NodePort, clusterIP: 10.96.0.\(name == "a" ? 1 : 2), ports: [{port: 80, nodePort: \(port)}]}
                """
            }.joined(separator: "\n---\n")
        }
        var objects = try ServiceObjects(yaml: text(30001, 30002))
        let touched = try objects.apply(try Manifest(text(30002, 30001), file: "b.yaml").objects)
        #expect(touched.map(\.name).sorted() == ["a", "b"])
        #expect(try objects.apply(try Manifest(text(30002, 30001), file: "c.yaml").objects).isEmpty)
    }
}
