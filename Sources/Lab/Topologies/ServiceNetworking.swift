extension Topology {
    /// Two nodes with their pods, each with a Sluice of its own, on the network of a host that leads on to
    /// the Internet, which is one server.
    public static let serviceNetworking = Topology(
        name: "service-networking",
        summary: "internet 8.8.8.8 -- host 10.30.45.1 -- node1 10.30.45.100 (pod1a, pod1b), "
            + "node2 10.30.45.200 (pod2)",
        nodes: [
            Node(name: "node1", interfaces: ["ens3", "br0"]),
            Node(name: "node2", interfaces: ["ens3", "host-veth-pod2"]),
        ],
        surroundings: ["host", "internet", "pod1a", "pod1b", "pod2"],
        links: outerNetwork + node("node1", "10.30.45.100") + node("node2", "10.30.45.200")
            + bridge + podOnBridge("pod1a", "192.168.1.10") + podOnBridge("pod1b", "192.168.1.20")
            + podOnNode2,
        settings: .router("node1") + .router("node2") + .router("host") + .router("internet"),
        servers: [
            server("pod1a", "192.168.1.10"), server("pod1b", "192.168.1.20"),
            server("pod2", "192.168.2.20"), Server(namespace: "internet", word: "the Internet"),
        ],
        variables: [
            "POD1A_NAME": "pod1a", "POD1B_NAME": "pod1b", "POD2_NAME": "pod2",
            "POD1A_IP": "192.168.1.10", "POD1B_IP": "192.168.1.20", "POD2_IP": "192.168.2.20",
            "POD1_SUBNET": "192.168.1.0/24", "POD2_SUBNET": "192.168.2.0/24",
            "BRIDGE_NAME": "br0", "POD_PORT": "80", "VIP": "10.96.1.100", "VIP_PORT": "8080",
            "NODE_PORT": "30080", "NODE1_IP": "10.30.45.100", "NODE2_IP": "10.30.45.200",
            "NODE_IFACE": "ens3",
        ])

    private static func server(_ pod: String, _ address: String) -> Server {
        Server(namespace: pod, word: "HTTP Server IP address: \(address)", showsPath: true)
    }

    /// The host knows the nodes, not their pods: what is for those is lost, as it is with any router
    /// that was told nothing of them.
    private static let outerNetwork = [
        "-n host link set lo up",
        "-n host link add mpqemubr0 type bridge",
        "-n host addr add 10.30.45.1/24 dev mpqemubr0",
        "-n host link set mpqemubr0 up",
        "-n host route add blackhole 192.168.0.0/16",
        "-n internet link set lo up",
        "-n internet addr add 8.8.8.8/32 dev lo",
        "-n host link add uplink type veth peer name eth0 netns internet",
        "-n host addr add 203.0.113.1/24 dev uplink",
        "-n host link set uplink up",
        "-n internet addr add 203.0.113.2/24 dev eth0",
        "-n internet link set eth0 up",
        "-n internet route add 10.30.45.0/24 via 203.0.113.1",
        "-n host route add default via 203.0.113.2",
    ]

    private static func node(_ name: String, _ address: String) -> [String] {
        [
            "-n \(name) link set lo up",
            "-n \(name) link add ens3 type veth peer name tap-\(name) netns host",
            "-n host link set tap-\(name) master mpqemubr0",
            "-n host link set tap-\(name) up",
            "-n \(name) addr add \(address)/24 dev ens3",
            "-n \(name) link set ens3 up",
            "-n \(name) route add default via 10.30.45.1",
        ]
    }

    private static let bridge = [
        "link add br0 type bridge",
        "addr add 192.168.1.1/24 dev br0",
        "link set br0 up",
    ]

    private static func podOnBridge(_ name: String, _ address: String) -> [String] {
        [
            "link add host-veth-\(name) type veth peer name veth-\(name) netns \(name)",
            "link set host-veth-\(name) master br0",
            "link set host-veth-\(name) up",
        ] + pod(name, "\(address)/24", gateway: "192.168.1.1")
    }

    private static let podOnNode2 =
        [
            "-n node2 link add host-veth-pod2 type veth peer name veth-pod2 netns pod2",
            "-n node2 addr add 192.168.2.1/24 dev host-veth-pod2",
            "-n node2 link set host-veth-pod2 up",
        ] + pod("pod2", "192.168.2.20/24", gateway: "192.168.2.1")

    private static func pod(_ name: String, _ address: String, gateway: String) -> [String] {
        [
            "-n \(name) link set lo up",
            "-n \(name) addr add \(address) dev veth-\(name)",
            "-n \(name) link set veth-\(name) up",
            "-n \(name) route add default via \(gateway)",
        ]
    }
}
