// What rules say about the world around the node: the interfaces, the networks and which of them lie
// behind which interface, the node's own addresses, the ports, marks and owners. Read from the rules as
// they stand; whether they mean it is not asked.

import Ruleset
import Wire

struct RuleMentions {
    /// Names of interfaces, in their order; of `cali+`, where nothing longer is named, `cali0`.
    private(set) var links: [String] = []
    /// Beginnings of names, as `+` says them.
    private(set) var linkPrefixes: [String] = []
    /// The interface through which NAT hides others, if the rules name one.
    private(set) var uplink: String?
    private(set) var networks: Set<IPv4Network> = []
    /// How much speaks for a network behind a link.
    private(set) var placements: [IPv4Network: [String: Int]] = [:]
    /// Addresses that the rules take for the node's, and the interface that they name beside one.
    private(set) var own: Set<IPv4Address> = []
    private(set) var ownLinks: [IPv4Address: String] = [:]
    /// What nat rules translate away: nobody need have it.
    private(set) var services: Set<IPv4Address> = []
    /// What DNAT leads to.
    private(set) var servers: Set<IPv4Address> = []
    private(set) var destinationPorts: Set<UInt16> = []
    private(set) var sourcePorts: Set<UInt16> = []
    private(set) var marks: Set<UInt32> = []
    private(set) var users: Set<UInt32> = []
    private(set) var groups: Set<UInt32> = []

    init(_ ruleset: Ruleset, _ paths: RulePaths) {
        for table in ruleset.tables {
            for chain in table.chains {
                let hooks = paths.hooks(of: chain.name, in: table.name)
                for rule in chain.rules { read(rule, hooks, table.name) }
            }
        }
        for prefix in linkPrefixes where !links.contains(where: { $0.hasPrefix(prefix) }) {
            links.append(String(prefix.prefix(14)) + "0")
        }
        servers.subtract(own)
        services.subtract(own.union(servers))
    }

    private mutating func read(_ rule: Rule, _ hooks: Set<BuiltinChain>, _ table: TableName) {
        for interface in [rule.inInterface, rule.outInterface] { name(interface) }
        for test in [rule.source, rule.destination] where !test.isAny {
            networks.insert(test.network)
        }
        if !rule.target.refuses { place(rule) }
        readOwn(rule, hooks)
        readTarget(rule)
        for match in rule.matches { read(match) }
        let translates = hooks.isSubset(of: [.prerouting, .output]) && table == .nat
        if translates, let address = rule.destination.single { services.insert(address) }
    }

    private mutating func name(_ interface: InterfaceMatch?) {
        guard let interface, !interface.name.isEmpty, interface.name != "lo" else { return }
        if interface.wildcard {
            if !linkPrefixes.contains(interface.name) { linkPrefixes.append(interface.name) }
        } else if !links.contains(interface.name) {
            links.append(interface.name)
        }
    }

    /// `-i LINK -s NETWORK` and `-o LINK -d NETWORK` say where a network is; so does `-s NETWORK ! -o LINK`, which
    /// is how a network is hidden from all others, and its like for what comes in.
    private mutating func place(_ rule: Rule) {
        for (test, interface, isOther) in [
            (rule.source, rule.inInterface, false), (rule.destination, rule.outInterface, false),
            (rule.source, rule.outInterface, true), (rule.destination, rule.inInterface, true),
        ] {
            guard let interface, interface.inverted == isOther, !test.isAny, !test.inverted,
                interface.name != "lo", !interface.wildcard
            else { continue }
            placements[test.network, default: [:]][interface.name, default: 0] += 1
        }
    }

    private mutating func readOwn(_ rule: Rule, _ hooks: Set<BuiltinChain>) {
        let isLocal = rule.matches.contains {
            if case .addrtype(let match) = $0 {
                match.destination == Invertible(AddressTypes.local)
            } else {
                false
            }
        }
        if !hooks.isEmpty, hooks.isSubset(of: [.input]) || isLocal {
            claim(rule.destination, rule.inInterface)
        }
        if !hooks.isEmpty, hooks.isSubset(of: [.output]) { claim(rule.source, rule.outInterface) }
    }

