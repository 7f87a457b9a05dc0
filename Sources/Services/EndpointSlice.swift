// A Kubernetes EndpointSlice (discovery.k8s.io/v1 and v1beta1), and the older Endpoints (v1) read as one.

import Wire

public struct EndpointSlice: Hashable, Sendable {
    public enum Kind: String, Hashable, Sendable, Comparable {
        case slice = "EndpointSlice"
        case endpoints = "Endpoints"

        public static func < (a: Self, b: Self) -> Bool { a.rawValue < b.rawValue }
    }

    /// What it is known by: an Endpoints and an EndpointSlice may bear one name.
    public struct Key: Hashable, Sendable, Comparable {
        public var kind: Kind
        public var name: ObjectName

        public init(kind: Kind, name: ObjectName) {
            self.kind = kind
            self.name = name
        }

        public static func < (a: Self, b: Self) -> Bool { (a.name, a.kind) < (b.name, b.kind) }
    }

    public struct SlicePort: Hashable, Sendable {
        /// That of the Service's port which these endpoints serve.
        public var name: String
        public var transport: Transport
        public var port: Port
    }

    public struct Endpoint: Hashable, Sendable {
        public var address: IPv4Address
        /// The node on which it runs.
        public var node: String?
        public var hostname: String?
        public var isReady = true
        public var isServing = true
        public var isTerminating = false
    }

    /// Endpoints that have the same ports: an EndpointSlice is one such group, an Endpoints may be several.
    public struct Group: Hashable, Sendable {
        public var endpoints: [Endpoint] = []
        public var ports: [SlicePort] = []
    }

    public var key: Key
    /// The Service, of the same namespace, whose endpoints these are.
    public var service: String
    public var groups: [Group] = []
    public var weights = Weights()
    public var place: ManifestPlace

    public var serviceName: ObjectName {
        ObjectName(namespace: key.name.namespace, name: service)
    }
}
