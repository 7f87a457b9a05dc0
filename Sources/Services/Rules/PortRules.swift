// The rules of one port of a Service, as kube-proxy 1.28 writes them in iptables mode
// (pkg/proxy/iptables/proxier.go, syncProxyRules):
//
//     KUBE-SERVICES ─ cluster IP ───────────────────────────┐
//                   ├ external IP ─────────── KUBE-EXT-… ─┐ │
//                   ├ balancer IP ─ KUBE-FW-… ──┘         ├─┴▶ KUBE-SVC-… (any endpoint)  ─▶ KUBE-SEP-… ─ DNAT
//                   └ KUBE-NODEPORTS ─────────┘           └──▶ KUBE-SVL-… (this node's own) ─▶ KUBE-SEP-…
//
// Where nothing can be reached, a rule of the filter table refuses (nobody at all) or drops (nobody here).

import Ruleset
import Wire

/// What one port of a Service adds to the shared chains, and the chains of its own.
struct PortRules: Hashable, Sendable {
    /// nat
    var services: [Rule] = []
    var nodePorts: [Rule] = []
    /// filter
    var refusals: [Rule] = []
    var externalRefusals: [Rule] = []
    var firewall: [Rule] = []
    var healthChecks: [Rule] = []
    /// nat; without policy.
    var chains: [Chain] = []
}

extension PortRules {
    /// - Parameters:
    ///   - all: the endpoints of the port, in order.
    ///   - bearsComments: rules of which there are as many as endpoints say what they are for.
    init(
        _ service: Service, _ port: Service.ServicePort, _ all: [PortEndpoint],
        _ configuration: ProxyConfiguration, bearsComments: Bool
    ) {
        guard let clusterIP = service.clusterIP else { return }
        var writer = PortRulesWriter(
            service, port, clusterIP, all, configuration, bearsComments: bearsComments)
        writer.write()
        self = writer.rules
    }
}

private struct PortRulesWriter {
    let service: Service
    let port: Service.ServicePort
    let clusterIP: IPv4Address
    let endpoints: ServiceEndpoints
    let configuration: ProxyConfiguration
    let bearsComments: Bool
    /// "default/web:http"
    let name: String
    let hash: String
    /// "10.0.0.2:8080" → the endpoint's chain.
    let endpointChains: [PortEndpoint: String]
    var rules = PortRules()

    init(
        _ service: Service, _ port: Service.ServicePort, _ clusterIP: IPv4Address,
        _ all: [PortEndpoint], _ configuration: ProxyConfiguration, bearsComments: Bool
    ) {
        self.service = service
        self.port = port
        self.clusterIP = clusterIP
        self.configuration = configuration
        self.bearsComments = bearsComments
        let name = port.fullName(of: service)
        self.name = name
        hash = ChainName.hash(name, port.transport)
        let endpoints = ServiceEndpoints(all, of: service, port)
        self.endpoints = endpoints
        endpointChains = Dictionary(
            uniqueKeysWithValues: endpoints.reachable.map {
                let hash = ChainName.hash(name, port.transport, endpoint: $0.text)
                return ($0, ChainName.endpointPrefix + hash)
            })
    }

    // MARK: What applies

    private var clusterChain: String { ChainName.clusterPrefix + hash }
    private var localChain: String { ChainName.localPrefix + hash }
    private var externalChain: String { ChainName.externalPrefix + hash }
    private var firewallChain: String { ChainName.firewallPrefix + hash }

    private var hasInternal: Bool {
        service.isInternalPolicyLocal ? !endpoints.local.isEmpty : endpoints.hasAny
    }
    private var hasExternal: Bool {
        service.isExternalPolicyLocal ? !endpoints.local.isEmpty : endpoints.hasAny
    }
    private var usesCluster: Bool {
        !endpoints.cluster.isEmpty && service.usesClusterEndpoints(port)
    }
    private var usesLocal: Bool { !endpoints.local.isEmpty && service.usesLocalEndpoints(port) }
    private var usesExternal: Bool {
        endpoints.hasAny && service.isExternallyAccessible(port)
    }
    private var usesFirewall: Bool {
        endpoints.hasAny && !service.balancerIPs.isEmpty && !service.sourceRanges.isEmpty
    }

