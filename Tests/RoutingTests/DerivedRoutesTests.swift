import Routing
import Testing
import Wire

/// What `ip route show table all` printed after the same addresses were added in a namespace.
@Suite("Routes that follow from addresses")
struct DerivedRoutesTests {
    private static let lo = Interface(
        index: InterfaceIndex(rawValue: 1), name: InterfaceName(), flags: [.up, .loopback])
    private static let eth0 = Interface(index: InterfaceIndex(rawValue: 2), name: InterfaceName())

    private func derived(_ addresses: InterfaceAddress...) -> [String] {
        Route.derived(interfaces: [Self.lo, Self.eth0], addresses: addresses).map { route in
            let source = route.preferredSource.map { "\($0)" } ?? "none"
            return
                "\(route.type) \(route.prefix.address)/\(route.prefixLength) table \(route.table)"
                + " src \(source)"
        }.sorted()
    }

    private func address(
        _ address: IPv4Address, _ length: Int, on interface: Interface = eth0,
        isSecondary: Bool = false
    ) -> InterfaceAddress {
        InterfaceAddress(
            interface: interface.index, local: address, prefixLength: length,
            isSecondary: isSecondary)
    }

    @Test("a subnet, its broadcast address, and the address itself")
    func subnet() {
        #expect(
            derived(address(IPv4Address(10, 0, 0, 1), 24)) == [
                "broadcast 10.0.0.255/32 table 255 src 10.0.0.1",
                "local 10.0.0.1/32 table 255 src 10.0.0.1",
                "unicast 10.0.0.0/24 table 254 src 10.0.0.1",
            ])
    }

    @Test("only the subnet that begins at 0.0.0.0 has no route")
    func zeroNetwork() {
        #expect(
            derived(address(IPv4Address(0, 1, 0, 1), 24), address(IPv4Address(0, 0, 0, 5), 24)) == [
                "broadcast 0.1.0.255/32 table 255 src 0.1.0.1",
                "local 0.0.0.5/32 table 255 src 0.0.0.5",
                "local 0.1.0.1/32 table 255 src 0.1.0.1",
                "unicast 0.1.0.0/24 table 254 src 0.1.0.1",
            ])
    }

    @Test("a secondary speaks as its primary")
    func secondary() {
        #expect(
            derived(
                address(IPv4Address(10, 0, 0, 1), 31),
                address(IPv4Address(10, 0, 0, 0), 31, isSecondary: true)) == [
                    "local 10.0.0.0/32 table 255 src 10.0.0.1",
                    "local 10.0.0.1/32 table 255 src 10.0.0.1",
                    "unicast 10.0.0.0/31 table 254 src 10.0.0.1",
                ])
    }

    @Test("the loopback has broadcast addresses too; a single address has nothing around it")
    func loopback() {
        #expect(
            derived(
                address(.loopback, 8, on: Self.lo),
                address(IPv4Address(10, 3, 0, 1), 32, on: Self.lo)
            ) == [
                "broadcast 127.255.255.255/32 table 255 src 127.0.0.1",
                "local 10.3.0.1/32 table 255 src 10.3.0.1",
                "local 127.0.0.0/8 table 255 src 127.0.0.1",
                "local 127.0.0.1/32 table 255 src 127.0.0.1",
            ])
    }
}
