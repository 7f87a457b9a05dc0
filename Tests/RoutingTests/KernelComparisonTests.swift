import Foundation
import Netlink
import Routing
import Testing
import Wire

/// The kernel answers the same questions as the snapshot: over random rules, tables and packets.
@Suite(.enabled(if: PrivateNamespace.isAvailable, "needs root for a namespace of its own"))
struct KernelComparisonTests {
    static let rounds = 12
    static let packets = 1500

    static var seed: UInt64 {
        ProcessInfo.processInfo.environment["SLUICE_TEST_SEED"].flatMap { UInt64($0) }
            ?? UInt64.random(in: 1...1_000_000_000)
    }

    @Test("the kernel routes random packets over random rules and tables as the snapshot does")
    func randomRouting() throws {
        let seed = Self.seed
        print("routing comparison seed: \(seed)")
        for round in 0..<Self.rounds {
            let report = try PrivateNamespace.run {
                try Self.compare(seed: seed &+ UInt64(round), settings: round)
            }
            #expect(report.differences.isEmpty, "seed \(seed) round \(round): \(report.text)")
            // Most of the questions must have been real ones.
            #expect(report.routed > Self.packets / 20, "seed \(seed) round \(round)")
        }
    }

    struct Report: Sendable {
        var differences: [String] = []
        var routed = 0
        var text: String {
            "\(differences.count) differences\n" + differences.prefix(8).joined(separator: "\n")
        }
    }

    private static func compare(seed: UInt64, settings: Int) throws -> Report {
        var world = RandomRouting(seed: seed)
        let (mirror, requests) = try populate(&world, settings: settings)
        var report = Report()
        let snapshot = mirror.snapshot
        for number in 0..<packets {
            let arriving = number % 2 == 0
            let query = world.query(snapshot, arriving: arriving)
            let kernel = try requests.lookUp(query)
            if kernel.error == 0 { report.routed += 1 }
            let difference =
                arriving
                ? inputDifference(snapshot, query, kernel)
                : outputDifference(snapshot, query, kernel)
            if let difference { report.differences.append("\(describe(query)) \(difference)") }
        }
        if try !followsAlong(mirror) {
            report.differences.append("the followed picture differs from a fresh one")
        }
        return report
    }

    /// A link's carrier settles in its own time; a picture read between two messages is read again.
    private static func followsAlong(_ mirror: NetlinkMirror) throws -> Bool {
        for _ in 0..<10 {
            _ = try mirror.process()
            if try NetlinkMirror().snapshot.isSame(as: mirror.snapshot) { return true }
        }
        return false
    }

    /// Fills the namespace, following along, and counts on nothing but the kernel's own state.
    static func populate(
        _ world: inout RandomRouting, settings: Int
    ) throws -> (NetlinkMirror, NetlinkRequests) {
        try PrivateNamespace.ip(RandomRouting.links)
        try PrivateNamespace.set("ip_forward", 1)
        try PrivateNamespace.set("conf/all/rp_filter", settings % 3)
        let mirror = try NetlinkMirror()
        let requests = try NetlinkRequests()
        world.interfaces = Array(mirror.snapshot.interfaces)
        for interface in world.interfaces where world.chance(25) && !interface.isLoopback {
            let setting = world.pick([
                "accept_local", "route_localnet", "rp_filter", "src_valid_mark",
            ])
            try PrivateNamespace.set("conf/\(interface.name)/\(setting)", 1)
        }
        for _ in 0..<14 { attempt { try requests.addAddress(world.interfaceAddress()) } }
        _ = try mirror.process()
        if world.chance(80) {
            for _ in 0..<10 {
                let rule = world.rule()
                attempt { try requests.addRule(rule) }
            }
        }
        for route in world.routes(60, mirror.snapshot) {
            attempt { try requests.addRoute(route) }
        }
        _ = try mirror.process()
        _ = try mirror.refreshSettings()
        return (mirror, requests)
    }

