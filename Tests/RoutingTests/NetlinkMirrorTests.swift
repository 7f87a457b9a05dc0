import Foundation
import Netlink
import Routing
import Testing
import Wire

@Suite(.enabled(if: PrivateNamespace.isAvailable, "needs root for a namespace of its own"))
struct NetlinkMirrorTests {
    private static let pair = """
        link add a0 type veth peer name b0
        link set a0 up
        link set b0 up
        address add 10.9.0.1/24 dev a0

        """

    private static func a0(_ mirror: NetlinkMirror) throws -> Interface {
        let name = try #require(InterfaceName("a0"))
        return try #require(mirror.snapshot.interface(named: name))
    }

    /// Collects changes until the condition holds; the descriptor is awaited, not the clock.
    private static func follow(
        _ mirror: NetlinkMirror, until done: (MirrorChange) -> Bool
    ) throws -> MirrorChange {
        var sum = MirrorChange()
        while true {
            let change = try mirror.process()
            if let routing = change.routing { sum.routing = routing }
            sum.neighbours += change.neighbours
            sum.addressesRemoved += change.addressesRemoved
            sum.interfacesGone += change.interfacesGone
            sum.interfacesDown += change.interfacesDown
            if done(sum) { return sum }
            var ready = pollfd(fd: mirror.fileDescriptor, events: Int16(POLLIN), revents: 0)
            guard unsafe poll(&ready, 1, 10_000) == 1 else { return sum }
        }
    }

    @Test("a probe of an absent neighbour is seen to fail, a present one becomes reachable")
    func neighbours() throws {
        let states = try PrivateNamespace.run { () -> [[NeighbourState]] in
            try PrivateNamespace.ip(Self.pair + "link set a0 address 02:00:00:00:00:01")
            let mirror = try NetlinkMirror()
            let requests = try NetlinkRequests()
            let a0 = try Self.a0(mirror)
            let present = IPv4Address(10, 9, 0, 7)
            let absent = IPv4Address(10, 9, 0, 8)
            try PrivateNamespace.set("neigh/a0/retrans_time_ms", 20)
            try requests.probe(absent, on: a0.index)
            let failed = try Self.follow(mirror) {
                $0.neighbours.contains { $0.address == absent && $0.state == .failed }
            }
            try requests.setNeighbour(present, on: a0.index, mac: MACAddress(rawValue: 2))
            let found = try Self.follow(mirror) {
                $0.neighbours.contains { $0.address == present }
            }
            try requests.forget(present, on: a0.index)
            let removed = try Self.follow(mirror) { $0.neighbours.contains(where: \.isRemoved) }
            return [
                failed.neighbours.filter { $0.address == absent }.map(\.state),
                found.neighbours.filter { $0.mac == MACAddress(rawValue: 2) }.map(\.state),
                removed.neighbours.filter(\.isRemoved).map(\.state),
            ]
        }
        #expect(states[0].last == .failed, "\(states)")
        #expect(states[1] == [.permanent])
        #expect(states[2].count == 1)
    }

