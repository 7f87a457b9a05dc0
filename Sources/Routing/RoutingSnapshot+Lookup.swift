// fib_lookup: policy rules, then tables, then nexthops (net/ipv4/fib_rules.c, fib_trie.c). Nothing here allocates or counts references.

import Wire

extension CompiledRouting {
    /// How the search of one table, or of all rules, ended.
    enum SearchResult {
        case found(CompiledRoute, CompiledNextHop)
        case failed(RouteKind)
        /// Nothing here, or `throw`: the next rule is asked.
        case nothing
    }

    /// fib_rules_lookup. `arriving` is what `iif` compares with; routes that reach further than
    /// `scope` are passed over.
    func lookUp(
        _ query: RouteQuery, arriving: InterfaceIndex, scope: RouteScope = .universe
    ) -> SearchResult {
        var position = 0
        while position < rules.count {
            let rule = rules[position]
            position += 1
            guard rule.matches(query, inInterface: arriving.rawValue) else { continue }
            switch rule.action {
            case .pass: continue
            case .jump(let target): position = target
            case .fail(let kind): return .failed(kind)
            case .lookup(let table):
                switch search(table: table, query, scope: scope) {
                case .nothing: continue
                case .failed(let kind): return .failed(kind)
                case .found(let route, let hop):
                    if isSuppressed(route, hop, by: rule) { continue }
                    return .found(route, hop)
                }
            }
        }
        return .nothing
    }

    private func isSuppressed(
        _ route: CompiledRoute, _ hop: CompiledNextHop, by rule: CompiledRule
    ) -> Bool {
        if Int(route.prefixLength) <= rule.suppressPrefixLength { return true }
        guard let group = rule.suppressGroup else { return false }
        return hop.group == group
    }

    /// fib_table_lookup: the longest prefix that has a usable route; a prefix whose routes are all
    /// unusable gives way to a shorter one.
    func search(
        table: Int, _ query: RouteQuery, scope: RouteScope = .universe
    ) -> SearchResult {
        for group in tables[table].groups {
            let mask = groups[group].mask
            let key = query.destination.rawValue & mask
            let end = groups[group].routes.upperBound
            var position = firstRoute(in: groups[group].routes, prefix: key)
            while position < end && routes[position].prefix == key {
                let result = resolve(routes[position], query, scope)
                if case .nothing = result {
                    if routes[position].type == .throw
                        && matchesService(routes[position], query)
                        && routes[position].scope >= scope
                    {
                        return .nothing
                    }
                    position += 1
                    continue
                }
                return result
            }
        }
        return .nothing
    }

    private func firstRoute(in range: Range<Int>, prefix: UInt32) -> Int {
        var low = range.lowerBound
        var high = range.upperBound
        while low < high {
            let middle = (low + high) / 2
            if routes[middle].prefix < prefix { low = middle + 1 } else { high = middle }
        }
        return low
    }

    private func matchesService(_ route: CompiledRoute, _ query: RouteQuery) -> Bool {
        route.typeOfService == 0 || route.typeOfService == query.typeOfService & legacyServiceMask
    }

    private func resolve(
        _ route: CompiledRoute, _ query: RouteQuery, _ scope: RouteScope
    ) -> SearchResult {
        guard matchesService(route, query) && route.scope >= scope else { return .nothing }
        switch route.type {
        case .blackhole: return .failed(.blackhole)
        case .unreachable: return .failed(.unreachable)
        case .prohibit: return .failed(.prohibit)
        case .throw: return .nothing
        case .unicast, .local, .broadcast, .anycast, .multicast: break
        }
        for index in route.nextHops {
            let hop = nextHops[index]
            guard hop.isUsable && (!hop.isLinkDown || query.ignoresLinkState) else { continue }
            if query.outInterface != .none && query.outInterface != hop.interface { continue }
            return .found(route, hop)
        }
        return .nothing
    }

    /// fib_select_multipath: among the nexthops by the flow's hash. A packet of the node's own
    /// prefers one from which its source address would have been chosen; a given interface has
    /// already decided.
    func selectNextHop(
        _ route: CompiledRoute, first: CompiledNextHop, _ query: RouteQuery,
        source: IPv4Address = .any
    ) -> CompiledNextHop {
        guard route.nextHops.count > 1 && query.outInterface == .none else { return first }
        let hash = Int64(query.flowHash >> 1)
        var best = first
        var bestScore = 0
        for index in route.nextHops {
            let hop = nextHops[index]
            guard hop.upperBound >= 0 else { continue }
            var score = hash <= hop.upperBound ? 1 : 0
            if source != .any && hop.sourceAddress == source { score += 2 }
            guard score > bestScore else { continue }
            best = hop
            bestScore = score
            if score == 3 || (score == 1 && source == .any) { break }
        }
        return best
    }
}

extension RoutingSnapshot {
    /// What a found route means for the packet.
    func decision(_ route: CompiledRoute, _ hop: CompiledNextHop, _ query: RouteQuery)
        -> RouteDecision
    {
        var decision = RouteDecision(kind(of: route.type))
        decision.outInterface = hop.interface
        decision.gateway = hop.gateway
        decision.nextHop = hop.gateway ?? query.destination
        decision.scope = route.scope
        decision.table = route.table
        decision.prefixLength = Int(route.prefixLength)
        decision.preferredSource = route.preferredSource ?? hop.sourceAddress
        decision.mtu = route.mtu > 0 ? route.mtu : interface(hop.interface)?.mtu ?? 0
        return decision
    }

    private func kind(of type: RouteType) -> RouteKind {
        switch type {
        case .local: .local
        case .broadcast: .broadcast
        case .multicast: .multicast
        default: .unicast
        }
    }
}
