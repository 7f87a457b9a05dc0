// A node and its neighbourhood for rules that came without any: every interface that they name is a link,
// every network that they name is on one or reachable through one, the addresses that they take for the
// node's own are its own. What the rules leave open is drawn.

import Ruleset
import Scenario
import Wire

struct RuleSurroundings {
    let world: World
    let topology: Topology
    /// Which link a network lies behind, the most specific first.
    private let placed: [(network: IPv4Network, link: Int)]

    init(_ mentions: RuleMentions, _ random: inout SeededRandom) {
        var builder = SurroundingsBuilder(mentions)
        builder.placeNetworks(&random)
        world = builder.world
        topology = builder.topology(&random)
        placed = builder.placed.sorted { $0.network.mask > $1.network.mask }
    }

    /// The link that leads to an address: the last one, which has the default route, for all others.
    func link(to address: IPv4Address) -> Int {
        placed.first { $0.network.contains(address) }?.link ?? world.links.count - 1
    }

    func isOwn(_ address: IPv4Address) -> Bool {
        address.isLoopback || world.ownAddresses.contains(address)
    }

    /// Whether a packet may be sent to it: the mirror compares unicast alone.
    func isUnicast(_ address: IPv4Address) -> Bool {
        if address.isLoopback { return address.rawValue & 0xFF_FFFF != 0xFF_FFFF }
        guard address.isHost else { return false }
        return !topology.links.contains { link in
            link.addresses.contains {
                let network = IPv4Network($0.address, prefixLength: $0.prefixLength)
                let last = network.address.advanced(by: ~network.mask)
                return $0.prefixLength < 31 && (address == network.address || address == last)
            }
        }
    }
}

/// Decides on links one by one, then on networks from the widest on.
private struct SurroundingsBuilder {
    let mentions: RuleMentions
    private(set) var world: World
    private(set) var placed: [(network: IPv4Network, link: Int)] = []
    private var prefixLengths: [Int] = []
    private var routes: [String] = []

    init(_ mentions: RuleMentions) {
        self.mentions = mentions
        world = World()
        var names = mentions.links
        // One link that no rule names, and never less than two.
        let unused = (0...names.count + 1).map { "eth\($0)" }.filter { !names.contains($0) }
        names += unused.prefix(max(1, 2 - names.count))
        if let uplink = mentions.uplink, let index = names.firstIndex(of: uplink) {
            names.append(names.remove(at: index))
        }
        for (index, name) in names.enumerated() { addLink(name, index) }
        placeOwnAddresses()
        takeValues()
    }

    // MARK: Links

    private mutating func addLink(_ name: String, _ index: Int) {
        let network = directNetwork(of: name) ?? Self.transit(index)
        let mentioned =
            mentions.networks.compactMap { $0.mask == .max ? $0.address : nil }
            + mentions.servers + mentions.own
        let inside = Set(mentioned.filter { network.contains($0) && $0.isHost })
        let own = inside.filter { mentions.own.contains($0) }.sorted()
        let free = ([1, 254, 100] + Array(2...62)).map { network.address.advanced(by: $0) }.filter {
            network.contains($0) && !inside.contains($0) && !isLast($0, of: network)
                && !mentions.own.contains($0)
        }
        let addresses = own.isEmpty ? [free.first ?? network.address.advanced(by: 1)] : own
        // The first is the gateway to what lies behind; it is nobody whom the rules know, if that is possible.
        let neighbours =
            Array(free.filter { !addresses.contains($0) }.prefix(2))
            + inside.subtracting(addresses).sorted().filter { !isLast($0, of: network) }
        let hosts = neighbours.enumerated().map { number, address in
            World.Host(
                address: address,
                mac: MACAddress(
                    rawValue: 0x0200_0000_0000 | UInt64(index) << 16 | UInt64(number + 2)))
        }
        world.links.append(
            World.Link(
                name: name, mac: MACAddress(rawValue: 0x0600_0000_0000 | UInt64(index) << 16 | 1),
                mtu: 1500, addresses: addresses, hosts: hosts, remotes: []))
        prefixLengths.append(network.prefixLength ?? 24)
        placed.append((network, index))
    }

    private func isLast(_ address: IPv4Address, of network: IPv4Network) -> Bool {
        address.rawValue == network.address.rawValue | ~network.mask
            || address == network.address
    }

    /// The network that the rules place on the link most often, if none like it is on another.
    private func directNetwork(of name: String) -> IPv4Network? {
        let candidates = mentions.placements.filter { network, votes in
            guard let length = network.prefixLength, (8...26).contains(length),
                network.address.isHost, votes[name] ?? 0 > 0
            else { return false }
            return !placed.contains {
                $0.network.contains(network.address) || network.contains($0.network.address)
            }
        }
        return candidates.max {
            ($0.value[name] ?? 0, $0.key.mask, $1.key.address)
                < ($1.value[name] ?? 0, $1.key.mask, $0.key.address)
        }?.key
    }

