// Which of its addresses the node uses (net/ipv4/devinet.c, inet_select_addr), and what kind of
// address a given one is.

import Wire

/// The addresses and interfaces that a selection looks at, apart from any route.
struct AddressSelection {
    let interfaces: ContiguousArray<Interface>
    let addresses: ContiguousArray<InterfaceAddress>
    let ranges: ContiguousArray<Range<Int>>

    /// The first primary address of the interface in the next hop's subnet, else its first one;
    /// failing that, the first of any interface that reaches further than a link.
    func select(
        _ index: InterfaceIndex, nextHop: IPv4Address?, scope: RouteScope
    ) -> IPv4Address? {
        if let position = interfaces.position(of: index) {
            let localnet = interfaces[position].settings.routeLocalnet
            var first: IPv4Address?
            for address in ranges[position] {
                let candidate = addresses[address]
                let reach = localnet ? min(candidate.scope, .link) : min(candidate.scope, .host)
                if candidate.isSecondary || reach > scope { continue }
                guard let nextHop else { return candidate.local }
                if candidate.subnet.contains(nextHop) { return candidate.local }
                if first == nil { first = candidate.local }
            }
            if let first { return first }
        }
        for address in addresses.indices {
            let candidate = addresses[address]
            if !candidate.isSecondary && candidate.scope != .link && candidate.scope <= scope {
                return candidate.local
            }
        }
        return nil
    }
}

extension ContiguousArray<Interface> {
    /// O(log n), on interfaces sorted by index.
    func position(of index: InterfaceIndex) -> Int? {
        var low = 0
        var high = count
        while low < high {
            let middle = (low + high) / 2
            if self[middle].index < index { low = middle + 1 } else { high = middle }
        }
        return low < count && self[low].index == index ? low : nil
    }
}

extension RoutingSnapshot {
    /// The source address with which MASQUERADE and REDIRECT speak on an interface; the route's own
    /// `src` is not consulted. `nil` where the node has none that reaches as far as `scope`.
    public func selectAddress(
        interface: InterfaceIndex, nextHop: IPv4Address?, scope: RouteScope = .universe
    ) -> IPv4Address? {
        AddressSelection(interfaces: interfaces, addresses: addresses, ranges: addressRanges)
            .select(interface, nextHop: nextHop, scope: scope)
    }

    /// inet_addr_type, or inet_dev_addr_type where an interface is given: `addrtype`'s question.
    /// The local table decides; a broadcast or local address of another interface is then unicast.
    public func addressType(
        _ address: IPv4Address, interface: InterfaceIndex? = nil
    ) -> AddressType {
        if address == .any || address.isLimitedBroadcast { return .broadcast }
        if address.isMulticast { return .multicast }
        guard let localTable else { return .unicast }
        let query = RouteQuery(source: .any, destination: address)
        guard case .found(let route, let hop) = compiled.search(table: localTable, query) else {
            return .unicast
        }
        if let interface, hop.interface != interface { return .unicast }
        return route.type
    }

    /// Whether the node owns the address on any interface (inet_lookup_ifaddr_rcu).
    public func ownsAddress(_ address: IPv4Address) -> Bool {
        for index in addresses.indices where addresses[index].local == address { return true }
        return false
    }
}
