extension Topology {
    /// A server on the node's own loopback, to be reached at another port from the node and from outside.
    public static let nodeportSimulation = Topology(
        name: "nodeport-simulation",
        summary: "client 192.0.2.10 -- eth0 192.0.2.1 node, with a server on 127.0.0.1:8080",
        nodes: [Node(name: "node", interfaces: ["eth0"])],
        surroundings: ["client"],
        links: outsideClient,
        settings: .router("node"),
        servers: [
            Server(namespace: "node", word: "backend", address: "127.0.0.1", port: 8080)
        ])
}
