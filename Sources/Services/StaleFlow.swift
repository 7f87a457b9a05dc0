// The UDP flows that a change leaves behind. A UDP flow ends when nobody sends any more; one whose endpoint is
// gone would be sent there for ever. kube-proxy ends such flows (pkg/proxy/conntrack/cleanup.go), and
// leaves TCP alone: its connections end by themselves where their endpoint is gone.

import Wire

/// UDP flows to a port of a Service: those that were sent to one endpoint, or those that were sent nowhere.
public struct StaleFlow: Hashable, Sendable {
    /// `nil`: any address, for a node port.
    public var destination: IPv4Address?
    public var port: Port
    /// `nil`: the flows that were not translated, because there was no endpoint.
    public var endpoint: Endpoint?

    public init(destination: IPv4Address?, port: Port, endpoint: Endpoint?) {
        self.destination = destination
        self.port = port
        self.endpoint = endpoint
    }

    public struct Endpoint: Hashable, Sendable {
        public var address: IPv4Address
        public var port: Port

        public init(address: IPv4Address, port: Port) {
            self.address = address
            self.port = port
        }
    }
}

extension ServiceObjects {
    /// The flows that a change from `self` to `after` of some Services leaves behind.
    func staleFlows(
        _ names: Set<ObjectName>, after: ServiceObjects, nodeName: String
    ) -> Set<StaleFlow> {
        var stale: Set<StaleFlow> = []
        for name in names {
            let old = served(name, nodeName: nodeName)
            let new = after.served(name, nodeName: nodeName)
            for (entrance, endpoints) in old {
                for endpoint in endpoints.subtracting(new[entrance] ?? []) {
                    stale.insert(entrance.flow(to: endpoint))
                }
            }
            for (entrance, endpoints) in new where !endpoints.isEmpty {
                if old[entrance]?.isEmpty != false { stale.insert(entrance.flow(to: nil)) }
            }
        }
        return stale
    }

    /// Where a UDP port of a Service is entered.
    private struct Entrance: Hashable {
        var destination: IPv4Address?
        var port: Port

        func flow(to endpoint: StaleFlow.Endpoint?) -> StaleFlow {
            StaleFlow(destination: destination, port: port, endpoint: endpoint)
        }
    }

    /// The ready endpoints behind each entrance. One that is drained keeps its flows.
    private func served(
        _ name: ObjectName, nodeName: String
    ) -> [Entrance: Set<StaleFlow.Endpoint>] {
        guard let service = services[name], let clusterIP = service.clusterIP else { return [:] }
        var served: [Entrance: Set<StaleFlow.Endpoint>] = [:]
        for port in service.ports where port.transport == .udp {
            let ready = endpoints(of: service, port, nodeName: nodeName).filter(\.isReady)
            let endpoints = Set(
                ready.map { StaleFlow.Endpoint(address: $0.address, port: $0.port) })
            for address in [clusterIP] + service.externalIPs + service.balancerIPs {
                served[Entrance(destination: address, port: port.port)] = endpoints
            }
            if let nodePort = port.nodePort {
                served[Entrance(destination: nil, port: nodePort)] = endpoints
            }
        }
        return served
    }
}