    private mutating func claim(_ test: AddressMatch, _ interface: InterfaceMatch?) {
        guard let address = test.single else { return }
        claim(address, interface)
    }

    private mutating func claim(_ address: IPv4Address, _ interface: InterfaceMatch?) {
        guard address.isHost else { return }
        own.insert(address)
        if let interface, !interface.inverted, !interface.wildcard {
            ownLinks[address] = interface.name
        }
    }

    private mutating func readTarget(_ rule: Rule) {
        switch rule.target {
        case .dnat(let target):
            if let range = target.addresses { servers.formUnion([range.first, range.last]) }
            if let ports = target.ports { destinationPorts.insert(ports.first.rawValue) }
        case .snat(let target):
            noteUplink(rule)
            if let range = target.addresses { claim(range.first, rule.outInterface) }
        case .masquerade: noteUplink(rule)
        case .redirect(let mapping):
            if let ports = mapping.ports { destinationPorts.insert(ports.first.rawValue) }
        case .mark(let mark): marks.insert(mark.value)
        default: break
        }
    }

    private mutating func noteUplink(_ rule: Rule) {
        guard let interface = rule.outInterface, !interface.inverted, !interface.wildcard,
            interface.name != "lo"
        else { return }
        uplink = interface.name
    }

    private mutating func read(_ match: Match) {
        switch match {
        case .tcp(let tcp): note(tcp.sourcePorts, tcp.destinationPorts)
        case .udp(let udp): note(udp.sourcePorts, udp.destinationPorts)
        case .multiport(let multiport):
            let ports = multiport.ports.map(\.first.rawValue)
            if multiport.side == .source {
                sourcePorts.formUnion(ports)
            } else {
                destinationPorts.formUnion(ports)
            }
        case .mark(let mark): marks.insert(mark.value.value)
        case .conntrack(let conntrack):
            for test in [conntrack.originalSource, conntrack.originalDestination] {
                if let test, !test.isAny { networks.insert(test.network) }
            }
        case .stateless(.iprange(let match)):
            for range in [match.source, match.destination] {
                if let first = range?.value.first {
                    networks.insert(IPv4Network(first, mask: .max))
                }
            }
        case .stateless(.owner(let owner)):
            if let range = owner.users?.value { users.insert(range.first) }
            if let range = owner.groups?.value { groups.insert(range.first) }
        default: break
        }
    }

    private mutating func note(
        _ source: Invertible<PortRange>?, _ destination: Invertible<PortRange>?
    ) {
        if let source { sourcePorts.insert(source.value.first.rawValue) }
        if let destination { destinationPorts.insert(destination.value.first.rawValue) }
    }
}

extension AddressMatch {
    /// The one address that it names.
    var single: IPv4Address? { !inverted && network.mask == .max ? network.address : nil }
}

extension IPv4Address {
    /// Neither of this host alone, nor of many, nor of nobody.
    var isHost: Bool { !isLoopback && rawValue >> 24 != 0 && rawValue >> 28 < 14 }

    /// Of a private network (RFC 1918), a provider's (RFC 6598) or a link's own (RFC 3927).
    var isPrivate: Bool {
        [
            IPv4Network(IPv4Address(10, 0, 0, 0), prefixLength: 8),
            IPv4Network(IPv4Address(172, 16, 0, 0), prefixLength: 12),
            IPv4Network(IPv4Address(192, 168, 0, 0), prefixLength: 16),
            IPv4Network(IPv4Address(100, 64, 0, 0), prefixLength: 10),
            IPv4Network(IPv4Address(169, 254, 0, 0), prefixLength: 16),
        ].contains { $0.contains(self) }
    }

    func advanced(by distance: UInt32) -> IPv4Address {
        IPv4Address(rawValue: rawValue &+ distance)
    }
}
