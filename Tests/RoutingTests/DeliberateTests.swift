// Where the snapshot decides otherwise than the kernel on purpose: Docs/Differences.md.

import Routing
import Testing
import Wire

@Suite("Routing that differs on purpose")
struct DeliberateTests {
    private let far = IPv4Address(203, 0, 113, 9)

    private func way(_ hops: NextHop..., prefix: IPv4Address = IPv4Address(203, 0, 113, 0)) -> Route
    {
        Route(prefix: prefix, length: 24, nextHops: hops)
    }

    private func hop(_ last: UInt8) -> NextHop {
        NextHop(interface: TwoLegs.outside, gateway: IPv4Address(192, 0, 2, last))
    }

    private func decision(_ snapshot: RoutingSnapshot, flowHash: UInt32 = 0) -> RouteDecision {
        snapshot.route(
            input: RouteQuery(
                source: IPv4Address(10, 0, 0, 1), destination: far, inInterface: TwoLegs.bridge,
                flowHash: flowHash))
    }

    @Test("of several default routes of one metric the first is taken")
    func defaults() throws {
        let second = Route(prefix: .any, length: 0, nextHops: [hop(253)])
        let taken = decision(try TwoLegs.snapshot(extra: [second]))
        #expect(taken.nextHop == IPv4Address(192, 0, 2, 254))
    }

    @Test("a route via an IPv6 gateway is passed over")
    func gateways() throws {
        var foreign = hop(1)
        foreign.gateway = nil
        foreign.hasIPv6Gateway = true
        let snapshot = try TwoLegs.snapshot(extra: [way(foreign)])
        #expect(decision(snapshot).nextHop == IPv4Address(192, 0, 2, 254))
    }

    @Test("a flow stays with one nexthop of a multipath route, and flows take all of them")
    func multipath() throws {
        let snapshot = try TwoLegs.snapshot(extra: [way(hop(7), hop(8))])
        var taken = Set<IPv4Address>()
        for flow in 0..<64 as Range<UInt32> {
            let hash = flow &* 0x9E37_79B9
            let first = decision(snapshot, flowHash: hash)
            #expect(decision(snapshot, flowHash: hash) == first)
            taken.insert(first.nextHop)
        }
        #expect(taken == [IPv4Address(192, 0, 2, 7), IPv4Address(192, 0, 2, 8)])
    }

    @Test("the node's own packets by a multipath route have the first usable nexthop's source")
    func ownMultipath() throws {
        var dead = hop(7)
        dead.flags = .dead
        let inner = NextHop(interface: TwoLegs.bridge, gateway: IPv4Address(10, 0, 0, 7))
        let plan = HostRoutes.plan(
            snapshot: try TwoLegs.snapshot(extra: [way(dead, inner, hop(8))]),
            hostPort: InterfaceIndex(rawValue: 9), table: 5000,
            adopted: [TwoLegs.outside, TwoLegs.bridge])
        let mirrored = try #require(
            plan.routes.first { $0.prefix.address == IPv4Address(203, 0, 113, 0) })
        #expect(mirrored.preferredSource == IPv4Address(10, 0, 0, 254))
    }

    @Test("a policy rule of a VRF or a tunnel meets no packet")
    func foreignRules() throws {
        var rule = PolicyRule(priority: 50, action: .prohibit)
        rule.isForeign = true
        let snapshot = try TwoLegs.snapshot(rules: [rule] + PolicyRule.defaults)
        #expect(decision(snapshot).kind == .unicast)
    }
}
