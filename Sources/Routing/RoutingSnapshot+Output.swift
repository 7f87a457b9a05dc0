// ip_route_output: where a packet of the node's own goes, and with which source address.

import Wire

extension RoutingSnapshot {
    /// fib_lookup for an arrived packet, without the checks on its addresses (those are
    /// `validateSource` and `resolveInput`).
    public func route(input packet: RouteQuery) -> RouteDecision {
        let query = asRulesSeeIt(packet)
        switch compiled.lookUp(query, arriving: query.inInterface) {
        case .nothing: return RouteDecision(.noRoute)
        case .failed(let kind): return RouteDecision(kind)
        case .found(let route, let first):
            return decision(route, compiled.selectNextHop(route, first: first, query), query)
        }
    }

    /// ip_route_output_key_hash_rcu, with any source address allowed (FLOWI_FLAG_ANYSRC), as the
    /// re-routing after mangle and nat asks it. The query's `outInterface` is a socket's device.
    public func route(output query: RouteQuery) -> RouteDecision {
        var query = query
        let source = query.source
        if source.isMulticast || source.isLimitedBroadcast { return RouteDecision(.invalid) }
        let isGroup = query.destination.isMulticast || query.destination.isLimitedBroadcast
        if source != .any && query.outInterface == .none && isGroup {
            guard let owner = owner(of: source) else { return RouteDecision(.invalid) }
            return onLink(query, interface: owner)
        }
        if query.outInterface != .none {
            if let early = boundToDevice(&query) { return early }
        }
        if query.destination == .any { return toItself(query) }
        let arriving = query.inInterface == .none ? loopback : query.inInterface
        switch compiled.lookUp(query, arriving: arriving) {
        case .nothing: return failed(.noRoute, query)
        case .failed(let kind): return failed(kind, query)
        case .found(let route, let first):
            return outputDecision(route, first: first, query)
        }
    }

    private func outputDecision(
        _ route: CompiledRoute, first: CompiledNextHop, _ query: RouteQuery
    ) -> RouteDecision {
        var result: RouteDecision
        if route.type == .local {
            result = decision(route, first, query)
            result.outInterface = loopback
            result.mtu = interface(loopback)?.mtu ?? 65536
            result.preferredSource = route.preferredSource ?? query.destination
        } else {
            let hop = compiled.selectNextHop(route, first: first, query, source: query.source)
            result = decision(route, hop, query)
        }
        if query.destination.isLimitedBroadcast {
            result.kind = .broadcast
        } else if query.destination.isMulticast {
            result.kind = .multicast
        }
        dropGateway(&result, query.destination)
        if query.source != .any { result.preferredSource = query.source }
        return checkingLoopbackSource(result)
    }

    /// __mkroute_output: broadcasts, and multicasts without a multicast route, go to the link itself
    /// whatever the route says.
    private func dropGateway(_ result: inout RouteDecision, _ destination: IPv4Address) {
        guard
            result.kind == .broadcast || (result.kind == .multicast && result.prefixLength < 4)
        else { return }
        result.gateway = nil
        result.nextHop = destination
        result.mtu = interface(result.outInterface)?.mtu ?? 0
    }

    /// __mkroute_output: a loopback source stays on the host.
    private func checkingLoopbackSource(_ result: RouteDecision) -> RouteDecision {
        if let source = result.preferredSource, source.isLoopback,
            let out = interface(result.outInterface), !out.isLoopback, !out.settings.routeLocalnet
        {
            return RouteDecision(.invalid)
        }
        return result
    }

    /// With a device given and no route, the destination is taken to be on that link.
    private func failed(_ kind: RouteKind, _ query: RouteQuery) -> RouteDecision {
        guard query.outInterface != .none else { return RouteDecision(kind) }
        return onLink(query, interface: query.outInterface)
    }

    /// The decisions that a given device makes before any table is asked.
    private func boundToDevice(_ query: inout RouteQuery) -> RouteDecision? {
        guard let device = interface(query.outInterface), device.isUp else {
            return RouteDecision(.noRoute)
        }
        let destination = query.destination
        // 224.0.0.0/24 (ipv4_is_local_multicast)
        if destination.rawValue >> 8 == 0xE00000 || destination.isLimitedBroadcast
            || query.ipProtocol.rawValue == 2
        {
            return onLink(query, interface: device.index)
        }
        guard query.source == .any else { return nil }
        if destination.isMulticast || destination == .any {
            let scope: RouteScope = destination == .any ? .host : .universe
            query.source =
                selectAddress(interface: device.index, nextHop: nil, scope: scope) ?? .any
        }
        return nil
    }

    private func onLink(_ query: RouteQuery, interface index: InterfaceIndex) -> RouteDecision {
        let destination = query.destination
        var result = RouteDecision(
            destination.isLimitedBroadcast
                ? .broadcast : destination.isMulticast ? .multicast : .unicast)
        result.outInterface = index
        result.nextHop = destination
        result.scope = .link
        result.mtu = interface(index)?.mtu ?? 0
        result.preferredSource =
            query.source != .any
            ? query.source : selectAddress(interface: index, nextHop: nil, scope: .link)
        return checkingLoopbackSource(result)
    }

    /// Destination 0.0.0.0 is this host.
    private func toItself(_ query: RouteQuery) -> RouteDecision {
        var result = RouteDecision(.local)
        result.outInterface = loopback
        result.nextHop = query.source == .any ? .loopback : query.source
        result.scope = .host
        result.mtu = interface(loopback)?.mtu ?? 65536
        result.preferredSource = result.nextHop
        return result
    }

    /// The interface that has the address (__ip_dev_find).
    func owner(of address: IPv4Address) -> InterfaceIndex? {
        for index in addresses.indices where addresses[index].local == address {
            return addresses[index].interface
        }
        return nil
    }
}