    mutating func write() {
        writeClusterIP()
        writeExternalIPs()
        writeBalancerIPs()
        writeNodePort()
        writeHealthCheck()
        if usesExternal { writeExternalChain() }
        if usesFirewall { writeFirewallChain() }
        if usesCluster {
            writeChoice(clusterChain, endpoints.cluster, isInternal: !service.isInternalPolicyLocal)
        }
        if usesLocal {
            writeChoice(localChain, endpoints.local, isInternal: service.isInternalPolicyLocal)
        }
        for endpoint in endpoints.reachable { writeEndpoint(endpoint) }
    }

    private mutating func add(_ chain: String, _ list: [Rule]) {
        rules.chains.append(Chain(name: chain, rules: list))
    }

    /// A rule about packets to an address of the Service.
    private func rule(
        _ comment: String, to address: IPv4Address, from source: AddressMatch = .any,
        _ target: Target
    ) -> Rule {
        .kube(
            "\(name) \(comment)", [port.transport.match(port.port)], from: source,
            to: .host(address), over: port.transport, then: target)
    }

    // MARK: Shared chains

    private func refusal(_ isDrop: Bool) -> (comment: String, target: Target) {
        isDrop ? ("has no local endpoints", .drop) : ("has no endpoints", .reject(.portUnreachable))
    }

    private mutating func writeClusterIP() {
        if hasInternal {
            let chain = service.isInternalPolicyLocal ? localChain : clusterChain
            rules.services.append(rule("cluster IP", to: clusterIP, .jump(chain)))
        } else {
            let (comment, target) = refusal(endpoints.hasAny)
            rules.refusals.append(rule(comment, to: clusterIP, target))
        }
    }

    private mutating func writeExternalIPs() {
        for address in service.externalIPs {
            if endpoints.hasAny {
                rules.services.append(rule("external IP", to: address, .jump(externalChain)))
            }
            writeExternalRefusal(to: address)
        }
    }

    private mutating func writeBalancerIPs() {
        for address in service.balancerIPs {
            if endpoints.hasAny {
                let chain = usesFirewall ? firewallChain : externalChain
                rules.services.append(rule("loadbalancer IP", to: address, .jump(chain)))
            }
            if usesFirewall {
                rules.firewall.append(
                    rule("traffic not accepted by \(firewallChain)", to: address, .drop))
            }
            writeExternalRefusal(to: address)
        }
    }

    private mutating func writeExternalRefusal(to address: IPv4Address) {
        guard !hasExternal else { return }
        let (comment, target) = refusal(endpoints.hasAny)
        rules.externalRefusals.append(rule(comment, to: address, target))
    }

    private mutating func writeNodePort() {
        guard let nodePort = port.nodePort else { return }
        let match = port.transport.match(nodePort)
        if endpoints.hasAny {
            rules.nodePorts.append(
                .kube(name, [match], over: port.transport, then: .jump(externalChain)))
        }
        guard !hasExternal else { return }
        let (comment, target) = refusal(endpoints.hasAny)
        rules.externalRefusals.append(
            .kube("\(name) \(comment)", [.toLocal, match], over: port.transport, then: target))
    }

    private mutating func writeHealthCheck() {
        guard let check = service.healthCheckNodePort, service.kind == .loadBalancer,
            service.isExternalPolicyLocal
        else { return }
        rules.healthChecks.append(
            .kube(
                "\(name) health check node port", [Transport.tcp.match(check)], over: .tcp,
                then: .accept))
    }

    // MARK: Chains of the port's own