    @Test("a removed address, a link that goes down and one that disappears are each reported")
    func removals() throws {
        struct Seen: Sendable {
            var addresses: [AddressOnInterface]
            var down: [InterfaceIndex]
            var gone: [InterfaceIndex]
            var a0: InterfaceIndex
            var routesLeft: Int
        }
        let seen = try PrivateNamespace.run { () -> Seen in
            try PrivateNamespace.ip(Self.pair + "route add 10.77.0.0/16 via 10.9.0.2\n")
            let mirror = try NetlinkMirror()
            let a0 = try Self.a0(mirror).index
            // Removed and added again between two wakeups: connections must still hear of it.
            try PrivateNamespace.ip(
                """
                address add 10.9.1.1/24 dev a0
                address del 10.9.1.1/24 dev a0
                """)
            let address = try Self.follow(mirror) { !$0.addressesRemoved.isEmpty }
            try PrivateNamespace.ip("link set a0 down")
            let down = try Self.follow(mirror) { $0.interfacesDown.contains(a0) }
            try PrivateNamespace.ip("link del a0")
            let gone = try Self.follow(mirror) { $0.interfacesGone.count == 2 }
            return Seen(
                addresses: address.addressesRemoved, down: down.interfacesDown,
                gone: gone.interfacesGone, a0: a0,
                routesLeft: mirror.snapshot.routes.filter { $0.table == RouteTable.main }.count)
        }
        #expect(
            seen.addresses == [
                AddressOnInterface(address: IPv4Address(10, 9, 1, 1), interface: seen.a0)
            ])
        #expect(seen.down.contains(seen.a0) && seen.gone.contains(seen.a0))
        // The route through a0 vanished without a message of its own.
        #expect(seen.routesLeft == 0)
    }

    @Test("settings combine with those of all as the kernel combines them, and are followed")
    func settings() throws {
        let seen = try PrivateNamespace.run { () -> [InterfaceSettings] in
            try PrivateNamespace.ip(Self.pair)
            try PrivateNamespace.set("ip_forward", 0)
            try PrivateNamespace.set("conf/all/rp_filter", 0)
            try PrivateNamespace.set("conf/a0/rp_filter", 1)
            let mirror = try NetlinkMirror()
            let first = try Self.a0(mirror).settings
            // Both draw a message (RTM_NEWNETCONF).
            try PrivateNamespace.set("conf/all/rp_filter", 2)
            try PrivateNamespace.set("ip_forward", 1)
            _ = try mirror.process()
            let second = try Self.a0(mirror).settings
            // These do not.
            try PrivateNamespace.set("conf/a0/accept_local", 1)
            try PrivateNamespace.set("conf/all/route_localnet", 1)
            _ = try mirror.refreshSettings()
            return [
                first, second, try Self.a0(mirror).settings,
            ]
        }
        #expect(seen[0].reversePathFilter == 1 && !seen[0].forwarding)
        #expect(seen[1].reversePathFilter == 2 && seen[1].forwarding)
        #expect(!seen[1].acceptLocal && !seen[1].routeLocalnet)
        #expect(seen[2].acceptLocal && seen[2].routeLocalnet)
    }

    @Test("a flood that overruns the socket ends in the same picture and table as a fresh dump")
    func overrun() throws {
        let result = try PrivateNamespace.run { () -> (Bool, Bool) in
            try PrivateNamespace.ip(Self.pair)
            let mirror = try NetlinkMirror()
            var table = NeighbourTable(capacity: 65536)
            let change = { (table: inout NeighbourTable, change: MirrorChange) in
                for update in change.neighbours { table.apply(update) }
            }
            change(&table, try mirror.process())
            let requests = try NetlinkRequests()
            let a0 = try Self.a0(mirror).index
            for round in 0..<20 as Range<UInt32> {
                for number in 0..<1000 as Range<UInt32> {
                    let address = IPv4Address(rawValue: 0x0A09_8000 + number)
                    try requests.setNeighbour(
                        address, on: a0, mac: MACAddress(rawValue: UInt64(round * 1000 + number)))
                    if number % 3 == round % 3 { try requests.forget(address, on: a0) }
                }
            }
            try requests.addAddress(
                InterfaceAddress(interface: a0, local: IPv4Address(10, 9, 3, 1), prefixLength: 24))
            var lost = false
            for _ in 0..<3 {
                let next = try mirror.process()
                lost = lost || next.wasResynchronised
                change(&table, next)
            }
            let fresh = try NetlinkMirror()
            var expected = NeighbourTable(capacity: 65536)
            change(&expected, try fresh.process())
            let same =
                table.count == expected.count
                && expected.entries.allSatisfy {
                    table.mac(interface: $0.interface, address: $0.address) == $0.mac
                }
            return (lost, same && fresh.snapshot.isSame(as: mirror.snapshot))
        }
        #expect(result.0, "the flood did not overrun the socket")
        #expect(result.1)
    }

    @Test("a refused request says what was asked and why the kernel refused")
    func errors() throws {
        let texts = try PrivateNamespace.run { () -> [String] in
            let requests = try NetlinkRequests()
            var texts: [String] = []
            let lo = InterfaceIndex(rawValue: 1)
            let attempts: [() throws -> Void] = [
                {
                    try requests.addRoute(
                        Route(
                            prefix: IPv4Address(10, 1, 0, 0), length: 16,
                            nextHops: [NextHop(interface: lo, gateway: IPv4Address(10, 2, 0, 1))]))
                },
                { try requests.deleteRule(PolicyRule(priority: 7, action: .lookup(table: 9))) },
                { try requests.setLink(InterfaceIndex(rawValue: 999), .init(up: true)) },
            ]
            for attempt in attempts {
                do { try attempt() } catch { texts.append("\(error)") }
            }
            return texts
        }
        #expect(
            texts == [
                "cannot add the unicast route 10.1.0.0/16 of table 254: "
                    + "Network is unreachable: Nexthop has invalid gateway",
                "cannot delete the routing rule with preference 7: No such file or directory",
                "cannot change the interface with index 999: No such device",
            ])
    }
}
