// What of a node's kube-proxy configuration decides about its rules.

import Wire

public struct ProxyConfiguration: Hashable, Sendable {
    /// The node's name; endpoints that bear it are local.
    public var nodeName: String
    /// The addresses of the pods (`--cluster-cidr`). `nil`: nobody counts as a pod.
    public var clusterNetwork: IPv4Network?
    /// Masquerades everything that goes to a Service.
    public var masqueradeAll = false
    /// Draws the source port of what is masqueraded (`MASQUERADE --random-fully`).
    public var randomFully = true
    /// Lets node ports be reached at 127.0.0.1, which takes `route_localnet`, and guards 127.0.0.0/8.
    public var localhostNodePorts = true
    /// Where node ports are open; empty: at every address of the node.
    public var nodePortNetworks: [IPv4Network] = []
    /// The addresses of the node, its main one first.
    public var nodeAddresses: [IPv4Address] = []

    public init(nodeName: String) { self.nodeName = nodeName }

    /// Beyond so many endpoints rules bear no comments (kube-proxy's largeClusterEndpointsThreshold).
    static let largeClusterThreshold = 1000
    /// The mark of what is to be masqueraded.
    static let masqueradeMark: UInt32 = 0x4000
}
