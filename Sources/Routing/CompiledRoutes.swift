// The shapes that a look-up walks: flat arrays of plain values, so that reading them neither
// allocates nor counts references. Built once per snapshot, never changed.

import Wire

/// What remains of a packet's TOS where routes and `tos` rules compare it: the kernel keeps RFC 1349's
/// bits for these and drops the precedence (fib_dscp_masked_match), so a route for TOS 0x20 is never
/// taken, and a packet with 0x28 takes the one for 0x08.
let legacyServiceMask: UInt8 = 0x1C

/// A policy rule with names and goto targets resolved to indices.
struct CompiledRule {
    enum Action {
        case lookup(Int)
        case jump(Int)
        case pass
        case fail(RouteKind)
    }

    var source: IPv4Network
    var destination: IPv4Network
    /// 0 matches all; an index that no interface has stands for an absent one.
    var inInterface: UInt32
    var outInterface: UInt32
    var mark: UInt32
    var markMask: UInt32
    var typeOfService: UInt8
    var comparesWholeDSCP: Bool
    var isForeign: Bool
    var isInverted: Bool
    var ipProtocol: UInt8
    var sourcePorts: ClosedRange<UInt16>
    var destinationPorts: ClosedRange<UInt16>
    var userIDs: ClosedRange<UInt32>
    var suppressPrefixLength: Int
    var suppressGroup: UInt32?
    var action: Action

    func matches(_ query: RouteQuery, inInterface arriving: UInt32) -> Bool {
        if inInterface != 0 && inInterface != arriving { return isInverted }
        if outInterface != 0 && outInterface != query.outInterface.rawValue { return isInverted }
        if (mark ^ query.mark) & markMask != 0 { return isInverted }
        if isForeign { return isInverted }
        if !source.contains(query.source) || !destination.contains(query.destination) {
            return isInverted
        }
        let service = query.typeOfService & (comparesWholeDSCP ? 0xFC : legacyServiceMask)
        if typeOfService != 0 && typeOfService != service { return isInverted }
        if ipProtocol != 0 && ipProtocol != query.ipProtocol.rawValue { return isInverted }
        if !userIDs.contains(query.userID) || !sourcePorts.contains(query.sourcePort.rawValue)
            || !destinationPorts.contains(query.destinationPort.rawValue)
        {
            return isInverted
        }
        return !isInverted
    }
}

/// One table: its prefixes grouped by length, longest first.
struct CompiledTable {
    var id: UInt32
    var groups: Range<Int>
}

/// All routes of one table and prefix length, sorted by prefix.
struct PrefixGroup {
    var mask: UInt32
    var routes: Range<Int>
}

struct CompiledRoute {
    var prefix: UInt32
    var table: UInt32
    var typeOfService: UInt8
    var prefixLength: UInt8
    var type: RouteType
    var scope: RouteScope
    var mtu: Int
    var preferredSource: IPv4Address?
    var nextHops: Range<Int>
}

struct CompiledNextHop {
    var interface: InterfaceIndex
    var gateway: IPv4Address?
    var isUsable: Bool
    /// For rules with `suppress_ifgroup`.
    var group: UInt32
    /// Not counted as usable where the interface ignores routes without a carrier.
    var isLinkDown: Bool
    /// The largest 31-bit flow hash that selects this nexthop, -1 for none.
    var upperBound: Int64
    /// What a packet without a source address gets here (fib_info_update_nhc_saddr).
    var sourceAddress: IPv4Address?
}

/// Everything a look-up walks.
///
/// While nobody has added a policy rule, the kernel keeps the local and main tables in one trie, and
/// the longest prefix of both wins (fib_trie.c, fib_unmerge): a /16 in main beats a local /8. The
/// first rule separates them for good. Whether there once was one cannot be seen, so the rules of
/// today decide here.
struct CompiledRouting {
    var isMerged = false
    var rules = ContiguousArray<CompiledRule>()
    var tables = ContiguousArray<CompiledTable>()
    var groups = ContiguousArray<PrefixGroup>()
    var routes = ContiguousArray<CompiledRoute>()
    var nextHops = ContiguousArray<CompiledNextHop>()
}

