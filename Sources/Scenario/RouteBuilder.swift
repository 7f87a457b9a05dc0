// Routes added one after the other, each checked against those that are there, as the kernel checks them
// (net/ipv4/fib_semantics.c, fib_check_nh and fib_valid_prefsrc; fib_trie.c, fib_table_insert). Policy rules are
// added behind the routes: a rule that refuses packets to a gateway refuses no route by it.

import Routing
import Wire

struct RouteBuilder {
    private let interfaces: [Interface]
    private let addresses: [InterfaceAddress]
    private let forwards: Bool
    private var routes: [Route]
    private var snapshot: RoutingSnapshot

    init(interfaces: [Interface], addresses: [InterfaceAddress], forwards: Bool) {
        self.interfaces = interfaces
        self.addresses = addresses
        self.forwards = forwards
        routes = Route.derived(interfaces: interfaces, addresses: addresses)
        snapshot = RoutingSnapshot(
            interfaces: interfaces, addresses: addresses, routes: routes,
            forwardsByDefault: forwards)
    }

    /// All routes, under the policy rules that were added behind them.
    func snapshot(rules: [PolicyRule]) -> RoutingSnapshot {
        RoutingSnapshot(
            interfaces: interfaces, addresses: addresses, rules: rules, routes: routes,
            forwardsByDefault: forwards)
    }

    /// - Throws: at column 1, since it is the whole route that does not fit.
    mutating func add(_ route: Route) throws(WordFault) {
        var route = route
        for index in route.nextHops.indices { try resolve(&route.nextHops[index], of: route) }
        if let source = route.preferredSource, snapshot.addressType(source) != .local {
            throw WordFault(column: 1, message: "src \(source) is no address of the node")
        }
        let isTaken = routes.contains {
            $0.table == route.table && $0.prefix == route.prefix
                && $0.typeOfService == route.typeOfService && $0.metric == route.metric
        }
        guard !isTaken else {
            throw WordFault(
                column: 1,
                message: "there is a route of the same prefix, table, TOS and metric already")
        }
        routes.append(route)
        snapshot = snapshot(rules: PolicyRule.defaults)
    }

    /// A gateway must be on a link; which one, the routes so far say.
    private func resolve(_ hop: inout NextHop, of route: Route) throws(WordFault) {
        guard let gateway = hop.gateway else { return }
        if hop.flags.contains(.onlink) {
            guard hop.interface != .none else {
                throw WordFault(column: 1, message: "onlink needs dev")
            }
            return
        }
        guard route.scope < .link else {
            throw WordFault(column: 1, message: "a route with a gateway cannot have scope link")
        }
        let named = hop.interface
        let found = snapshot.route(
            output: RouteQuery(source: .any, destination: gateway, outInterface: .none))
        let isDirect =
            found.kind == .local || (found.kind == .unicast && found.gateway == nil)
        if named == .none {
            guard isDirect, found.kind == .unicast || owner(of: gateway) != nil else {
                throw unreachable(gateway)
            }
            hop.interface = owner(of: gateway) ?? found.outInterface
            return
        }
        guard covers(named, gateway) else { throw unreachable(gateway) }
    }

    private func owner(of address: IPv4Address) -> InterfaceIndex? {
        addresses.first { $0.local == address }?.interface
    }

    /// Whether a route without a gateway leads to the address on that interface.
    private func covers(_ interface: InterfaceIndex, _ address: IPv4Address) -> Bool {
        routes.contains { route in
            [.unicast, .local].contains(route.type) && route.prefix.contains(address)
                && route.nextHops.contains { $0.interface == interface && $0.gateway == nil }
        }
    }

    private func unreachable(_ gateway: IPv4Address) -> WordFault {
        WordFault(column: 1, message: "the gateway \(gateway) is on no link")
    }
}
