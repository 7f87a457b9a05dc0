import Routing
import Testing
import Wire

@Suite("The way back, as rules ask for it")
struct ReversePathTests {
    private func leadsBack(
        _ source: IPv4Address, in interface: InterfaceIndex = TwoLegs.outside,
        to destination: IPv4Address = IPv4Address(10, 0, 0, 1), mark: UInt32 = 0,
        loose: Bool = false,
        validMark: Bool = false, acceptLocal: Bool = false,
        _ snapshot: RoutingSnapshot? = nil
    ) throws -> Bool {
        let query = RouteQuery(
            source: source, destination: destination, inInterface: interface, mark: mark)
        return try (snapshot ?? TwoLegs.snapshot()).leadsBack(
            query, loose: loose, validMark: validMark, acceptLocal: acceptLocal)
    }

    @Test("a source is reached through the interface it came from, or with --loose through any")
    func interface() throws {
        #expect(try leadsBack(IPv4Address(192, 0, 2, 7)))
        #expect(try leadsBack(IPv4Address(198, 51, 100, 7)))
        #expect(try !leadsBack(IPv4Address(10, 0, 0, 7)))
        #expect(try leadsBack(IPv4Address(10, 0, 0, 7), loose: true))
        #expect(try leadsBack(IPv4Address(10, 0, 0, 7), in: TwoLegs.bridge))
        #expect(try leadsBack(IPv4Address(10, 0, 0, 7), in: TwoLegs.lo))
    }

    @Test("the node's own addresses are sources with --accept-local only, on their own interface")
    func ownAddress() throws {
        let own = IPv4Address(10, 0, 0, 254)
        #expect(try !leadsBack(own, in: TwoLegs.bridge, loose: true))
        #expect(try leadsBack(own, in: TwoLegs.bridge, acceptLocal: true))
        #expect(try !leadsBack(own, acceptLocal: true))
        #expect(try leadsBack(own, loose: true, acceptLocal: true))
    }

    @Test("a host without an address may speak to everybody on its link")
    func unspecified() throws {
        #expect(try leadsBack(.any, to: IPv4Address(255, 255, 255, 255)))
        #expect(try leadsBack(.any, to: IPv4Address(224, 0, 0, 18)))
        #expect(try !leadsBack(.any, in: TwoLegs.bridge, to: IPv4Address(10, 0, 0, 1)))
    }

    @Test("rules see the mark with --validmark only")
    func marks() throws {
        var rule = PolicyRule(priority: 100, action: .lookup(table: 7))
        rule.mark = 5
        rule.markMask = .max
        let snapshot = try TwoLegs.snapshot(
            rules: [rule] + PolicyRule.defaults,
            extra: [
                Route(
                    table: 7, prefix: .any, length: 0,
                    nextHops: [NextHop(interface: TwoLegs.bridge)])
            ])
        let source = IPv4Address(198, 51, 100, 7)
        #expect(try leadsBack(source, mark: 5, snapshot))
        #expect(try !leadsBack(source, mark: 5, validMark: true, snapshot))
    }

    @Test("a link without carrier still counts, whatever forwarding makes of it")
    func carrier() throws {
        var settings = TwoLegs.forwarding
        settings.ignoreRoutesWithLinkDown = true
        let route = Route(
            prefix: IPv4Address(203, 0, 113, 0), length: 24,
            nextHops: [NextHop(interface: TwoLegs.bridge, flags: .linkDown)])
        let snapshot = try TwoLegs.snapshot(extra: [route], settings: settings)
        let source = IPv4Address(203, 0, 113, 9)
        #expect(try leadsBack(source, in: TwoLegs.bridge, snapshot))
        #expect(
            snapshot.route(output: RouteQuery(source: .any, destination: source)).gateway != nil)
    }
}
