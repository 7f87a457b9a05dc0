// Which endpoints a port of a Service leads to, from this node and by each of its traffic policies: the
// choice of kube-proxy 1.28 (pkg/proxy/topology.go), except that hints of zones are not followed.

import Wire

/// An endpoint of one port of a Service.
public struct PortEndpoint: Hashable, Sendable {
    public var address: IPv4Address
    public var port: Port
    public var isLocal: Bool
    public var isReady: Bool
    public var isServing: Bool
    public var isTerminating: Bool
    /// Shares of the new connections; 0: drained.
    public var weight: UInt16

    /// "10.0.0.2:8080", by which endpoints are also ordered.
    public var text: String { "\(address):\(port)" }
}

/// The endpoints of one port of a Service, sorted out.
struct ServiceEndpoints {
    /// For traffic that any endpoint may serve; empty where nothing is sent there.
    private(set) var cluster: [PortEndpoint] = []
    /// For traffic that stays on this node.
    private(set) var local: [PortEndpoint] = []
    /// Those that rules lead to.
    private(set) var reachable: [PortEndpoint] = []
    /// Some endpoint, on whatever node, serves.
    private(set) var hasAny = false

    /// - Parameter all: every endpoint, in order.
    init(_ all: [PortEndpoint], of service: Service, _ port: Service.ServicePort) {
        // A drained endpoint is none to a new connection.
        let endpoints = all.filter { $0.weight > 0 }
        let ready = endpoints.filter(\.isReady)
        let finishing = endpoints.filter { !$0.isReady && $0.isServing && $0.isTerminating }
        let usesCluster = service.usesClusterEndpoints(port)
        if usesCluster {
            // Where none is ready, those that end but still serve.
            cluster = ready.isEmpty ? endpoints.filter { $0.isServing && $0.isTerminating } : ready
            hasAny = !cluster.isEmpty
        }
        guard service.usesLocalEndpoints(port) else {
            reachable = cluster
            return
        }
        if !ready.isEmpty || !finishing.isEmpty { hasAny = true }
        let localReady = ready.filter(\.isLocal)
        local = localReady.isEmpty ? finishing.filter(\.isLocal) : localReady
        guard usesCluster else {
            reachable = local
            return
        }
        let known = Set(cluster)
        reachable = (cluster + local.filter { !known.contains($0) }).sorted { $0.text < $1.text }
    }
}

extension Service {
    /// Something outside the cluster can address this port.
    func isExternallyAccessible(_ port: ServicePort) -> Bool {
        port.nodePort != nil || !balancerIPs.isEmpty || !externalIPs.isEmpty
    }

    var isExternalPolicyLocal: Bool {
        guard externalPolicy == .local else { return false }
        return kind == .loadBalancer || kind == .nodePort
            || kind == .clusterIP && !externalIPs.isEmpty
    }

    var isInternalPolicyLocal: Bool { internalPolicy == .local }

    /// With external traffic too, whose local part goes to any endpoint whatever the policy.
    func usesClusterEndpoints(_ port: ServicePort) -> Bool {
        !isInternalPolicyLocal || isExternallyAccessible(port)
    }

    func usesLocalEndpoints(_ port: ServicePort) -> Bool {
        isInternalPolicyLocal || isExternalPolicyLocal && isExternallyAccessible(port)
    }
}

extension ServiceObjects {
    /// The endpoints of one port of a Service, in kube-proxy's order: by their text.
    public func endpoints(
        of service: Service, _ port: Service.ServicePort, nodeName: String
    ) -> [PortEndpoint] {
        var found: [String: PortEndpoint] = [:]
        for slice in slices(of: service.name) {
            for group in slice.groups {
                for served in group.ports
                where served.name == port.name && served.transport == port.transport {
                    for endpoint in group.endpoints {
                        let one = PortEndpoint(
                            address: endpoint.address, port: served.port,
                            isLocal: endpoint.node == nodeName, isReady: endpoint.isReady,
                            isServing: endpoint.isServing, isTerminating: endpoint.isTerminating,
                            weight: slice.weights.shares[endpoint.address]
                                ?? service.weights.shares[endpoint.address] ?? 1)
                        // Of an endpoint in two slices the one that is local counts.
                        if found[one.text] == nil || one.isLocal { found[one.text] = one }
                    }
                }
            }
        }
        return found.keys.sorted().compactMap { found[$0] }
    }
}
