// The routes that follow from addresses alone (net/ipv4/fib_frontend.c, fib_add_ifaddr). A live node
// reads them from its kernel; captures and examples have no kernel to ask.

import Wire

extension Route {
    /// The local, broadcast and subnet routes of these addresses on interfaces that are up.
    public static func derived(
        interfaces: some Sequence<Interface>, addresses: some Sequence<InterfaceAddress>
    ) -> [Route] {
        let byIndex = Dictionary(interfaces.map { ($0.index, $0) }) { first, _ in first }
        let all = Array(addresses)
        return all.flatMap { address -> [Route] in
            guard let interface = byIndex[address.interface], interface.isUp else { return [] }
            // What belongs to a secondary speaks as the primary of its subnet (inet_ifa_byprefix).
            let primary = all.first {
                !$0.isSecondary && $0.interface == address.interface && $0.subnet == address.subnet
            }
            return derived(from: address, speakingAs: primary ?? address, on: interface)
        }
    }

    private static func derived(
        from address: InterfaceAddress, speakingAs primary: InterfaceAddress,
        on interface: Interface
    ) -> [Route] {
        let host = { (destination: IPv4Address, type: RouteType) in
            Route(
                table: RouteTable.local, prefix: destination, length: 32, type: type,
                scope: type == .local ? .host : .link, origin: kernelOrigin,
                preferredSource: primary.local, nextHops: [NextHop(interface: interface.index)])
        }
        var routes = [host(address.local, .local)]
        if let broadcast = address.broadcast, !broadcast.isLimitedBroadcast {
            routes.append(host(broadcast, .broadcast))
        }
        let subnet = address.subnet
        let reachesBeyond = address.prefixLength < 32 || address.peer != address.local
        guard !address.isSecondary, subnet.address != .any, reachesBeyond else {
            return routes
        }
        routes.append(
            Route(
                table: interface.isLoopback ? RouteTable.local : RouteTable.main,
                prefix: subnet.address, length: address.prefixLength,
                type: interface.isLoopback ? .local : .unicast,
                scope: interface.isLoopback ? .host : .link, origin: kernelOrigin,
                preferredSource: address.local,
                nextHops: [NextHop(interface: interface.index)]))
        if address.prefixLength < 31 {
            let last = IPv4Address(rawValue: subnet.address.rawValue | ~subnet.mask)
            if last != address.broadcast { routes.append(host(last, .broadcast)) }
        }
        return routes
    }
}
