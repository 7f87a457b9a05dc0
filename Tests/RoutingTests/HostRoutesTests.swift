import Foundation
import Netlink
import Routing
import Testing
import Wire

@Suite struct HostRoutesPlanTests {
    static let hostPort = InterfaceIndex(rawValue: 9)

    @Test("a node without policy routing gets one rule and one mirror")
    func plain() throws {
        let plan = HostRoutes.plan(
            snapshot: try TwoLegs.snapshot(), hostPort: Self.hostPort, table: 5000,
            adopted: [TwoLegs.outside, TwoLegs.bridge])
        var rule = PolicyRule(priority: 100, action: .lookup(table: 5000))
        rule.inInterface = InterfaceName("lo")
        rule.origin = HostRoutes.origin
        #expect(plan.rules == [rule] && plan.precedingRules.isEmpty)
        let byPrefix = Dictionary(
            uniqueKeysWithValues: plan.routes.map {
                ("\($0.prefix.address)/\($0.prefixLength)", $0)
            })
        let way = try #require(byPrefix["0.0.0.0/0"])
        #expect(way.nextHops == [NextHop(interface: Self.hostPort)])
        #expect(way.preferredSource == IPv4Address(192, 0, 2, 1) && way.mtu == 1500)
        #expect(byPrefix["10.0.0.0/24"]?.preferredSource == IPv4Address(10, 0, 0, 254))
        #expect(byPrefix["224.0.0.0/4"]?.type == .throw)
        #expect(byPrefix["255.255.255.255/32"]?.type == .throw)
    }

    @Test("routes by interfaces that are not adopted stay with the kernel")
    func partly() throws {
        let plan = HostRoutes.plan(
            snapshot: try TwoLegs.snapshot(), hostPort: Self.hostPort, table: 5000,
            adopted: [TwoLegs.bridge])
        let way = try #require(plan.routes.first { $0.prefixLength == 0 })
        #expect(
            way.nextHops == [
                NextHop(
                    interface: TwoLegs.outside, gateway: IPv4Address(192, 0, 2, 254), flags: .onlink
                )
            ])
    }

    @Test("an inverted rule becomes a way past and a look-up for everything else")
    func inverted() throws {
        var rule = PolicyRule(priority: 50, action: .lookup(table: RouteTable.main))
        rule.mark = 7
        rule.markMask = .max
        rule.isInverted = true
        let plan = HostRoutes.plan(
            snapshot: try TwoLegs.snapshot(rules: PolicyRule.defaults + [rule]),
            hostPort: Self.hostPort, table: 5000, adopted: [TwoLegs.outside])
        // Ahead of priority 50, since that rule would otherwise take the packets first.
        #expect(plan.rules.allSatisfy { $0.priority < 50 && !$0.isInverted })
        let past = try #require(plan.rules.first { $0.markMask == .max })
        #expect(past.action == .goto(priority: past.priority + 2))
        #expect(plan.rules.contains { $0.priority == past.priority + 1 && $0.markMask == 0 })
    }

    @Test("the changes from one plan to the next touch only what differs")
    func changes() throws {
        let adopted: Set = [TwoLegs.outside, TwoLegs.bridge]
        let plan = { (snapshot: RoutingSnapshot) in
            HostRoutes.plan(
                snapshot: snapshot, hostPort: Self.hostPort, table: 5000, adopted: adopted)
        }
        let extra = Route(
            prefix: IPv4Address(10, 5, 0, 0), length: 16,
            nextHops: [NextHop(interface: TwoLegs.bridge, gateway: IPv4Address(10, 0, 0, 5))])
        let first = plan(try TwoLegs.snapshot())
        let second = plan(try TwoLegs.snapshot(extra: [extra]))
        let there = HostRoutes.changes(from: first, to: second)
        #expect(there.setRoutes.map(\.prefix) == [extra.prefix])
        #expect(there.addRules.isEmpty && there.deleteRules.isEmpty && there.deleteRoutes.isEmpty)
        let back = HostRoutes.changes(from: second, to: first)
        #expect(back.deleteRoutes.map(\.prefix) == [extra.prefix] && back.setRoutes.isEmpty)
        #expect(HostRoutes.changes(from: first, to: first).isEmpty)
    }
}

