// Descriptions of services: Kubernetes' manifests, and the lines of `ipvsadm -R`.

import Ruleset
import Services
import VirtualServer
import Wire

extension FuzzTarget {
    /// A file of manifests.
    static let manifest = FuzzTarget(
        name: "manifest", seeds: manifestSeeds.map { Array($0.utf8) },
        dictionary: [
            "apiVersion: v1\n", "kind: Service\n", "kind: List\n", "kind: Endpoints\n",
            "metadata:\n", "spec:\n",
            "type: NodePort\n", "type: LoadBalancer\n", "type: ExternalName\n", "clusterIP: None\n",
            "externalIPs: [", "nodePort: ", "protocol: UDP\n", "sessionAffinity: ClientIP\n",
            "externalTrafficPolicy: Local\n", "internalTrafficPolicy: Local\n",
            "publishNotReadyAddresses: true\n", "loadBalancerSourceRanges: [", "annotations:\n",
            "sluice.dev/weights: ", "conditions:\n", "serving: ", "terminating: ", "---\n",
        ]
    ) { bytes in
        let text = String(decoding: bytes, as: UTF8.self)
        var change = ServiceProxy.Change()
        do throws(ManifestError) {
            change.objects = try Manifest(text, file: "m.yaml").objects
        } catch {
            promise(!error.message.isEmpty, "a refusal says why")
            return
        }
        var ruleset = Ruleset()
        var configuration = ProxyConfiguration(nodeName: "node")
        configuration.nodeAddresses = [IPv4Address(10, 1, 0, 1)]
        var proxy = ServiceProxy(configuration)
        do throws(ManifestError) {
            _ = try proxy.carry(out: change, on: &ruleset, isIntact: false)
        } catch {
            promise(!error.message.isEmpty, "a refusal says why")
            promise(proxy.objects.isEmpty && ruleset == Ruleset(), "a refusal changes nothing")
            return
        }
        promise((try? CompiledRuleset(ruleset)) != nil, "the rules of services compile")
        let rules = IPTablesCommand.run(
            .save, arguments: [], ruleset: ruleset, environment: FuzzRules.environment)
        let again = IPTablesCommand.run(
            .restore, arguments: [], standardInput: Array(rules.standardOutput.utf8),
            ruleset: Ruleset(), environment: FuzzRules.environment)
        promise(
            again.status == 0,
            "the rules of services load: \(again.standardError)\n\(rules.standardOutput)")
        let same = try? proxy.carry(out: change, on: &ruleset, isIntact: true)
        promise(same?.changedChains.isEmpty == true, "the same once more changes nothing")
    }

    /// What `ipvsadm -R` reads.
    static let virtualServices = FuzzTarget(
        name: "ipvsadm",
        seeds: [
            """
            -A -t 10.96.0.1:80 -s wrr -p 300
            -a -t 10.96.0.1:80 -r 10.0.0.1:8080 -m -w 3
            -a -t 10.96.0.1:80 -r 10.0.0.2:8080 -m -w 0
            -e -t 10.96.0.1:80 -r 10.0.0.2:8080 -m -w 5
            """,
            "-A -f 7 -s mh -b mh-fallback,mh-port\n-a -f 7 -r 10.0.0.1 -m\n-Z -f 7\n-E -f 7 -s sh",
            "ipvsadm -A -u 10.96.0.1:53\n-a -u 10.96.0.1:53 -r 10.0.0.1:53 -m\n-d -u 10.96.0.1:53 -r 10.0.0.1:53\n-D -u 10.96.0.1:53\n-C",
        ].map { Array($0.utf8) },
        dictionary: [
            "--add-service", "--tcp-service", "--udp-service", "--fwmark-service", "--scheduler",
            "rr", "lc",
            "wlc", "dh", "sed", "nq", "--persistent", "--netmask", "--real-server",
            "--masquerading",
            "--weight", "--u-threshold", "--l-threshold", "--sched-flags", "-x", "-y", "-M",
            "--clear",
        ]
    ) { bytes in
        let environment = IPVSEnvironment(resolver: FuzzRules.environment.resolver)
        var services = VirtualServices()
        let outcome = services.restore(String(decoding: bytes, as: UTF8.self), environment).outcome
        promise(outcome.status == 0 || !outcome.error.isEmpty, "a failure says something")
        let text = saved(services)
        var again = VirtualServices()
        let second = again.restore(text, environment).outcome
        promise(second.error.isEmpty, "saved services load: \(second.error)\n\(text)")
        // The order that ipvsadm sorts by wraps for addresses that are far apart, and without sorting a restored
        // table is the other way round.
        promise(
            saved(again).split(separator: "\n").sorted() == text.split(separator: "\n").sorted(),
            "saved services are the same:\n\(text)\n\(saved(again))")
    }

    private static func saved(_ services: VirtualServices) -> String {
        var format = IPVSFormat()
        format.isNumeric = true
        return IPVSText(
            format, isSave: true, counts: ServiceCounts(),
            resolver: FuzzRules.environment.resolver
        ).table(services)
    }

    private static let manifestSeeds = [
        """
        apiVersion: v1
        kind: Service
        metadata: {name: web, annotations: {sluice.dev/weights: "10.0.0.1=3,10.0.0.2=1"}}
        spec:
          type: NodePort
          clusterIP: 10.96.0.10
          sessionAffinity: ClientIP
          ports:
          - {name: http, port: 80, targetPort: web, nodePort: 30080}
        ---
        apiVersion: discovery.k8s.io/v1
        kind: EndpointSlice
        metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}
        addressType: IPv4
        ports: [{name: http, port: 8080, protocol: TCP}]
        endpoints:
        - addresses: [10.0.0.1]
          conditions: {ready: true}
        - addresses: [10.0.0.2]
          nodeName: node
        """,
        """
        {"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "dns", "namespace": "x"}, "spec": {"type": "LoadBalancer", "clusterIP": "10.96.0.53",
        "externalIPs": ["192.0.2.7"], "externalTrafficPolicy": "Local", "loadBalancerSourceRanges": ["10.0.0.0/8"],
        "ports": [{"port": 53, "protocol": "UDP", "nodePort": 30053}]},
        "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.9"}]}}}]}
        """,
        """
        apiVersion: v1
        kind: Service
        metadata: {name: name}
        spec: {type: ExternalName, externalName: db.example.com}
        ---
        apiVersion: v1
        kind: Service
        metadata: {name: headless}
        spec: {clusterIP: None, ports: [{port: 9}]}
        ---
        apiVersion: v1
        kind: Endpoints
        metadata: {name: headless}
        subsets: [{addresses: [{ip: 10.0.0.3}], notReadyAddresses: [{ip: 10.0.0.4}], ports: [{port: 9}]}]
        """,
    ]
}
