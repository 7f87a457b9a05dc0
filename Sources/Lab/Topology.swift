// The labs there are, as plain data: namespaces, links, addresses, and what runs in them.
// Everything is a command a person could type in the node; nothing here runs anything.

/// One lab: a node between an outside network and the servers behind its bridge.
public struct Topology: Sendable {
    public var name: String
    public var summary: String
    public var namespaces: [String]
    /// `ip` commands, typed in the node's namespace.
    public var links: [String]
    /// Files below /proc/sys and what is written there, in the node's namespace; those whose file
    /// is missing say something about a module that is not loaded and are passed over. They are set
    /// before there are links.
    public var settings: [(file: String, value: String)]
    public var servers: [(namespace: String, word: String)]
    public var adoptedInterfaces: [String]
    /// iptables commands for what the node has before the document begins.
    public var rules: [String]

    public static let all = [dnatLoadBalancing]

    public static func named(_ name: String) throws(LabError) -> Topology {
        guard let found = all.first(where: { $0.name == name }) else {
            let known = all.map(\.name).joined(separator: ", ")
            throw LabError("there is no lab \(name); expected one of: \(known)")
        }
        return found
    }
}

extension Topology {
    /// Three web servers behind a bridge, and a client outside (192.0.2.0/24, RFC 5737) that knows
    /// only the node's address.
    public static let dnatLoadBalancing = Topology(
        name: "dnat-load-balancing",
        summary: "client 192.0.2.10 -- eth0 192.0.2.1 node br0 10.0.0.254 -- blue, green, red",
        namespaces: ["client", "node", "ns-blue", "ns-green", "ns-red"],
        links: outside + bridge + pod("blue", 1) + pod("green", 2) + pod("red", 3),
        settings: [
            ("net/ipv4/ip_forward", "1"),
            // A tap on the bridge sees what netfilter sees with 0, so both twins run with 0.
            ("net/bridge/bridge-nf-call-iptables", "0"),
            // The document is about IPv4; without IPv6 links are ready at once and stay silent.
            ("net/ipv6/conf/default/disable_ipv6", "1"),
            ("net/ipv6/conf/all/disable_ipv6", "1"),
        ],
        servers: [
            ("client", "outside"), ("ns-blue", "blue"), ("ns-green", "green"), ("ns-red", "red"),
        ],
        adoptedInterfaces: ["eth0", "br0"],
        rules: [
            "-P FORWARD DROP",
            "-A FORWARD -i br0 -j ACCEPT",
            "-A FORWARD -o br0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
            "-t nat -A POSTROUTING -s 10.0.0.0/24 -o eth0 -j MASQUERADE",
        ])

    private static let outside = [
        "link set lo up",
        "link add eth0 type veth peer name eth0 netns client",
        "addr add 192.0.2.1/24 dev eth0",
        "link set eth0 up",
        "-n client link set lo up",
        "-n client addr add 192.0.2.10/24 dev eth0",
        "-n client link set eth0 up",
    ]

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