/// The kernel's answers about its own packets before and after the plan.
@Suite(.enabled(if: PrivateNamespace.isAvailable, "needs root for a namespace of its own"))
struct HostRoutesKernelTests {
    @Test("with the plan in place the node's own packets keep their source, MTU and errors")
    func randomPlans() throws {
        let seed = KernelComparisonTests.seed
        print("host routes seed: \(seed)")
        var routed = 0
        for round in 0..<10 as Range<UInt64> {
            let report = try PrivateNamespace.run { try Self.compare(seed: seed &+ round) }
            #expect(report.differences.isEmpty, "seed \(seed) round \(round): \(report.text)")
            routed += report.routed
        }
        #expect(routed > 300, "seed \(seed)")
    }

    private static func compare(seed: UInt64) throws -> KernelComparisonTests.Report {
        var world = RandomRouting(seed: seed)
        world.nextHopLimit = 1
        world.onlinkShare = 100
        world.firstPriority = 30
        // The first rule separates the local from the main table for good.
        try PrivateNamespace.ip("rule add pref 9 lookup 9\nrule del pref 9")
        try PrivateNamespace.ip("tuntap add sluice0 mode tap\nlink set sluice0 arp off up")
        let (mirror, requests) = try KernelComparisonTests.populate(&world, settings: 0)
        let snapshot = mirror.snapshot
        let name = try #require(InterfaceName("sluice0"))
        let hostPort = try #require(snapshot.interface(named: name)).index
        let adopted = Set(
            world.interfaces.filter { !$0.isLoopback && $0.index != hostPort }.map(\.index)
                .prefix(4))
        let questions = (0..<400).map { _ in
            var query = world.query(snapshot, arriving: false)
            query.outInterface = .none
            // Whether 127.0.0.1 may leave is a setting of the interface, the port's included.
            if query.source.isLoopback { query.source = .any }
            return query
        }
        let before = try questions.map { try requests.lookUp($0) }
        let plan = HostRoutes.plan(
            snapshot: snapshot, hostPort: hostPort, table: 5000, adopted: adopted)
        let refused = requests.apply(HostRoutes.changes(from: HostRoutes.Plan(), to: plan))
        var report = KernelComparisonTests.Report()
        report.differences = refused.map(\.description)
        for (query, old) in zip(questions, before) {
            let new = try requests.lookUp(query)
            let sources = [old.preferredSource, new.preferredSource].compactMap { $0 }
            // An address that is also a broadcast cannot be a route's source; and 127.0.0.1 as above.
            if sources.contains(where: { $0.isLoopback || snapshot.addressType($0) != .local }) {
                continue
            }
            let wanted = expected(old, snapshot, adopted: adopted, hostPort: hostPort)
            if wanted.outInterface == hostPort { report.routed += 1 }
            if wanted != withoutTable(new) {
                report.differences.append(
                    "\(query.source) > \(query.destination): \(wanted) \(new)")
            }
        }
        try takeBack(requests, mirror, snapshot, &report)
        for (query, old) in zip(questions, before) where try requests.lookUp(query) != old {
            report.differences.append("\(query.destination) is routed differently afterwards")
        }
        return report
    }

    /// The mirror must not have seen Sluice's own rules and routes, and all of them must go.
    private static func takeBack(
        _ requests: NetlinkRequests, _ mirror: NetlinkMirror, _ snapshot: RoutingSnapshot,
        _ report: inout KernelComparisonTests.Report
    ) throws {
        _ = try mirror.process()
        if mirror.snapshot.rules != snapshot.rules || mirror.snapshot.routes != snapshot.routes {
            report.differences.append("the mirror shows Sluice's own rules or routes")
        }
        try requests.removeHostRoutes()
        if try requests.rules() != snapshot.rules {
            report.differences.append("rules are left behind")
        }
    }

    private static func expected(
        _ old: KernelRoute, _ snapshot: RoutingSnapshot, adopted: Set<InterfaceIndex>,
        hostPort: InterfaceIndex
    ) -> KernelRoute {
        var wanted = withoutTable(old)
        guard old.error == 0, old.type == .unicast, adopted.contains(old.outInterface) else {
            return wanted
        }
        wanted.mtu = old.mtu ?? snapshot.interface(old.outInterface)?.mtu
        wanted.outInterface = hostPort
        wanted.gateway = nil
        return wanted
    }

    private static func withoutTable(_ route: KernelRoute) -> KernelRoute {
        var route = route
        route.table = 0
        return route
    }
}
