// What several labs are made of.

extension Topology {
    /// The client outside: 192.0.2.10 before a node's eth0, 192.0.2.1 (192.0.2.0/24, RFC 5737).
    static let outsideClient = [
        "link set lo up",
        "link add eth0 type veth peer name eth0 netns client",
        "addr add 192.0.2.1/24 dev eth0",
        "link set eth0 up",
        "-n client link set lo up",
        "-n client addr add 192.0.2.10/24 dev eth0",
        "-n client link set eth0 up",
    ]
}

extension [Topology.Setting] {
    /// What a router has in a lab.
    static func router(_ namespace: String) -> Self {
        let values = [
            ("net/ipv4/ip_forward", "1"),
            // A tap on a bridge sees what netfilter sees with 0, so both twins run with 0.
            ("net/bridge/bridge-nf-call-iptables", "0"),
            // New namespaces inherit the machine's, which is not the documents' concern.
            ("net/ipv4/conf/all/rp_filter", "0"),
            ("net/ipv4/conf/default/rp_filter", "0"),
            // The documents are about IPv4; without IPv6 links are ready at once and stay silent.
            ("net/ipv6/conf/default/disable_ipv6", "1"),
            ("net/ipv6/conf/all/disable_ipv6", "1"),
        ]
        return values.map { Topology.Setting(namespace: namespace, file: $0.0, value: $0.1) }
    }
}