    /// Of the networks for tests of devices (RFC 2544), which real rules hardly name.
    private static func transit(_ index: Int) -> IPv4Network {
        IPv4Network(
            IPv4Address(198, 18 + UInt8(index >> 8 & 1), UInt8(index & 255), 0), prefixLength: 24)
    }

    /// The node's own that lie in no link's network are on the link named beside them, else on the last.
    private mutating func placeOwnAddresses() {
        for address in mentions.own.sorted() where !world.ownAddresses.contains(address) {
            let name = mentions.ownLinks[address]
            let index = world.links.firstIndex { $0.name == name } ?? world.links.count - 1
            world.links[index].addresses.append(address)
        }
        for index in world.links.indices {
            let own = world.ownAddresses
            world.links[index].hosts.removeAll { own.contains($0.address) }
        }
    }

    private mutating func takeValues() {
        world.services = mentions.services.filter(\.isHost).sorted()
        if world.services.isEmpty { world.services = [IPv4Address(198, 19, 255, 1)] }
        world.serverPorts = mentions.destinationPorts.sorted() + [80, 53]
        world.clientPorts = mentions.sourcePorts.sorted() + [40_000, 1023]
        world.marks = mentions.marks.subtracting([0]).sorted() + [0x1]
        world.users = mentions.users.sorted() + [0, 1000]
        world.groups = mentions.groups.sorted() + [0, 1000]
    }

    // MARK: What lies behind them

    mutating func placeNetworks(_ random: inout SeededRandom) {
        let servers = mentions.servers.map { IPv4Network($0, mask: .max) }
        let networks = mentions.networks.union(servers)
            .filter { $0.prefixLength ?? 0 > 0 && $0.address.isHost }
            .sorted { ($0.mask, $0.address) < ($1.mask, $1.address) }
        for network in networks { place(network, &random) }
    }

    private mutating func place(_ network: IPv4Network, _ random: inout SeededRandom) {
        let isAddress = network.mask == .max
        if isAddress {
            let address = network.address
            guard !world.ownAddresses.contains(address),
                !world.endpoints.contains(where: { $0.address == address })
            else { return }
            if mentions.services.contains(address), random.chance(60) { return }
        }
        let vote = mentions.placements[network]?
            .max { ($0.value, $1.key) < ($1.value, $0.key) }?.key
        let around = placed.filter { $0.network.contains(network.address) }
            .max { $0.network.mask < $1.network.mask }
        let voted = world.links.firstIndex { $0.name == vote }
        let last = world.links.count - 1
        let link =
            voted ?? around?.link ?? (network.address.isPrivate ? random.number(0...last) : last)
        guard !world.links[link].hosts.isEmpty else { return }
        let isOnLink =
            around.map { $0.network == placed[$0.link].network && $0.link == link } ?? false
        if !isOnLink || isAddress { route(network, link, around) }
        let inhabitant = isAddress ? network.address : network.address.advanced(by: 9)
        if network.contains(inhabitant), !isOnLink { world.links[link].remotes.append(inhabitant) }
    }

    private mutating func route(
        _ network: IPv4Network, _ link: Int, _ around: (network: IPv4Network, link: Int)?
    ) {
        guard around?.network != network, around?.link != link, let length = network.prefixLength
        else { return }
        placed.append((network, link))
        routes.append(
            "\(network.address)/\(length) via \(world.links[link].hosts[0].address) dev "
                + world.links[link].name)
    }

    // MARK: As a topology

    func topology(_ random: inout SeededRandom) -> Topology {
        var settings = ["send_redirects": "0"]
        if random.chance(40) { settings["route_localnet"] = "1" }
        let links = world.links.enumerated().map { index, link in
            let network = placed[index].network
            return Topology.Link(
                name: link.name, mac: link.mac, mtu: link.mtu,
                addresses: link.addresses.map {
                    LinkAddress(
                        $0, prefixLength: network.contains($0) ? prefixLengths[index] : 32)
                }, settings: settings)
        }
        let neighbours = world.links.flatMap { link in
            link.hosts.map {
                Topology.Neighbour(address: $0.address, mac: $0.mac, link: link.name)
            }
        }
        var all = routes
        if let gateway = world.links.last?.hosts.first {
            all.append("default via \(gateway.address)")
        }
        return Topology(
            links: links, routes: all, neighbours: neighbours,
            settings: ["net.ipv4.conf.all.rp_filter": "0", "net.ipv4.icmp_ratemask": "0"])
    }
}
