// A topology as the kernel's tools take it.

import Scenario

extension PeerNamespace {
    /// What a namespace takes over from the machine it is made on (devinet.c copies the first namespace's
    /// values), at the kernel's own defaults; and what a comparison needs.
    private static let baseline: [(path: [String], value: String)] =
        ["all", "default", "lo"].flatMap { interface in
            [
                ("rp_filter", "0"), ("accept_local", "0"), ("route_localnet", "0"),
                ("send_redirects", "1"), ("log_martians", "0"),
                ("src_valid_mark", "0"), ("arp_notify", "0"),
            ].map { (["net", "ipv4", "conf", interface, $0.0], $0.1) }
        } + [
            // Both must allow it.
            (["net", "ipv4", "conf", "all", "accept_source_route"], "0"),
            (["net", "ipv4", "conf", "default", "accept_source_route"], "1"),
            (["net", "ipv6", "conf", "all", "disable_ipv6"], "1"),
            (["net", "ipv6", "conf", "default", "disable_ipv6"], "1"),
            (["net", "ipv4", "ip_forward"], "1"),
            (["net", "netfilter", "nf_conntrack_events"], "1"),
        ]

    func applyGlobalSettings(of topology: Topology) throws(KernelPathError) {
        for (path, value) in Self.baseline { try set(path, to: value) }
        for (name, value) in topology.settings.sorted(by: { $0.key < $1.key }) {
            try set(name.split(separator: ".").map(String.init), to: value)
        }
    }

    /// Makes the links and everything that belongs to them.
    func makeLinks(
        of topology: Topology
    ) throws(KernelPathError) -> [(link: String, tap: Descriptor)] {
        let taps = try inside { () throws(KernelPathError) in
            var taps: [(link: String, tap: Descriptor)] = []
            for link in topology.links { taps.append((link.name, try openTap(link.name))) }
            return taps
        }
        try runBatch(links(topology))
        for link in topology.links {
            // A neighbour that the topology does not name never answers, and is not given up either: when that
            // happens is a matter of the kernel's timers.
            try set(["net", "ipv4", "neigh", link.name, "retrans_time_ms"], to: "600000")
            for (name, value) in link.settings.sorted(by: { $0.key < $1.key }) {
                try set(["net", "ipv4", "conf", link.name, name], to: value)
            }
        }
        try runBatch(routes(topology))
        return taps
    }

    private func links(_ topology: Topology) -> [String] {
        var lines = ["link set dev lo up"]
        lines += topology.loopbackAddresses.map { "address add \($0) dev lo" }
        for link in topology.links {
            // A datagram of 64 KB may leave in more than a thousand pieces.
            lines.append(
                "link set dev \(link.name) address \(link.mac) mtu \(link.mtu) txqueuelen 4096 up")
            lines += link.addresses.map { "address add \($0) dev \(link.name)" }
        }
        return lines
    }

    private func routes(_ topology: Topology) -> [String] {
        topology.neighbours.map {
            "neighbour replace \($0.address) lladdr \($0.mac) dev \($0.link) nud permanent"
        } + topology.routes.map { "route add \($0)" }
            + topology.policyRules.map { "rule add \($0)" }
    }

    /// One run of `ip` for all lines; an error names the line it is about.
    private func runBatch(_ lines: [String]) throws(KernelPathError) {
        guard !lines.isEmpty else { return }
        do throws(KernelPathError) {
            try run("ip", ["-batch", "-"], input: lines.joined(separator: "\n") + "\n")
        } catch {
            let message = error.description
            let number = message.split(separator: "-:").last.flatMap {
                Int($0.prefix { $0.isNumber })
            }
            guard let number, lines.indices.contains(number - 1) else { throw error }
            throw KernelPathError("ip \(lines[number - 1]): \(message)")
        }
    }
}
