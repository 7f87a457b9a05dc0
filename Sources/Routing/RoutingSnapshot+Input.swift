// What an arrived packet's addresses allow: martians, the reverse path filter, local delivery,
// forwarding (ip_route_input_slow, fib_validate_source). A packet that came back over `lo` still has
// the route of its sending and does not pass through here.

import Wire

extension RoutingSnapshot {
    /// The whole decision about an arrived packet.
    public func resolveInput(_ packet: RouteQuery) -> InputVerdict {
        let query = asRulesSeeIt(packet)
        if query.destination.isMulticast { return .multicast }
        guard let interface = interface(query.inInterface) else { return .drop(.noRoute) }
        if let reason = checkAddresses(query, interface) { return .drop(reason) }
        if query.destination.isLimitedBroadcast || query.destination == .any {
            return broadcast(query, interface)
        }
        let decision = route(input: query)
        switch decision.kind {
        case .broadcast:
            if !interface.settings.broadcastForwarding { return broadcast(query, interface) }
        case .local:
            switch checkSource(query, interface, egress: .none) {
            case .drop(let reason): return .drop(reason)
            case .accept: return .local(decision)
            }
        case .unicast: break
        case .multicast, .invalid: return .drop(.martianDestination)
        case .blackhole, .unreachable, .prohibit, .noRoute:
            return interface.settings.forwarding
                ? .unreachable(decision.kind) : .drop(.notForUs)
        }
        return forward(query, interface, decision)
    }

    /// The checks on addresses alone and the reverse path filter together; `egress` is where the
    /// packet would be forwarded to, `.none` for local delivery.
    public func validateSource(
        _ packet: RouteQuery, egress: InterfaceIndex = .none
    ) -> DropReason? {
        let query = asRulesSeeIt(packet)
        guard let interface = interface(query.inInterface) else { return .noRoute }
        if let reason = checkAddresses(query, interface) { return reason }
        if query.source == .any { return nil }
        switch checkSource(query, interface, egress: egress) {
        case .drop(let reason): return reason
        case .accept: return nil
        }
    }

    func asRulesSeeIt(_ packet: RouteQuery) -> RouteQuery {
        guard !dissectsArriving else { return packet }
        var query = packet
        query.ipProtocol = IPProtocol(rawValue: 0)
        query.sourcePort = Port(0)
        query.destinationPort = Port(0)
        return query
    }

    /// Addresses that no route can make right.
    private func checkAddresses(_ query: RouteQuery, _ interface: Interface) -> DropReason? {
        let (source, destination) = (query.source, query.destination)
        if source.isMulticast || source.isLimitedBroadcast { return .martianSource }
        if destination.isLimitedBroadcast || (source == .any && destination == .any) { return nil }
        // Linux 5.3 made the rest of 0.0.0.0/8 ordinary (ipv4_is_zeronet).
        if source == .any { return .martianSource }
        if destination == .any { return .martianDestination }
        if interface.settings.routeLocalnet { return nil }
        if destination.isLoopback { return .martianDestination }
        return source.isLoopback ? .martianSource : nil
    }

    private func broadcast(_ query: RouteQuery, _ interface: Interface) -> InputVerdict {
        if query.source != .any {
            var reversed = query
            reversed.destination = .any
            if case .drop(let reason) = checkSource(reversed, interface, egress: .none) {
                return .drop(reason)
            }
        }
        var decision = RouteDecision(.broadcast)
        decision.outInterface = interface.index
        decision.nextHop = query.destination
        decision.mtu = interface.mtu
        return .local(decision)
    }

    private func forward(
        _ query: RouteQuery, _ interface: Interface, _ decision: RouteDecision
    ) -> InputVerdict {
        guard interface.settings.forwarding else { return .drop(.notForUs) }
        switch checkSource(query, interface, egress: decision.outInterface) {
        case .drop(let reason): return .drop(reason)
        case .accept(let isOnLink):
            let redirect =
                isOnLink && decision.outInterface == interface.index
                && interface.settings.sendRedirects
                && (interface.settings.sharedMedia
                    || shareSubnet(query.source, decision.gateway, interface.index))
            return .forward(decision, redirect: redirect)
        }
    }

    /// inet_addr_onlink: one subnet of the interface holds both.
    private func shareSubnet(
        _ a: IPv4Address, _ b: IPv4Address?, _ index: InterfaceIndex
    ) -> Bool {
        guard let position = position(of: index) else { return false }
        for address in addressRanges[position] {
            let subnet = addresses[address].subnet
            guard subnet.contains(a) else { continue }
            guard let b else { return true }
            if subnet.contains(b) { return true }
        }
        return false
    }

    private enum SourceVerdict {
        /// `isOnLink`: the source is reached directly, without a gateway.
        case accept(isOnLink: Bool)
        case drop(DropReason)
    }

    /// fib_validate_source: without a filter and without policy routing, only the node's own
    /// addresses are refused; else the way back to the source is looked up.
    private func checkSource(
        _ query: RouteQuery, _ interface: Interface, egress: InterfaceIndex
    ) -> SourceVerdict {
        let settings = interface.settings
        let mayRedirect = interface.index == egress && settings.sendRedirects
        if settings.reversePathFilter == 0 && !mayRedirect {
            if settings.acceptLocal { return .accept(isOnLink: false) }
            if !hasCustomRules && !hasCustomLocalRoutes {
                return ownsAddress(query.source)
                    ? .drop(.martianSource) : .accept(isOnLink: false)
            }
        }
        return lookUpReverse(query, interface, egress: egress)
    }

    private func lookUpReverse(
        _ query: RouteQuery, _ interface: Interface, egress: InterfaceIndex
    ) -> SourceVerdict {
        let settings = interface.settings
        var reversed = query
        reversed.source = query.destination
        reversed.destination = query.source
        reversed.outInterface = .none
        swap(&reversed.sourcePort, &reversed.destinationPort)
        reversed.mark = settings.sourceValidMark ? query.mark : 0
        let arriving = egress == .none ? loopback : egress
        let lastResort: SourceVerdict =
            settings.reversePathFilter == 0 ? .accept(isOnLink: false) : .drop(.reversePath)
        guard case .found(let route, let hop) = compiled.lookUp(reversed, arriving: arriving) else {
            return lastResort
        }
        if route.type != .unicast && !(route.type == .local && settings.acceptLocal) {
            return .drop(.martianSource)
        }
        if uses(interface.index, route) || (route.type == .local && interface.isLoopback) {
            return .accept(isOnLink: hop.gateway == nil)
        }
        if !hasAddress(interface.index) { return lastResort }
        if settings.reversePathFilter == 1 { return .drop(.reversePath) }
        reversed.outInterface = interface.index
        guard case .found(let route, let hop) = compiled.lookUp(reversed, arriving: arriving) else {
            return .accept(isOnLink: false)
        }
        return .accept(isOnLink: route.type == .unicast && hop.gateway == nil)
    }

    func uses(_ index: InterfaceIndex, _ route: CompiledRoute) -> Bool {
        for hop in route.nextHops where compiled.nextHops[hop].interface == index { return true }
        return false
    }

    private func hasAddress(_ index: InterfaceIndex) -> Bool {
        position(of: index).map { !addressRanges[$0].isEmpty } ?? false
    }
}
