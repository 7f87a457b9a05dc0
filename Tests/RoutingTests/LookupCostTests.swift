import CAllocationCount
import Routing
import Testing
import Wire

@Suite struct LookupCostTests {
    @Test(
        "no look-up that a packet makes allocates",
        .enabled(if: sluice_counts_allocations(), "a sanitizer owns malloc"))
    func allocations() throws {
        let snapshot = try TwoLegs.snapshot()
        var neighbours = NeighbourTable()
        neighbours.apply(
            NeighbourUpdate(
                interface: TwoLegs.bridge, address: IPv4Address(10, 0, 0, 1),
                mac: MACAddress(rawValue: 1), state: .reachable))
        let measure = {
            (neighbours: borrowing NeighbourTable) -> (packets: Int, allocations: UInt64) in
            var packets = 0
            let before = sluice_allocation_count()
            // A `for` over a range would allocate in a debug build.
            var last: UInt32 = 0
            while last < 200 {
                last += 1
                let client = IPv4Address(rawValue: 0xC633_6400 + last)
                let backend = IPv4Address(rawValue: 0x0A00_0000 + last)
                let arriving = RouteQuery(
                    source: client, destination: backend, inInterface: TwoLegs.outside)
                if case .forward = snapshot.resolveInput(arriving) { packets += 1 }
                let leaving = RouteQuery(source: .any, destination: client)
                if snapshot.route(output: leaving).kind == .unicast { packets += 1 }
                if snapshot.selectAddress(interface: TwoLegs.bridge, nextHop: backend) != nil {
                    packets += 1
                }
                if snapshot.addressType(backend) == .unicast { packets += 1 }
                if snapshot.name(of: TwoLegs.bridge) != InterfaceName() { packets += 1 }
                if neighbours.mac(interface: TwoLegs.bridge, address: backend) != nil {
                    packets += 1
                }
            }
            return (packets, sluice_allocation_count() - before)
        }
        // The first round pays for what the runtime sets up once.
        _ = measure(neighbours)
        let result = measure(neighbours)
        #expect(result.allocations == 0)
        #expect(result.packets > 900)
    }
}
