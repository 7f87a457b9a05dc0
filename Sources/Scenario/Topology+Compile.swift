// A topology as the data plane's own data: what the kernel would make of the same commands, or a sentence
// about what it would refuse.

import Dataplane
import Routing
import Wire

/// A node as the data plane takes it.
struct CompiledTopology {
    var routes: RoutingSnapshot
    var neighbours: [NeighbourUpdate]
    var settings: NodeSettings

    static let loopback = InterfaceIndex(rawValue: 1)
}

extension Topology {
    /// - Throws: with the path of the field, and the place within its text.
    func compiled() throws(CaseError) -> CompiledTopology {
        var internet = InternetSettings()
        let settings = try nodeSettings(&internet)
        let interfaces = try compiledInterfaces(internet)
        let addresses = compiledAddresses(interfaces)
        let indices = Dictionary(uniqueKeysWithValues: interfaces.map { ("\($0.name)", $0.index) })
        var builder = RouteBuilder(
            interfaces: interfaces, addresses: addresses, forwards: internet.forwards)
        for (position, text) in routes.enumerated() {
            let field = "topology.routes[\(position + 1)]"
            do {
                let route = try RouteText.parse(text, links: indices)
                try builder.add(route)
            } catch {
                throw CaseError(line: 1, column: error.column, field: field, error.message)
            }
        }
        return CompiledTopology(
            routes: builder.snapshot(rules: try compiledRules()),
            neighbours: try compiledNeighbours(indices), settings: settings)
    }

    // MARK: Settings

    private func nodeSettings(_ internet: inout InternetSettings) throws(CaseError) -> NodeSettings
    {
        // Room for what the kernel takes by default on a small machine; the limit itself is a setting.
        var node = NodeSettings(capacity: 65_536)
        // In the order of names, but what sets every interface comes before a single one's.
        let broad = ["net.ipv4.ip_forward", "net.ipv4.conf.all.forwarding"]
        let names = settings.keys.sorted { (a, b) in
            (broad.contains(a) ? 0 : 1, a) < (broad.contains(b) ? 0 : 1, b)
        }
        for name in names {
            let text = settings[name] ?? ""
            do {
                if InternetSettings.isConcerned(with: name) {
                    try internet.set(name, to: text)
                } else {
                    try Self.set(name, to: text, of: &node)
                }
            } catch {
                throw CaseError(field: "topology.settings.\(name)", error.message)
            }
        }
        return node
    }

    private static func set(
        _ name: String, to text: String, of node: inout NodeSettings
    ) throws(SettingFault) {
        guard let setting = NodeSettings.named(name) else {
            throw SettingFault(
                "Sluice has no such setting; it has those of net.ipv4.conf, net.ipv4.ip_forward and "
                    + NodeSettings.named.map(\.name).joined(separator: ", "))
        }
        do { try setting.write(text, to: &node) } catch {
            throw SettingFault("\(error), found '\(text)'")
        }
    }

    // MARK: Interfaces and addresses

    private func compiledInterfaces(
        _ internet: InternetSettings
    ) throws(CaseError) -> [Interface] {
        var interfaces = [
            Interface(
                index: CompiledTopology.loopback, name: InterfaceName("lo") ?? InterfaceName(),
                mac: MACAddress(rawValue: 0), mtu: 65_536,
                flags: [.up, .loopback, .running, .lowerUp], settings: internet.loopbackSettings)
        ]
        for (position, link) in links.enumerated() {
            let field = "topology.links.\(link.name)"
            guard let name = InterfaceName(link.name), link.name != "lo",
                !link.name.contains(where: { $0 == "/" || $0.isWhitespace })
            else {
                throw CaseError(
                    field: field, "expected a name of 1 to 15 bytes without spaces other than lo")
            }
            guard !interfaces.contains(where: { $0.name == name }) else {
                throw CaseError(field: field, "there is another link of this name")
            }
            guard (68...65_535).contains(link.mtu) else {
                throw CaseError(
                    field: "\(field).mtu", "expected a number from 68 to 65535, found \(link.mtu)")
            }
            guard !link.mac.isGroup, link.mac.rawValue != 0 else {
                throw CaseError(
                    field: "\(field).mac", "expected the MAC address of one host, found \(link.mac)"
                )
            }
            interfaces.append(
                Interface(
                    index: InterfaceIndex(rawValue: UInt32(position + 2)), name: name,
                    mac: link.mac, mtu: link.mtu,
                    settings: internet.settings(own: try ownSettings(link, field))))
        }
        return interfaces
    }