extension CompiledRouting {
    /// - Parameters:
    ///   - interfaces: sorted by index.
    ///   - selectAddress: inet_select_addr, for the source address of each nexthop.
    init(
        rules: [PolicyRule], routes: [Route], interfaces: ContiguousArray<Interface>,
        selectAddress: (InterfaceIndex, IPv4Address?, RouteScope) -> IPv4Address?
    ) {
        let byIndex = Dictionary(interfaces.map { ($0.index, $0) }) { first, _ in first }
        isMerged = !Self.areCustom(rules)
        let ordered = routes.enumerated().sorted { precedes($0, $1) }.map(\.element)
        for route in ordered {
            let start = nextHops.count
            appendNextHops(of: route, interfaces: byIndex, selectAddress: selectAddress)
            appendGroup(of: route)
            self.routes.append(
                CompiledRoute(
                    prefix: route.prefix.address.rawValue, table: route.table,
                    typeOfService: route.typeOfService & 0xFC,
                    prefixLength: UInt8(route.prefixLength), type: route.type, scope: route.scope,
                    mtu: route.mtu ?? 0, preferredSource: route.preferredSource,
                    nextHops: start..<nextHops.count))
        }
        compile(rules, names: Dictionary(interfaces.map { ($0.name, $0.index) }) { a, _ in a })
        dropOwnGateways(among: ordered, loopback: interfaces.first { $0.isLoopback }?.index)
    }

    /// A gateway that is an address of the node on that very interface names the interface, not a
    /// neighbour: the route is direct (fib_check_nh_v4_gw finds scope host, and rt_set_nexthop then
    /// ignores the gateway). The kernel decides that when the route is made; here, what holds now.
    private mutating func dropOwnGateways(among ordered: [Route], loopback: InterfaceIndex?) {
        for (position, route) in ordered.enumerated() {
            for (index, hop) in zip(routes[position].nextHops, route.nextHops) {
                guard let gateway = hop.gateway, !hop.flags.contains(.onlink) else { continue }
                let query = RouteQuery(
                    source: .any, destination: gateway, outInterface: hop.interface)
                if reach(query, table: route.table, arriving: loopback ?? .none) >= .host {
                    nextHops[index].gateway = nil
                }
            }
        }
    }

    /// The scope of the route to a gateway: its own table is asked first, unless it is main.
    private func reach(
        _ query: RouteQuery, table: UInt32, arriving: InterfaceIndex
    ) -> RouteScope {
        if table != RouteTable.main, let own = tables.firstIndex(where: { $0.id == table }),
            case .found(let route, _) = search(table: own, query, scope: .link)
        {
            return route.scope
        }
        guard case .found(let route, _) = lookUp(query, arriving: arriving, scope: .link) else {
            return .universe
        }
        return route.scope
    }

    /// Whether anything but the three rules of a new namespace is there.
    static func areCustom(_ rules: [PolicyRule]) -> Bool {
        rules.count != 3 || rules.map(\.action) != PolicyRule.defaults.map(\.action)
    }

    /// The table in which a route is found.
    private func searched(_ table: UInt32) -> UInt32 {
        isMerged && table == RouteTable.main ? RouteTable.local : table
    }

    /// Table, longer prefix, prefix, larger TOS, smaller metric, then as given (fib_find_alias);
    /// in the merged trie, local before main.
    private func precedes(
        _ a: (offset: Int, element: Route), _ b: (offset: Int, element: Route)
    ) -> Bool {
        let (left, right) = (a.element, b.element)
        let tables = (searched(left.table), searched(right.table))
        if tables.0 != tables.1 { return tables.0 < tables.1 }
        if left.prefixLength != right.prefixLength { return left.prefixLength > right.prefixLength }
        if left.prefix.address != right.prefix.address {
            return left.prefix.address < right.prefix.address
        }
        if left.table != right.table { return left.table > right.table }
        let services = (left.typeOfService & 0xFC, right.typeOfService & 0xFC)
        if services.0 != services.1 { return services.0 > services.1 }
        if left.metric != right.metric { return left.metric < right.metric }
        return a.offset < b.offset
    }

