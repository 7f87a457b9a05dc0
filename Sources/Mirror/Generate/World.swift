// What rules and traffic have in common: the node's links, who lives behind them, and the ports, marks
// and users that are in use. Drawn from small pools on purpose: a rule about an address that no packet
// has proves nothing.

import Wire

/// The surroundings of a generated node.
struct World {
    struct Link {
        var name: String
        var mac: MACAddress
        var mtu: Int
        /// The node's own; the first is the primary one of 10.N.0.0/24.
        var addresses: [IPv4Address]
        /// Who lives on the link itself.
        var hosts: [Host]
        /// Who is reached through the link's first host, by the routes of the topology.
        var remotes: [IPv4Address]
    }

    struct Host: Hashable {
        var address: IPv4Address
        var mac: MACAddress
    }

    var links: [Link]
    /// Addresses that belong to nobody: rules translate them, or a route swallows them.
    var services: [IPv4Address]
    var serverPorts: [UInt16] = [80, 53, 443, 8080, 30080, 25]
    var clientPorts: [UInt16] = [40_000, 40_001, 1023, 61_000]
    var marks: [UInt32] = [0x1, 0x2, 0x4000, 0xff]
    var users: [UInt32] = [0, 33, 1000]
    var groups: [UInt32] = [0, 33, 1000]
    /// Whether rules may match at random and let NAT draw ports, which costs dry runs to foretell, and whether there
    /// are conversations in protocols of which only the addresses are tracked.
    var leavesMuchToChance = false
    let typesOfService: [UInt8] = [0, 0, 0, 0x10, 0x08, 0x2e << 2, 0x20]

    /// To be filled: without links there is nobody to talk to.
    init() {
        links = []
        services = []
    }

    init(_ random: inout SeededRandom) {
        let count = random.number(2...3)
        links = (0..<count).map { index in
            let network = UInt8(index + 1)
            var addresses = [IPv4Address(10, network, 0, 1)]
            if random.chance(30) { addresses.append(IPv4Address(10, network, 0, 100)) }
            let hosts = (2...random.number(3...4)).map { host in
                Host(
                    address: IPv4Address(10, network, 0, UInt8(host)),
                    mac: MACAddress(rawValue: 0x0200_0000_0000 | UInt64(index) << 8 | UInt64(host)))
            }
            return Link(
                name: "eth\(index)",
                mac: MACAddress(rawValue: 0x0600_0000_0000 | UInt64(index) << 8 | 1),
                mtu: random.weighted([(6, 1500), (1, 1400), (1, 1280), (1, 576)]),
                addresses: addresses, hosts: hosts, remotes: [])
        }
        links[count - 1].remotes = [
            IPv4Address(198, 51, 100, 7), IPv4Address(203, 0, 113, 5),
        ]
        if random.chance(50) { links[0].remotes = [IPv4Address(10, 64, 3, 9)] }
        services = [IPv4Address(10, 96, 0, 10), IPv4Address(10, 66, 0, 1)]
    }

    /// How much data a packet may carry that the node might have to send: its own sockets know the MTU of
    /// their routes, and a raw one refuses more.
    var smallData: Int { (links.map(\.mtu).min() ?? 576) - 120 }

    var ownAddresses: [IPv4Address] { links.flatMap(\.addresses) }

    /// Everybody but the node.
    var endpoints: [Endpoint] {
        links.indices.flatMap { link in
            let hosts = links[link].hosts
            return hosts.map { Endpoint(address: $0.address, place: .link(link, mac: $0.mac)) }
                + links[link].remotes.map {
                    Endpoint(address: $0, place: .link(link, mac: hosts[0].mac))
                }
        }
    }

    /// The address of anybody, as rules and destinations use it.
    func address(_ random: inout SeededRandom) -> IPv4Address {
        switch random.number(0...9) {
        case 0...5: random.pick(endpoints).address
        case 6, 7: random.pick(ownAddresses)
        case 8: random.pick(services)
        default: .loopback
        }
    }

    func port(_ random: inout SeededRandom) -> UInt16 {
        random.pick(random.chance(75) ? serverPorts : clientPorts)
    }

    /// Mostly a port of the conversation's own: where two meet behind one address, the kernel draws
    /// another at random.
    func clientPort(_ random: inout SeededRandom) -> UInt16 {
        random.chance(20) ? random.pick(clientPorts) : UInt16(random.number(39_990...60_999))
    }

    /// The name of a link, sometimes with the `+` that stands for any ending.
    func linkName(_ random: inout SeededRandom) -> String {
        if random.chance(15) { return random.chance(80) ? "eth+" : "lo" }
        return random.pick(links).name
    }

    /// Where the traffic of `address` would come from, for answers to packets that went nowhere.
    func endpoint(_ address: IPv4Address) -> Endpoint {
        if ownAddresses.contains(address) || address.isLoopback {
            return Endpoint(address: address, place: .node(mark: 0, user: 0))
        }
        if let known = endpoints.first(where: { $0.address == address }) { return known }
        let last = links.count - 1
        return Endpoint(address: address, place: .link(last, mac: links[last].hosts[0].mac))
    }
}

/// Somebody who sends.
struct Endpoint: Hashable {
    enum Place: Hashable {
        /// Behind the link of that number; the MAC address is the host's own or its gateway's.
        case link(Int, mac: MACAddress)
        case node(mark: UInt32, user: UInt32, group: UInt32 = 0)
    }
    var address: IPv4Address
    var place: Place
}