    /// Where all traffic to an address outside the cluster comes together.
    private mutating func writeExternalChain() {
        var list: [Rule] = []
        if service.isExternalPolicyLocal {
            // Pods, and the node itself, reach every endpoint.
            if let cluster = configuration.clusterNetwork {
                list.append(
                    .kube(
                        "pod traffic for \(name) external destinations",
                        from: AddressMatch(cluster), then: .jump(clusterChain)))
            }
            list.append(
                .kube(
                    "masquerade LOCAL traffic for \(name) external destinations", [.fromLocal],
                    then: .jump(ChainName.markMasquerade)))
            list.append(
                .kube(
                    "route LOCAL traffic for \(name) external destinations", [.fromLocal],
                    then: .jump(clusterChain)))
        } else {
            // The endpoint may be on another node, and its answer must come back here.
            list.append(
                .kube(
                    "masquerade traffic for \(name) external destinations",
                    then: .jump(ChainName.markMasquerade)))
        }
        if hasExternal {
            let chain = service.isExternalPolicyLocal ? localChain : clusterChain
            list.append(.kube(.jump(chain)))
        }
        add(externalChain, list)
    }

    /// Lets the balancer's source ranges through; the rest falls to KUBE-PROXY-FIREWALL.
    private mutating func writeFirewallChain() {
        var sources = service.sourceRanges.map { AddressMatch($0) }
        // A balancer's address that the node bears is the source of what the node sends there.
        if let node = configuration.nodeAddresses.first,
            service.sourceRanges.contains(where: { $0.contains(node) })
        {
            sources += service.balancerIPs.map { .host($0) }
        }
        var list = sources.map {
            Rule.kube("\(name) loadbalancer IP", from: $0, then: .jump(externalChain))
        }
        list.append(
            .kube("other traffic to \(name) will be dropped by KUBE-PROXY-FIREWALL", then: .none))
        add(firewallChain, list)
    }

    /// The chain that chooses an endpoint.
    private mutating func writeChoice(
        _ chain: String, _ choices: [PortEndpoint], isInternal: Bool
    ) {
        var list: [Rule] = []
        if isInternal, configuration.masqueradeAll {
            list.append(rule("cluster IP", to: clusterIP, .jump(ChainName.markMasquerade)))
        } else if isInternal, let cluster = configuration.clusterNetwork {
            list.append(
                rule(
                    "cluster IP", to: clusterIP, from: AddressMatch(cluster, inverted: true),
                    .jump(ChainName.markMasquerade)))
        }
        func choice(_ endpoint: PortEndpoint, _ matches: [Match]) -> Rule {
            .kube(
                bearsComments ? "\(name) -> \(endpoint.text)" : nil, matches,
                then: .jump(endpointChains[endpoint] ?? ""))
        }
        if let seconds = service.affinity {
            for endpoint in choices {
                let recent = RecentMatch(
                    .check, seconds: seconds, reaps: true, name: endpointChains[endpoint] ?? "")
                list.append(choice(endpoint, [.recent(recent)]))
            }
        }
        for (endpoint, probability) in zip(choices, Probability.chances(choices.map(\.weight))) {
            let match = probability.map {
                Match.statistic(StatisticMatch(.random(probability: $0)))
            }
            list.append(choice(endpoint, match.map { [$0] } ?? []))
        }
        add(chain, list)
    }

    private mutating func writeEndpoint(_ endpoint: PortEndpoint) {
        let chain = endpointChains[endpoint] ?? ""
        let comment = bearsComments ? name : nil
        var matches: [Match] = []
        if service.affinity != nil { matches.append(.recent(RecentMatch(.set, name: chain))) }
        matches.append(port.transport.match())
        let target = NATTarget(
            addresses: AddressRange(endpoint.address, endpoint.address),
            ports: PortRange(endpoint.port))
        add(
            chain,
            [
                // Who calls itself must see the answer come back by the node.
                .kube(
                    comment, from: .host(endpoint.address), then: .jump(ChainName.markMasquerade)),
                .kube(comment, matches, over: port.transport, then: .dnat(target)),
            ])
    }
}

extension Service.ServicePort {
    /// "default/web:http", or "default/web" where the port has no name.
    func fullName(of service: Service) -> String {
        name.isEmpty ? "\(service.name)" : "\(service.name):\(name)"
    }
}
