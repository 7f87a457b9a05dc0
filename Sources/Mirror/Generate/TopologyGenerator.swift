// The node of a generated case: links, routes, policy rules and settings around a `World`.

import Scenario
import Wire

struct TopologyGenerator {
    let world: World

    func topology(_ random: inout SeededRandom) -> Topology {
        Topology(
            links: world.links.map { link(of: $0, &random) }, routes: routes(&random),
            policyRules: policyRules(&random), neighbours: neighbours,
            settings: settings(&random))
    }

    private func link(of link: World.Link, _ random: inout SeededRandom) -> Topology.Link {
        var settings: [String: String] = [:]
        if random.chance(20) { settings["rp_filter"] = random.pick(["0", "1", "2"]) }
        if random.chance(10) { settings["route_localnet"] = "1" }
        if random.chance(10) { settings["accept_local"] = "1" }
        // The kernel measures out redirects by its own clock.
        settings["send_redirects"] = "0"
        if random.chance(4) { settings["forwarding"] = "0" }
        return Topology.Link(
            name: link.name, mac: link.mac, mtu: link.mtu,
            addresses: link.addresses.map { LinkAddress($0, prefixLength: 24) },
            settings: settings)
    }

    private var neighbours: [Topology.Neighbour] {
        world.links.flatMap { link in
            link.hosts.map {
                Topology.Neighbour(address: $0.address, mac: $0.mac, link: link.name)
            }
        }
    }

    private func routes(_ random: inout SeededRandom) -> [String] {
        var routes: [String] = []
        for link in world.links where !link.remotes.isEmpty {
            let gateway = link.hosts[0].address
            for remote in link.remotes {
                routes.append("\(IPv4Network(remote, prefixLength: 24).address)/24 via \(gateway)")
            }
        }
        let last = world.links[world.links.count - 1]
        if random.chance(60) { routes.append("default via \(last.hosts[0].address)") }
        if random.chance(60) {
            routes.append("\(random.pick(["blackhole", "unreachable", "prohibit"])) 10.66.0.0/16")
        }
        if random.chance(15) {
            // A service that a link would carry, so that translating it is not what makes it work.
            routes.append("10.96.0.0/16 via \(random.pick(last.hosts).address) dev \(last.name)")
        }
        if random.chance(10) {
            routes.append("198.51.100.7/32 via \(random.pick(last.hosts).address) mtu 1000")
        }
        return routes
    }

    /// In a third of the nodes; the tables they lead to hold another way out, or a refusal.
    private func policyRules(_ random: inout SeededRandom) -> [String] {
        guard random.chance(35) else { return [] }
        return (0..<random.number(1...3)).map { number in
            let selector = random.pick([
                "fwmark 0x\(hexadecimal(random.pick(world.marks)))",
                "from \(random.pick(world.endpoints).address)",
                "to \(random.pick(world.endpoints).address)",
                "iif \(random.pick(world.links).name)",
                "tos 0x10", "from \(random.pick(world.ownAddresses))",
            ])
            let action = random.weighted([(7, "lookup 100"), (1, "unreachable"), (1, "prohibit")])
            return "\(selector) \(action) pref \(1000 + number)"
        }
    }

    /// What the policy rules' table holds; drawn from the world alone, so that it is always there.
    var policyTable: [String] {
        let first = world.links[0]
        let last = world.links[world.links.count - 1]
        return [
            "198.51.100.0/24 via \(first.hosts[0].address) dev \(first.name) table 100",
            "10.96.0.0/16 via \(last.hosts[1].address) dev \(last.name) table 100",
            "throw 10.0.0.0/8 table 100",
        ]
    }

    private func settings(_ random: inout SeededRandom) -> [String: String] {
        // Nor are errors measured out: that, too, would depend on how fast an engine is.
        var settings = [
            "net.ipv4.conf.all.rp_filter": "0", "net.ipv4.conf.all.send_redirects": "0",
            "net.ipv4.icmp_ratemask": "0",
        ]
        if random.chance(10) { settings["net.ipv4.conf.all.rp_filter"] = random.pick(["1", "2"]) }
        if random.chance(4) { settings["net.ipv4.ip_forward"] = "0" }
        let choices: [(String, [String])] = [
            ("net.netfilter.nf_conntrack_tcp_loose", ["0", "1"]),
            ("net.netfilter.nf_conntrack_tcp_be_liberal", ["0", "1"]),
            ("net.netfilter.nf_conntrack_tcp_ignore_invalid_rst", ["0", "1"]),
            ("net.netfilter.nf_conntrack_tcp_max_retrans", ["1", "3", "6"]),
            ("net.netfilter.nf_conntrack_checksum", ["0", "1"]),
        ]
        for (name, values) in choices where random.chance(25) {
            settings[name] = random.pick(values)
        }
        return settings
    }
}

func hexadecimal(_ value: UInt32) -> String { String(value, radix: 16) }
