// The rules of all Services together, kept by Service, so that a change of one writes that one's anew.

import Ruleset
import Wire

/// A chain of a table, by name.
public struct ChainKey: Hashable, Sendable, Comparable {
    public var table: TableName
    public var chain: String

    public init(_ table: TableName, _ chain: String) {
        self.table = table
        self.chain = chain
    }

    public static func < (a: Self, b: Self) -> Bool {
        (a.table.rawValue, a.chain) < (b.table.rawValue, b.chain)
    }
}

public struct ServiceRules: Sendable {
    public private(set) var configuration: ProxyConfiguration
    private var pieces: [ObjectName: [PortRules]] = [:]
    /// The Services that have rules, in order.
    private var order: [ObjectName] = []
    private var shared: [ChainKey: [Rule]] = [:]
    private var endpointCounts: [ObjectName: Int] = [:]
    private var endpointCount = 0

    private var bearsComments: Bool {
        endpointCount <= ProxyConfiguration.largeClusterThreshold
    }

    /// The rules of `objects` for a node.
    public init(_ objects: ServiceObjects, _ configuration: ProxyConfiguration) {
        self.configuration = configuration
        order = objects.services.keys.sorted()
        for name in order { count(name, objects) }
        for name in order { write(name, objects) }
        shared = sharedChains
    }

    /// Every chain with its rules.
    public var chains: [ChainKey: [Rule]] {
        var chains = shared
        for name in order {
            for piece in pieces[name] ?? [] {
                for chain in piece.chains { chains[ChainKey(.nat, chain.name)] = chain.rules }
            }
        }
        return chains
    }

    /// Writes the rules of some Services anew.
    ///
    /// - Returns: the chains that are others now with their rules, `nil` for those that are gone.
    public mutating func update(
        _ names: Set<ObjectName>, _ objects: ServiceObjects
    ) -> [ChainKey: [Rule]?] {
        let boreComments = bearsComments
        for name in names { count(name, objects) }
        guard bearsComments == boreComments else {
            let before = chains
            self = ServiceRules(objects, configuration)
            return Self.difference(before, chains)
        }
        var before: [ChainKey: [Rule]] = [:]
        var after: [ChainKey: [Rule]] = [:]
        var isSharedTouched = false
        for name in names {
            let old = pieces[name] ?? []
            place(name, objects)
            write(name, objects)
            let new = pieces[name] ?? []
            for chain in old.flatMap(\.chains) { before[ChainKey(.nat, chain.name)] = chain.rules }
            for chain in new.flatMap(\.chains) { after[ChainKey(.nat, chain.name)] = chain.rules }
            isSharedTouched = isSharedTouched || old.map(\.shared) != new.map(\.shared)
        }
        if isSharedTouched {
            before.merge(shared) { first, _ in first }
            shared = sharedChains
            after.merge(shared) { first, _ in first }
        }
        return Self.difference(before, after)
    }

    private static func difference(
        _ before: [ChainKey: [Rule]], _ after: [ChainKey: [Rule]]
    ) -> [ChainKey: [Rule]?] {
        var changes: [ChainKey: [Rule]?] = [:]
        for (key, rules) in after where before[key] != rules { changes[key] = .some(rules) }
        for key in before.keys where after[key] == nil { changes[key] = .some(nil) }
        return changes
    }

    // MARK: By Service

    private mutating func count(_ name: ObjectName, _ objects: ServiceObjects) {
        var number = 0
        if let service = objects.services[name], service.clusterIP != nil {
            for port in service.ports {
                number +=
                    objects.endpoints(of: service, port, nodeName: configuration.nodeName).count
            }
        }
        endpointCount += number - (endpointCounts[name] ?? 0)
        endpointCounts[name] = number == 0 ? nil : number
    }

    private mutating func write(_ name: ObjectName, _ objects: ServiceObjects) {
        guard let service = objects.services[name], service.clusterIP != nil else {
            pieces[name] = nil
            return
        }
        pieces[name] = service.ports.sorted { $0.name < $1.name }.map { port in
            PortRules(
                service, port,
                objects.endpoints(of: service, port, nodeName: configuration.nodeName),
                configuration, bearsComments: bearsComments)
        }
    }

    /// Gives a Service its place in the order, or takes it.
    private mutating func place(_ name: ObjectName, _ objects: ServiceObjects) {
        var (low, high) = (0, order.count)
        while low < high {
            let middle = (low + high) / 2
            if order[middle] < name { low = middle + 1 } else { high = middle }
        }
        let isThere = low < order.count && order[low] == name
        if objects.services[name] != nil {
            if !isThere { order.insert(name, at: low) }
        } else if isThere {
            order.remove(at: low)
        }
    }
}

extension PortRules {
    /// Without the chains of its own.
    fileprivate var shared: PortRules {
        var shared = self
        shared.chains = []
        return shared
    }
}

// MARK: - What all Services share

extension ServiceRules {
    private func gather(_ part: KeyPath<PortRules, [Rule]>) -> [Rule] {
        var rules: [Rule] = []
        for name in order {
            for piece in pieces[name] ?? [] { rules += piece[keyPath: part] }
        }
        return rules
    }