    private func ownSettings(
        _ link: Link, _ field: String
    ) throws(CaseError) -> InternetSettings.Values {
        var own: InternetSettings.Values = [:]
        for name in link.settings.keys.sorted() {
            do {
                own[name] = try InternetSettings.value(link.settings[name] ?? "", for: name)
            } catch {
                throw CaseError(field: "\(field).settings.\(name)", error.message)
            }
        }
        return own
    }

    private func compiledAddresses(_ interfaces: [Interface]) -> [InterfaceAddress] {
        let own = LinkAddress(.loopback, prefixLength: 8)
        return [[own], loopbackAddresses].flattened(on: CompiledTopology.loopback)
            + zip(interfaces.dropFirst(), links).flatMap { interface, link in
                [link.addresses].flattened(on: interface.index)
            }
    }

    // MARK: Rules and neighbours

    /// Without a priority a rule goes before the second one there is (fib_default_rule_pref), and among
    /// equals it is the last.
    private func compiledRules() throws(CaseError) -> [PolicyRule] {
        var rules = PolicyRule.defaults
        for (position, text) in policyRules.enumerated() {
            do {
                var (rule, priority) = try PolicyRuleText.parse(text)
                rule.priority = priority ?? (rules.count > 1 ? max(rules[1].priority, 1) - 1 : 0)
                let place = rules.firstIndex { $0.priority > rule.priority } ?? rules.count
                rules.insert(rule, at: place)
            } catch {
                throw CaseError(
                    line: 1, column: error.column, field: "topology.policyRules[\(position + 1)]",
                    error.message)
            }
        }
        return rules
    }

    private func compiledNeighbours(
        _ links: [String: InterfaceIndex]
    ) throws(CaseError) -> [NeighbourUpdate] {
        var updates: [NeighbourUpdate] = []
        for (position, neighbour) in neighbours.enumerated() {
            guard let link = links[neighbour.link], link != CompiledTopology.loopback else {
                let names = self.links.map(\.name).joined(separator: ", ")
                throw CaseError(
                    field: "topology.neighbours[\(position + 1)].link",
                    "expected one of the links \(names), found '\(neighbour.link)'")
            }
            updates.append(
                NeighbourUpdate(
                    interface: link, address: neighbour.address, mac: neighbour.mac,
                    state: .permanent))
        }
        return updates
    }
}

extension [[LinkAddress]] {
    /// In the kernel's order (devinet.c, __inet_insert_ifa): a primary behind the primaries that reach as
    /// far or less far, a further address of a subnet at the end as its secondary.
    fileprivate func flattened(on interface: InterfaceIndex) -> [InterfaceAddress] {
        var ordered: [InterfaceAddress] = []
        for address in joined() {
            var new = InterfaceAddress(
                interface: interface, local: address.address, prefixLength: address.prefixLength,
                scope: address.address.isLoopback ? .host : .universe)
            new.isSecondary = ordered.contains {
                !$0.isSecondary && $0.subnet == new.subnet
            }
            if new.isSecondary {
                ordered.append(new)
            } else {
                let before = ordered.lastIndex { !$0.isSecondary && new.scope <= $0.scope }
                ordered.insert(new, at: before.map { $0 + 1 } ?? 0)
            }
        }
        return ordered
    }
}
