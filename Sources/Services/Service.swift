// A Kubernetes Service (v1), as much of it as decides about packets and names.

import Wire

/// Namespace and name, which an object is known by.
public struct ObjectName: Hashable, Comparable, Sendable, CustomStringConvertible {
    public var namespace: String
    public var name: String

    public init(namespace: String, name: String) {
        self.namespace = namespace
        self.name = name
    }

    public static func < (a: Self, b: Self) -> Bool {
        (a.namespace, a.name) < (b.namespace, b.name)
    }

    public var description: String { "\(namespace)/\(name)" }
}

public struct Service: Hashable, Sendable {
    public enum Kind: String, Hashable, Sendable, CaseIterable {
        case clusterIP = "ClusterIP"
        case nodePort = "NodePort"
        case loadBalancer = "LoadBalancer"
        case externalName = "ExternalName"
    }

    public enum TrafficPolicy: String, Hashable, Sendable, CaseIterable {
        case cluster = "Cluster"
        case local = "Local"
    }

    public struct ServicePort: Hashable, Sendable {
        /// Empty where the Service has one port only.
        public var name: String
        public var transport: Transport
        public var port: Port
        /// A number or the name of a container's port; slices have it resolved already.
        public var targetPort: String
        public var nodePort: Port?
        public var place: ManifestPlace
    }

    public var name: ObjectName
    public var kind: Kind
    /// `nil` where the Service is headless or an ExternalName.
    public var clusterIP: IPv4Address?
    public var ports: [ServicePort] = []
    public var externalIPs: [IPv4Address] = []
    /// Addresses of `status.loadBalancer.ingress`.
    public var balancerIPs: [IPv4Address] = []
    public var sourceRanges: [IPv4Network] = []
    /// Seconds for which a client keeps its endpoint; `nil`: session affinity is None.
    public var affinity: UInt32?
    public var externalPolicy = TrafficPolicy.cluster
    public var internalPolicy = TrafficPolicy.cluster
    public var healthCheckNodePort: Port?
    /// The name that an ExternalName stands for.
    public var externalName: String?
    public var weights = Weights()
    public var place: ManifestPlace

    /// No address of its own: its name stands for its endpoints.
    public var isHeadless: Bool { clusterIP == nil && kind != .externalName }
}

/// The protocols that a Service may have here.
public enum Transport: String, Hashable, Sendable, CaseIterable, Comparable {
    case tcp = "TCP"
    case udp = "UDP"

    public static func < (a: Self, b: Self) -> Bool { a.rawValue < b.rawValue }
    var number: IPProtocol { self == .tcp ? .tcp : .udp }
    /// As iptables says it.
    var word: String { self == .tcp ? "tcp" : "udp" }
}