    private var sharedChains: [ChainKey: [Rule]] {
        var chains: [ChainKey: [Rule]] = [
            ChainKey(.filter, ChainName.services): gather(\.refusals),
            ChainKey(.filter, ChainName.externalServices): gather(\.externalRefusals),
            ChainKey(.filter, ChainName.proxyFirewall): gather(\.firewall),
            ChainKey(.filter, ChainName.nodePorts): gather(\.healthChecks),
            ChainKey(.filter, ChainName.forward): Self.forwarding,
            ChainKey(.nat, ChainName.services): gather(\.services) + nodePortJumps,
            ChainKey(.nat, ChainName.nodePorts): gather(\.nodePorts),
            ChainKey(.nat, ChainName.postrouting): postrouting,
            ChainKey(.nat, ChainName.markMasquerade): [
                .kube(.mark(MarkTarget(value: Self.mark, mask: Self.mark)))
            ],
        ]
        if configuration.localhostNodePorts {
            chains[Self.guardChain] = [Self.localnetGuard]
        }
        return chains
    }

    static let guardChain = ChainKey(.filter, ChainName.kubeletFirewall)

    private static var mark: UInt32 { ProxyConfiguration.masqueradeMark }

    private var postrouting: [Rule] {
        [
            .kube(
                nil,
                [.mark(Invertible(MarkTest(value: Self.mark, mask: Self.mark), inverted: true))],
                then: .return),
            // A packet that comes by again is not masqueraded again.
            .kube(.mark(MarkTarget(value: Self.mark, mask: 0))),
            .kube(
                "kubernetes service traffic requiring SNAT",
                then: .masquerade(PortMapping(randomFully: configuration.randomFully))),
        ]
    }

    private static var forwarding: [Rule] {
        [
            .kube(nil, [.states(.invalid)], then: .drop),
            .kube(
                "kubernetes forwarding rules",
                [.mark(Invertible(MarkTest(value: mark, mask: mark)))], then: .accept),
            .kube(
                "kubernetes forwarding conntrack rule", [.states([.related, .established])],
                then: .accept),
        ]
    }

    /// What `route_localnet` opens is closed again to everybody outside.
    private static var localnetGuard: Rule {
        let localhost = IPv4Network(IPv4Address(127, 0, 0, 0), prefixLength: 8)
        return .kube(
            "block incoming localnet connections",
            [.states([.related, .established, .dnat], inverted: true)],
            from: AddressMatch(localhost, inverted: true), to: AddressMatch(localhost), then: .drop)
    }

    private var nodePortJumps: [Rule] {
        let comment =
            "kubernetes service nodeports; NOTE: this must be the last rule in this chain"
        let localhost = IPv4Network(IPv4Address(127, 0, 0, 0), prefixLength: 8)
        if configuration.nodePortNetworks.isEmpty {
            let destination =
                configuration.localhostNodePorts
                ? .any : AddressMatch(localhost, inverted: true)
            return [
                .kube(comment, [.toLocal], to: destination, then: .jump(ChainName.nodePorts))
            ]
        }
        return configuration.nodeAddresses.filter { address in
            configuration.nodePortNetworks.contains { $0.contains(address) }
                && (configuration.localhostNodePorts || !address.isLoopback)
        }.map { .kube(comment, to: .host($0), then: .jump(ChainName.nodePorts)) }
    }

    /// The rules of the base chains that lead to the others, in the order in which they stand.
    static func jumps(
        _ configuration: ProxyConfiguration
    ) -> [(table: TableName, chain: BuiltinChain, rule: Rule)] {
        func jump(_ comment: String?, to chain: String, _ matches: [Match] = []) -> Rule {
            // kube-proxy writes the state before the comment.
            Rule(
                id: RuleID(rawValue: 0), matches: matches + (comment.map { [.comment($0)] } ?? []),
                target: .jump(chain))
        }
        let isNew = [Match.states(.new)]
        let kubelet = jump(nil, to: ChainName.kubeletFirewall)
        let firewall = jump("kubernetes load balancer firewall", to: ChainName.proxyFirewall, isNew)
        let portals = jump("kubernetes service portals", to: ChainName.services, isNew)
        let visible = jump(
            "kubernetes externally-visible service portals", to: ChainName.externalServices, isNew)
        let toServices = jump("kubernetes service portals", to: ChainName.services)
        let guards: [(table: TableName, chain: BuiltinChain, rule: Rule)] =
            configuration.localhostNodePorts
            ? [(.filter, .input, kubelet), (.filter, .output, kubelet)] : []
        return guards + [
            (.filter, .input, firewall),
            (
                .filter, .input,
                jump("kubernetes health check service ports", to: ChainName.nodePorts)
            ),
            (.filter, .input, visible),
            (.filter, .forward, firewall),
            (.filter, .forward, jump("kubernetes forwarding rules", to: ChainName.forward)),
            (.filter, .forward, portals),
            (.filter, .forward, visible),
            (.filter, .output, firewall),
            (.filter, .output, portals),
            (.nat, .prerouting, toServices),
            (.nat, .output, toServices),
            (.nat, .postrouting, jump("kubernetes postrouting rules", to: ChainName.postrouting)),
        ]
    }
}
