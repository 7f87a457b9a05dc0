extension Topology {
    /// One node of a cluster with two pods, a server of the node's own, and a client outside that is also
    /// what the node and its pods may reach there.
    public static let kubeChains = Topology(
        name: "kube-chains",
        summary: "client 192.0.2.10 -- eth0 192.0.2.1 node -- pod-a 10.42.1.23, pod-b 10.42.2.45",
        nodes: [Node(name: "node", interfaces: ["eth0", "veth-pod-a", "veth-pod-b"])],
        surroundings: ["client", "pod-a", "pod-b"],
        links: outsideClient + [
            // Service addresses go somewhere before rules change them.
            "route add default via 192.0.2.10"
        ] + pod("pod-a", "10.42.1.23", gateway: "10.42.1.1")
            + pod("pod-b", "10.42.2.45", gateway: "10.42.2.1"),
        settings: .router("node"),
        servers: [
            Server(namespace: "pod-a", word: "pod-a", port: 8080),
            Server(namespace: "pod-b", word: "pod-b", port: 8080),
            Server(namespace: "node", word: "the node", port: 9100),
            Server(namespace: "client", word: "outside"),
        ])

    private static func pod(_ name: String, _ address: String, gateway: String) -> [String] {
        [
            "link add veth-\(name) type veth peer name eth0 netns \(name)",
            "addr add \(gateway)/24 dev veth-\(name)",
            "link set veth-\(name) up",
            "-n \(name) link set lo up",
            "-n \(name) addr add \(address)/24 dev eth0",
            "-n \(name) link set eth0 up",
            "-n \(name) route add default via \(gateway)",
        ]
    }
}
