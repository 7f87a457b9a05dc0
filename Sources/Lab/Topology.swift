// A lab as plain data: namespaces, links, addresses, and what runs in them.
// Everything is a command a person could type in the node; nothing here runs anything.

/// One lab: one node or several, and what stands around them.
public struct Topology: Sendable {
    /// A namespace whose NAT is the lab's subject: Sluice's, or the kernel's with `--kernel`.
    public struct Node: Sendable {
        public var name: String
        /// The interfaces that Sluice takes over.
        public var interfaces: [String]
        /// iptables commands for what the node has before the document begins.
        public var rules: [String] = []
    }

    /// A small server, see LabServer.swift.
    public struct Server: Sendable {
        public var namespace: String
        /// What it answers.
        public var word: String
        /// The address it listens on; every one of the namespace by default.
        public var address = "0.0.0.0"
        public var port: UInt16 = 80
        /// Whether a second line of the answer says which path was asked for.
        public var showsPath = false
    }

    /// A file below /proc/sys and what is written there, before there are links. Where the file is
    /// missing it speaks of a module that is not loaded, and is passed over.
    public struct Setting: Sendable {
        public var namespace: String
        public var file: String
        public var value: String
    }

    public var name: String
    public var summary: String
    /// The first is where the lab's commands are typed unless they say otherwise.
    public var nodes: [Node]
    /// The namespaces around the nodes.
    public var surroundings: [String]
    /// `ip` commands, typed in the first node.
    public var links: [String]
    public var settings: [Setting]
    public var servers: [Server]
    /// What the document's shell variables stand for, in every command that runs in the lab.
    public var variables: [String: String] = [:]

    public var home: Node { nodes[0] }
    public var namespaces: [String] { nodes.map(\.name) + surroundings }

    public static let all = [
        dnatLoadBalancing, nodeportSimulation, virtualIP, serviceNetworking,
        kubeChains,
    ]

    public static func named(_ name: String) throws(LabError) -> Topology {
        guard let found = all.first(where: { $0.name == name }) else {
            let known = all.map(\.name).joined(separator: ", ")
            throw LabError("there is no lab \(name); expected one of: \(known)")
        }
        return found
    }
}
