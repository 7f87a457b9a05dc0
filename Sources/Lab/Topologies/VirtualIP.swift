extension Topology {
    /// Two namespaces on one bridge, for a service address that no interface has.
    public static let virtualIP = Topology(
        name: "virtual-ip",
        summary: "gateway 192.168.0.1 -- enp4s0 192.168.0.100 node bridge_home 10.0.0.1 -- "
            + "netns_dustin, netns_leah",
        nodes: [Node(name: "node", interfaces: ["enp4s0", "bridge_home"])],
        surroundings: ["gateway", "netns_dustin", "netns_leah"],
        links: home + pod("dustin", "10.0.0.11") + pod("leah", "10.0.0.21") + [
            "link set bridge_home up",
            "netns exec netns_dustin ip route add default via 10.0.0.1",
            "netns exec netns_leah ip route add default via 10.0.0.1",
        ],
        settings: .router("node") + .router("gateway"),
        servers: [
            Server(namespace: "netns_dustin", word: "dustin", port: 8080),
            Server(namespace: "netns_leah", word: "leah", port: 8080),
        ])

    private static let home = [
        "link set lo up",
        "link add enp4s0 type veth peer name eth0 netns gateway",
        "addr add 192.168.0.100/24 dev enp4s0",
        "link set enp4s0 up",
        "-n gateway link set lo up",
        "-n gateway addr add 192.168.0.1/24 dev eth0",
        "-n gateway link set eth0 up",
        "route add default via 192.168.0.1",
        "link add dev bridge_home type bridge",
        "address add 10.0.0.1/24 dev bridge_home",
    ]

    private static func pod(_ name: String, _ address: String) -> [String] {
        let namespace = "netns_\(name)"
        return [
            "netns exec \(namespace) ip link set dev lo up",
            "link add dev veth_\(name) type veth peer name veth_ns_\(name)",
            "link set dev veth_\(name) master bridge_home",
            "link set dev veth_\(name) up",
            "link set dev veth_ns_\(name) netns \(namespace)",
            "netns exec \(namespace) ip link set dev veth_ns_\(name) up",
            "netns exec \(namespace) ip address add \(address)/24 dev veth_ns_\(name)",
        ]
    }
}
