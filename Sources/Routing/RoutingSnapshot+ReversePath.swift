// The way back to a packet's source, as `-m rpfilter` asks for it (net/ipv4/netfilter/ipt_rpfilter.c). It
// is not the interface's own filter: that one is `validateSource`.

import Wire

extension RoutingSnapshot {
    /// Whether a route back to `packet`'s source leads out of the interface that it came in on.
    ///
    /// - Parameters:
    ///   - loose: any interface will do.
    ///   - validMark: the packet's mark counts; otherwise rules see mark 0.
    ///   - acceptLocal: a source that is the node's own address passes.
    public func leadsBack(
        _ packet: RouteQuery, loose: Bool, validMark: Bool, acceptLocal: Bool
    ) -> Bool {
        guard let interface = interface(packet.inInterface) else { return false }
        if interface.isLoopback { return true }
        let (source, destination) = (packet.source, packet.destination)
        // A host that has no address yet speaks to everybody on its link.
        if source == .any && (destination.isLimitedBroadcast || destination.isLinkLocalMulticast) {
            return true
        }
        let hasOwner = !destination.isMulticast && !destination.isLimitedBroadcast
        var query = RouteQuery(
            source: hasOwner ? destination : .any, destination: source,
            mark: validMark ? packet.mark : 0, typeOfService: packet.typeOfService)
        query.ignoresLinkState = true
        guard case .found(let route, _) = compiled.lookUp(query, arriving: loopback) else {
            return false
        }
        guard route.type == .unicast || (route.type == .local && acceptLocal) else { return false }
        return loose || uses(interface.index, route)
    }
}

extension IPv4Address {
    /// 224.0.0.0/24, which routers do not pass on.
    var isLinkLocalMulticast: Bool { rawValue >> 8 == 0xE0_0000 }
}
