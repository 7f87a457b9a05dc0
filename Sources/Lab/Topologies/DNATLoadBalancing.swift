extension Topology {
    /// Three web servers behind a bridge, and a client outside that knows only the node's address.
    public static let dnatLoadBalancing = Topology(
        name: "dnat-load-balancing",
        summary: "client 192.0.2.10 -- eth0 192.0.2.1 node br0 10.0.0.254 -- blue, green, red",
        nodes: [
            Node(
                name: "node", interfaces: ["eth0", "br0"],
                rules: [
                    "-P FORWARD DROP",
                    "-A FORWARD -i br0 -j ACCEPT",
                    "-A FORWARD -o br0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
                    "-t nat -A POSTROUTING -s 10.0.0.0/24 -o eth0 -j MASQUERADE",
                ])
        ],
        surroundings: ["client", "ns-blue", "ns-green", "ns-red"],
        links: outsideClient + bridge + pod("blue", 1) + pod("green", 2) + pod("red", 3),
        settings: .router("node"),
        servers: [
            Server(namespace: "client", word: "outside"),
            Server(namespace: "ns-blue", word: "blue"),
            Server(namespace: "ns-green", word: "green"),
            Server(namespace: "ns-red", word: "red"),
        ])

    private static let bridge = [
        "link add br0 type bridge",
        "addr add 10.0.0.254/24 dev br0",
        "link set br0 up",
    ]

    private static func pod(_ colour: String, _ number: Int) -> [String] {
        let namespace = "ns-\(colour)"
        let link = "veth-\(colour)"
        return [
            "link add \(link)-br type veth peer name \(link) netns \(namespace)",
            "link set \(link)-br master br0",
            "link set \(link)-br up",
            "-n \(namespace) link set lo up",
            "-n \(namespace) addr add 10.0.0.\(number)/24 dev \(link)",
            "-n \(namespace) link set \(link) up",
            "-n \(namespace) route add default via 10.0.0.254",
        ]
    }
}