    private mutating func appendGroup(of route: Route) {
        let position = routes.count
        let id = searched(route.table)
        if tables.last?.id != id {
            tables.append(CompiledTable(id: id, groups: groups.count..<groups.count))
        }
        let table = tables.count - 1
        if tables[table].groups.isEmpty || groups[groups.count - 1].mask != route.prefix.mask {
            groups.append(PrefixGroup(mask: route.prefix.mask, routes: position..<position))
            tables[table].groups = tables[table].groups.lowerBound..<groups.count
        }
        let group = groups.count - 1
        groups[group].routes = groups[group].routes.lowerBound..<position + 1
    }

    private mutating func appendNextHops(
        of route: Route, interfaces: [InterfaceIndex: Interface],
        selectAddress: (InterfaceIndex, IPv4Address?, RouteScope) -> IPv4Address?
    ) {
        let ignoresLinkDown = { (hop: NextHop) in
            hop.flags.contains(.linkDown)
                && interfaces[hop.interface]?.settings.ignoreRoutesWithLinkDown == true
        }
        let counted = route.nextHops.filter { !$0.flags.contains(.dead) && !ignoresLinkDown($0) }
        let total = counted.reduce(0) { $0 + $1.weight }
        var sum = 0
        for hop in route.nextHops {
            let isCounted = !hop.flags.contains(.dead) && !ignoresLinkDown(hop)
            if isCounted { sum += hop.weight }
            // fib_rebalance: DIV_ROUND_CLOSEST(w << 31, total) - 1
            let bound = total == 0 ? 0 : ((Int64(sum) << 31) + Int64(total / 2)) / Int64(total)
            nextHops.append(
                CompiledNextHop(
                    interface: hop.interface, gateway: hop.gateway,
                    isUsable: !hop.flags.contains(.dead) && !hop.hasIPv6Gateway,
                    group: interfaces[hop.interface]?.group ?? 0,
                    isLinkDown: ignoresLinkDown(hop), upperBound: isCounted ? bound - 1 : -1,
                    sourceAddress: selectAddress(hop.interface, hop.gateway, route.scope)))
        }
    }

    private mutating func compile(_ list: [PolicyRule], names: [InterfaceName: InterfaceIndex]) {
        let ordered = list.enumerated().sorted {
            ($0.element.priority, $0.offset) < ($1.element.priority, $1.offset)
        }.map(\.element)
        let index = { (name: InterfaceName?) -> UInt32 in
            guard let name else { return 0 }
            return names[name]?.rawValue ?? .max
        }
        for rule in ordered {
            rules.append(
                CompiledRule(
                    source: rule.source, destination: rule.destination,
                    inInterface: index(rule.inInterface), outInterface: index(rule.outInterface),
                    mark: rule.mark, markMask: rule.markMask,
                    typeOfService: rule.typeOfService & 0xFC,
                    comparesWholeDSCP: rule.comparesWholeDSCP, isForeign: rule.isForeign,
                    isInverted: rule.isInverted, ipProtocol: rule.ipProtocol?.rawValue ?? 0,
                    sourcePorts: Self.range(rule.sourcePorts),
                    destinationPorts: Self.range(rule.destinationPorts),
                    userIDs: rule.userIDs ?? 0...UInt32.max,
                    suppressPrefixLength: rule.suppressPrefixLength,
                    suppressGroup: rule.suppressGroup, action: action(of: rule, among: ordered)))
        }
    }

    private static func range(_ ports: ClosedRange<Port>?) -> ClosedRange<UInt16> {
        ports.map { $0.lowerBound.rawValue...$0.upperBound.rawValue } ?? 0...UInt16.max
    }

    private func action(of rule: PolicyRule, among ordered: [PolicyRule]) -> CompiledRule.Action {
        switch rule.action {
        case .lookup(let id):
            return tables.firstIndex { $0.id == id }.map { .lookup($0) } ?? .pass
        case .goto(let priority):
            // Only forwards, so that no packet goes round in circles; the kernel refuses others.
            guard priority > rule.priority,
                let target = ordered.firstIndex(where: { $0.priority == priority })
            else { return .pass }
            return .jump(target)
        case .nop: return .pass
        case .blackhole: return .fail(.blackhole)
        case .unreachable: return .fail(.noRoute)
        case .prohibit: return .fail(.prohibit)
        }
    }
}
