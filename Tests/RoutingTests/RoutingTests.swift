import Routing
import Testing
import Wire

/// A router with two legs and a default route, as values.
enum TwoLegs {
    static let lo = InterfaceIndex(rawValue: 1)
    static let outside = InterfaceIndex(rawValue: 2)
    static let bridge = InterfaceIndex(rawValue: 3)

    static func snapshot(
        rules: [PolicyRule] = PolicyRule.defaults, extra: [Route] = [],
        settings: InterfaceSettings = forwarding
    ) throws -> RoutingSnapshot {
        let interfaces = [
            Interface(
                index: lo, name: try #require(InterfaceName("lo")), mtu: 65536,
                flags: [.up, .loopback, .running, .lowerUp], settings: settings),
            Interface(
                index: outside, name: try #require(InterfaceName("eth0")), settings: settings),
            Interface(
                index: bridge, name: try #require(InterfaceName("br0")), kind: .bridge,
                settings: settings),
        ]
        let addresses = [
            InterfaceAddress(
                interface: lo, local: .loopback, prefixLength: 8, scope: .host),
            InterfaceAddress(
                interface: outside, local: IPv4Address(192, 0, 2, 1), prefixLength: 24,
                broadcast: IPv4Address(192, 0, 2, 255)),
            InterfaceAddress(
                interface: bridge, local: IPv4Address(10, 0, 0, 254), prefixLength: 24),
            InterfaceAddress(
                interface: bridge, local: IPv4Address(10, 0, 0, 253), prefixLength: 24,
                isSecondary: true),
        ]
        let way = Route(
            prefix: .any, length: 0,
            nextHops: [NextHop(interface: outside, gateway: IPv4Address(192, 0, 2, 254))])
        return RoutingSnapshot(
            interfaces: interfaces, addresses: addresses, rules: rules,
            routes: Route.derived(interfaces: interfaces, addresses: addresses) + [way] + extra)
    }

    static var forwarding: InterfaceSettings {
        var settings = InterfaceSettings()
        settings.forwarding = true
        return settings
    }
}

@Suite struct RoutingTests {
    let client = IPv4Address(198, 51, 100, 7)
    let backend = IPv4Address(10, 0, 0, 1)

    @Test("a client's packet to a backend is forwarded to it, and the answer to the gateway")
    func forwards() throws {
        let snapshot = try TwoLegs.snapshot()
        let there = snapshot.resolveInput(
            RouteQuery(source: client, destination: backend, inInterface: TwoLegs.outside))
        guard case .forward(let decision, let redirect) = there else {
            Issue.record("\(there)")
            return
        }
        #expect(decision.outInterface == TwoLegs.bridge && decision.nextHop == backend)
        #expect(decision.gateway == nil && decision.mtu == 1500 && !redirect)
        let back = snapshot.route(
            input: RouteQuery(source: backend, destination: client, inInterface: TwoLegs.bridge))
        #expect(back.outInterface == TwoLegs.outside)
        #expect(back.nextHop == IPv4Address(192, 0, 2, 254) && back.prefixLength == 0)
    }

    @Test("impossible addresses are martians, each with its reason")
    func martians() throws {
        let snapshot = try TwoLegs.snapshot()
        let verdict = { (source: IPv4Address, destination: IPv4Address) in
            snapshot.resolveInput(
                RouteQuery(
                    source: source, destination: destination, inInterface: TwoLegs.outside))
        }
        #expect(verdict(IPv4Address(224, 0, 0, 1), backend) == .drop(.martianSource))
        #expect(verdict(.broadcast, backend) == .drop(.martianSource))
        #expect(verdict(.loopback, backend) == .drop(.martianSource))
        #expect(verdict(.any, backend) == .drop(.martianSource))
        #expect(verdict(client, .loopback) == .drop(.martianDestination))
        #expect(verdict(client, .any) == .drop(.martianDestination))
        #expect(verdict(IPv4Address(10, 0, 0, 254), backend) == .drop(.martianSource))
    }
}
