import NamespaceFixture
import PacketIO
import Routing
import Testing
import Wire

@testable import Offload

@Suite("The road of an interface") struct RoadTests {
    @Test(
        "is XDP for hardware, tc where sockets are, and tc where XDP cannot be",
        arguments: [
            (RoadChoice.tc, InterfaceKind.device, true, false, Road.Hook.tc),
            (.xdp, .device, true, false, .xdp),
            (.xdp, .veth, true, false, .xdp),
            (.xdp, .bridge, false, false, .tc),
            (.xdp, .device, true, true, .tc),
            (.auto, .device, true, false, .xdp),
            (.auto, .device, false, false, .tc),
            (.auto, .device, true, true, .tc),
            (.auto, .veth, true, false, .tc),
            (.auto, .tun, true, false, .tc),
        ])
    func choice(
        choice: RoadChoice, kind: InterfaceKind, runsXDP: Bool, hasTags: Bool, hook: Road.Hook
    ) {
        let road = Road.choose(choice, kind: kind, runsXDP: runsXDP, hasTags: hasTags)
        #expect(road.hook == hook)
    }

    @Test(
        "is tc, with the reason, where somebody else has the interface's XDP hook",
        .enabled(if: isRoot, needsRoot))
    func occupied() throws {
        let site = try Site()
        try site.namespace.inside {
            let first = try CarryingPlane(site, rules: rules, at: .xdp)
            let plane = try Plane(site, rules: rules)
            let programs = try NodePrograms()
            let offload = try FlowOffload(plane.dataplane, sharing: programs, capacity: 1)
            let port = try PacketPort(interface: "outer", filter: offload.tapFilter)
            let claim = try offload.join(port, Road(hook: .xdp, reason: "asked for"))
            let road = try #require(offload.roads[site.outer])
            #expect(road.hook == .tc)
            #expect(road.reason.contains("another XDP program"), "\(road.reason)")
            #expect(first.offload.roads[site.outer]?.hook == .xdp)
            offload.leave([site.outer])
            claim.detach()
        }
    }
}