    /// Random requests contradict each other at times; the kernel then refuses, which is fine.
    private static func attempt(_ change: () throws -> Void) {
        do { try change() } catch {}
    }

    /// ip_route_input, as far as the kernel tells of it. The kernel's own hash chooses among the
    /// nexthops of a multipath route, and with them the result of the reverse look-up.
    private static func inputDifference(
        _ snapshot: RoutingSnapshot, _ query: RouteQuery, _ kernel: KernelRoute
    ) -> String? {
        if query.destination.isMulticast { return nil }
        for step in 0..<64 {
            var hashed = query
            hashed.flowHash = UInt32(step) << 26
            if agrees(snapshot.resolveInput(hashed), kernel) { return nil }
        }
        return "kernel \(describe(kernel)) sluice \(snapshot.resolveInput(query))"
    }

    private static func agrees(_ verdict: InputVerdict, _ kernel: KernelRoute) -> Bool {
        switch verdict {
        case .drop(.reversePath), .drop(.martianSource), .drop(.martianDestination):
            [EINVAL, EXDEV].contains(kernel.error)
        case .drop: kernel.error == EHOSTUNREACH
        case .unreachable(let kind): kernel.error == errno(kind)
        case .local(let decision):
            kernel.error == 0 && kernel.type == (decision.kind == .local ? .local : .broadcast)
        case .forward(let decision, _): isSame(decision, kernel)
        case .multicast: true
        }
    }

    private static func outputDifference(
        _ snapshot: RoutingSnapshot, _ query: RouteQuery, _ kernel: KernelRoute
    ) -> String? {
        // An address on two interfaces: the kernel's hash table decides which one a group goes to.
        if query.destination.isMulticast && query.source != .any { return nil }
        for step in 0..<64 {
            var hashed = query
            hashed.flowHash = UInt32(step) << 26
            let decision = snapshot.route(output: hashed)
            if kernel.error != 0 {
                if errno(decision.kind) == kernel.error { return nil }
            } else if isSame(decision, kernel)
                && (query.source != .any || decision.preferredSource == kernel.preferredSource)
            {
                return nil
            }
        }
        return "kernel \(describe(kernel)) sluice \(snapshot.route(output: query))"
    }

    private static func isSame(_ decision: RouteDecision, _ kernel: KernelRoute) -> Bool {
        let mtu = decision.kind == .unicast ? kernel.mtu ?? decision.mtu : decision.mtu
        return kernel.error == 0 && decision.outInterface == kernel.outInterface
            && decision.gateway == kernel.gateway && decision.mtu == mtu
            && type(of: decision.kind) == kernel.type
    }

    private static func describe(_ query: RouteQuery) -> String {
        "\(query.source) > \(query.destination) iif \(query.inInterface.rawValue) "
            + "oif \(query.outInterface.rawValue) mark \(query.mark) "
            + "tos \(query.typeOfService) uid \(query.userID) proto \(query.ipProtocol.rawValue) "
            + "dport \(query.destinationPort):"
    }

    private static func describe(_ route: KernelRoute) -> String {
        if route.error != 0 { return "errno \(route.error)" }
        return "\(route.type.map { "\($0)" } ?? "?") dev \(route.outInterface.rawValue) "
            + "via \(route.gateway?.description ?? "-") src "
            + "\(route.preferredSource?.description ?? "-") mtu \(route.mtu ?? 0) "
            + "table \(route.table)"
    }

    private static func type(of kind: RouteKind) -> RouteType {
        switch kind {
        case .local: .local
        case .broadcast: .broadcast
        case .multicast: .multicast
        default: .unicast
        }
    }

    private static func errno(_ kind: RouteKind) -> Int32 {
        switch kind {
        case .noRoute: ENETUNREACH
        case .unreachable: EHOSTUNREACH
        case .prohibit: EACCES
        case .unicast, .local, .broadcast, .multicast: 0
        default: EINVAL
        }
    }
}
