// One immutable picture of the node's interfaces, addresses, policy rules and routes. The packet
// path holds one of these and replaces it at a batch boundary; nothing in it ever changes.
//
// Look-ups follow net/ipv4/fib_rules.c, fib_trie.c, fib_semantics.c and route.c. Not done here:
// VRFs, tunnel encapsulation, IPv6 gateways, and the choice among equal default routes by the state
// of their neighbours (fib_select_default).

import Wire

/// The node's routing, as plain data plus the look-ups on it.
public final class RoutingSnapshot: Sendable {
    /// Sorted by index.
    public let interfaces: ContiguousArray<Interface>
    /// Interface by interface, each in the kernel's order.
    public let addresses: ContiguousArray<InterfaceAddress>
    /// In order of priority.
    public let rules: [PolicyRule]
    public let routes: [Route]
    /// net.ipv4.ip_forward. What decides about a packet is the arriving interface's own setting.
    public let forwardsByDefault: Bool

    let compiled: CompiledRouting
    /// Parallel to `interfaces`: where each one's addresses stand.
    let addressRanges: ContiguousArray<Range<Int>>
    let loopback: InterfaceIndex
    /// A rule or a local route of the person's own makes the kernel's short cut for sources unsafe
    /// (fib_validate_source, full_check).
    let hasCustomRules: Bool
    let hasCustomLocalRoutes: Bool
    let localTable: Int?
    /// Whether arriving packets show rules their protocol and ports: only while some rule that is
    /// not for `lo` alone asks for them (fib_rule_requires_fldissect).
    let dissectsArriving: Bool

    public init(
        interfaces: some Sequence<Interface>, addresses: some Sequence<InterfaceAddress>,
        rules: [PolicyRule] = PolicyRule.defaults, routes: [Route], forwardsByDefault: Bool = true
    ) {
        let sorted = ContiguousArray(interfaces.sorted { $0.index < $1.index })
        var flat = ContiguousArray<InterfaceAddress>()
        var ranges = ContiguousArray<Range<Int>>()
        let grouped = Dictionary(grouping: addresses) { $0.interface }
        for interface in sorted {
            let start = flat.count
            flat.append(contentsOf: grouped[interface.index] ?? [])
            ranges.append(start..<flat.count)
        }
        self.interfaces = sorted
        self.addresses = flat
        self.rules = rules
        self.routes = routes
        self.forwardsByDefault = forwardsByDefault
        addressRanges = ranges
        loopback = sorted.first { $0.isLoopback }?.index ?? InterfaceIndex(rawValue: 1)
        hasCustomRules =
            rules.count != 3 || rules.map(\.action) != PolicyRule.defaults.map(\.action)
        hasCustomLocalRoutes = routes.contains {
            $0.type == .local && $0.origin != Route.kernelOrigin
        }
        dissectsArriving = rules.contains { rule in
            let looks = rule.ipProtocol != nil || rule.sourcePorts != nil
            return (looks || rule.destinationPorts != nil)
                && (rule.inInterface == nil || rule.inInterface != InterfaceName("lo"))
        }
        let selection = AddressSelection(interfaces: sorted, addresses: flat, ranges: ranges)
        compiled = CompiledRouting(
            rules: rules, routes: routes, interfaces: sorted, selectAddress: selection.select)
        localTable = compiled.tables.firstIndex { $0.id == RouteTable.local }
    }

    /// A node without interfaces: every look-up finds no route.
    public static let empty = RoutingSnapshot(interfaces: [], addresses: [], routes: [])

    /// O(log interfaces); copies a plain value.
    public func interface(_ index: InterfaceIndex) -> Interface? {
        position(of: index).map { interfaces[$0] }
    }

    public func interface(named name: InterfaceName) -> Interface? {
        interfaces.first { $0.name == name }
    }

    /// The name as rules compare it; the empty name where there is no such interface.
    public func name(of index: InterfaceIndex) -> InterfaceName {
        position(of: index).map { interfaces[$0].name } ?? InterfaceName()
    }

    /// The addresses of one interface, in the kernel's order.
    public func addresses(of index: InterfaceIndex) -> ArraySlice<InterfaceAddress> {
        guard let position = position(of: index) else { return [] }
        return ArraySlice(addresses[addressRanges[position]])
    }

    func position(of index: InterfaceIndex) -> Int? { interfaces.position(of: index) }
}

extension RoutingSnapshot {
    /// Whether both say the same about everything.
    public func isSame(as other: RoutingSnapshot) -> Bool {
        interfaces == other.interfaces && addresses == other.addresses && rules == other.rules
            && routes == other.routes && forwardsByDefault == other.forwardsByDefault
    }
}
