// The mirrors of route tables for HostRoutes, and how to get from one plan to the next.

import Wire

extension HostRoutes {
    /// The mirrors made so far. A rule that suppresses an interface group has one of its own, since the
    /// host port is in another group than the interface it stands for.
    struct Mirrors {
        private struct Key: Hashable {
            var table: UInt32
            var group: UInt32?
        }

        private let snapshot: RoutingSnapshot
        private let hostPort: InterfaceIndex
        private let first: UInt32
        private let adopted: Set<InterfaceIndex>
        private let byTable: [UInt32: [Route]]
        private var numbers: [Key: UInt32] = [:]
        private(set) var routes: [Route] = []

        init(
            snapshot: RoutingSnapshot, hostPort: InterfaceIndex, first: UInt32,
            adopted: Set<InterfaceIndex>
        ) {
            self.snapshot = snapshot
            self.hostPort = hostPort
            self.first = first
            self.adopted = adopted
            byTable = Dictionary(grouping: snapshot.routes) { $0.table }
        }

        /// The number of the mirror; the local table is its own, and an empty table needs none.
        mutating func table(for table: UInt32, suppressing group: UInt32?) -> UInt32? {
            if table == RouteTable.local { return table }
            let key = Key(table: table, group: group)
            if let number = numbers[key] { return number }
            let number = first + UInt32(numbers.count)
            numbers[key] = number
            guard let list = byTable[table], !list.isEmpty else {
                // The number stays taken, so that others do not move when a route comes.
                return nil
            }
            var seen: Set<RouteKey> = []
            for route in list + Self.leftToKernel {
                guard let copy = mirrored(route, in: number, group), seen.insert(copy.key).inserted
                else { continue }
                routes.append(copy)
            }
            return number
        }

        private static let leftToKernel = [
            Route(prefix: IPv4Address(224, 0, 0, 0), length: 4, type: .throw),
            Route(prefix: .broadcast, length: 32, type: .throw),
        ]

        private func mirrored(_ route: Route, in table: UInt32, _ group: UInt32?) -> Route? {
            if route.type == .multicast { return nil }
            // Groups are thrown as a whole.
            let isGroup = route.prefixLength >= 4 && route.prefix.address.isMulticast
            if isGroup && route.type != .throw { return nil }
            var copy = route
            copy.table = table
            copy.origin = HostRoutes.origin
            copy.preferredSource = acceptable(route.preferredSource)
            guard !route.nextHops.isEmpty else { return copy }
            let hops = route.nextHops.filter { isUsable($0) }
            guard let chosen = hops.first else { return nil }
            if let group, snapshot.interface(chosen.interface)?.group == group {
                copy.type = .throw
                copy.nextHops = []
                copy.preferredSource = nil
                copy.mtu = nil
                copy.scope = .universe
                return copy
            }
            copy.nextHops = hops.map { verbatim($0) }
            guard route.type == .unicast, hops.contains(where: { adopted.contains($0.interface) })
            else { return copy }
            throughHostPort(&copy, original: route, hops: hops, chosen: chosen)
            return copy
        }

        private func throughHostPort(
            _ copy: inout Route, original: Route, hops: [NextHop], chosen: NextHop
        ) {
            // For the gateway of a new route the kernel looks for a route of link scope or narrower,
            // as a packet of the node (fib_check_nh). A mirror of wider scope is passed over there and
            // found by every packet; otherwise `ip route add … via …` would end up on the host port.
            copy.scope = .universe
            copy.preferredSource = acceptable(
                original.preferredSource
                    ?? snapshot.selectAddress(
                        interface: chosen.interface, nextHop: chosen.gateway, scope: original.scope)
            )
            copy.mtu =
                original.mtu
                ?? hops.compactMap { snapshot.interface($0.interface)?.mtu }.min()
            if hops.allSatisfy({ adopted.contains($0.interface) }) {
                copy.nextHops = [NextHop(interface: hostPort)]
                return
            }
            copy.nextHops = hops.map { hop in
                adopted.contains(hop.interface)
                    ? NextHop(interface: hostPort, weight: hop.weight) : verbatim(hop)
            }
        }

        /// The kernel takes a `src` that is local and nothing else; an address of the node that is
        /// also the broadcast address of one of its subnets is refused (fib_valid_prefsrc).
        private func acceptable(_ source: IPv4Address?) -> IPv4Address? {
            guard let source, snapshot.addressType(source) == .local else { return nil }
            return source
        }

        private func isUsable(_ hop: NextHop) -> Bool {
            if hop.flags.contains(.dead) || hop.hasIPv6Gateway { return false }
            guard let interface = snapshot.interface(hop.interface), interface.isUp else {
                return false
            }
            return !(hop.flags.contains(.linkDown) && interface.settings.ignoreRoutesWithLinkDown)
        }

        /// The gateway was found reachable when the original was made; in a mirror it might not be.
        private func verbatim(_ hop: NextHop) -> NextHop {
            var hop = hop
            hop.flags = hop.gateway == nil ? [] : .onlink
            if let gateway = hop.gateway,
                snapshot.addressType(gateway, interface: hop.interface) == .local
            {
                hop.gateway = nil
                hop.flags = []
            }
            return hop
        }
    }

    /// What makes the kernel take one route for another.
    struct RouteKey: Hashable {
        var table: UInt32
        var prefix: IPv4Network
        var typeOfService: UInt8
        var metric: UInt32
    }

    /// The way from one plan to the next, to be done in this order, so that at no time a packet of
    /// the node finds a rule without its routes.
    public struct Changes: Hashable, Sendable {
        /// Replaces a route of the same table, prefix, TOS and metric.
        public var setRoutes: [Route] = []
        public var addRules: [PolicyRule] = []
        public var deleteRules: [PolicyRule] = []
        public var deleteRoutes: [Route] = []
        public var isEmpty: Bool {
            setRoutes.isEmpty && addRules.isEmpty && deleteRules.isEmpty && deleteRoutes.isEmpty
        }
    }

    public static func changes(from old: Plan, to new: Plan) -> Changes {
        let before = Dictionary(old.routes.map { ($0.key, $0) }) { first, _ in first }
        let after = Set(new.routes.map(\.key))
        var changes = Changes()
        changes.setRoutes = new.routes.filter { before[$0.key] != $0 }
        changes.deleteRoutes = old.routes.filter { !after.contains($0.key) }
        changes.addRules = new.rules.filter { !old.rules.contains($0) }
        changes.deleteRules = old.rules.filter { !new.rules.contains($0) }
        return changes
    }
}

extension Route {
    var key: HostRoutes.RouteKey {
        HostRoutes.RouteKey(
            table: table, prefix: prefix, typeOfService: typeOfService, metric: metric)
    }
}
