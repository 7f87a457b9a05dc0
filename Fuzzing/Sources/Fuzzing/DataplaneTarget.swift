// Frames through a whole node: every hook, every rule, reassembly, answers, neighbours, the clock.

import Conntrack
import Hooks
import PacketIO
import Routing
import Ruleset
import Wire

@testable import Control
@testable import Dataplane

extension FuzzTarget {
    /// The first byte chooses the rules. Control's two low bits choose the port, 4 makes the segment one
    /// whose checksum is still to be made, 8 a super-frame.
    static let dataplane = FuzzTarget(
        name: "dataplane",
        seeds: seeds
    ) { bytes in
        var input = InputReader(bytes)
        let node = FuzzNode(FuzzRules.all[Int(input.u8()) % FuzzRules.all.count])
        while !input.isEmpty { node.receive(FrameInput(&input)) }
        node.finish()
    }

    private static var seeds: [[UInt8]] {
        FuzzRules.all.indices.flatMap { rules -> [[UInt8]] in
            let packets = [UInt8(0), 2].flatMap { forth in
                [
                    SeedPacket.conversation(forth: forth, back: 1),
                    SeedPacket.mixture(forth: forth, back: 1),
                ]
            }
            return packets.map { [UInt8(rules)] + SeedPacket.input($0) }
        }
    }
}

/// `eth0` 10.1.0.1/24, `eth1` 10.2.0.1/24 with a small MTU and a default route, `lo`, and the host port.
private final class FuzzNode: NeighbourResolver {
    private let dataplane: Dataplane
    private let ports: [MemoryPort]
    private var now = Timestamp(nanoseconds: 1_000_000_000_000)
    private static let mtu = 600
    private static let routes = makeRoutes()

    init(_ rules: Ruleset) {
        guard let compiled = try? CompiledRuleset(rules) else {
            fatalError("the rules compile")
        }
        let engine = HookEngine(
            rules: compiled, connections: ConnectionTable(capacity: 8, seed: 1),
            routes: Self.routes, seed: 1)
        engine.onLog = { _ = LoggedPacket($0, $1, Timestamp(nanoseconds: 0)) }
        engine.onRuleTrace = { _, _ in }
        engine.onPacketLog = { record, frame in
            let copied = CopiedPacket(record, frame, Timestamp(nanoseconds: 0))
            promise(
                copied.bytes.first.map { $0 >> 4 == 4 } == true, "what is copied begins with IPv4")
        }
        var configuration = Dataplane.Configuration()
        configuration.checksDestinationMAC = false
        configuration.fragmentBytes = 1 << 16
        dataplane = Dataplane(engine: engine, seed: 1, configuration: configuration)
        ports = [
            MemoryPort(interface: InterfaceIndex(rawValue: 2), name: "eth0"),
            MemoryPort(interface: InterfaceIndex(rawValue: 3), name: "eth1"),
            MemoryPort(interface: InterfaceIndex(rawValue: 9), name: "sluice0"),
            MemoryPort(interface: InterfaceIndex(rawValue: 1), name: "lo"),
        ]
        for (index, port) in ports.enumerated() {
            if index == 2 { dataplane.addHostPort(port) } else { dataplane.add(port) }
        }
        dataplane.resolver = self
        learn(IPv4Address(10, 1, 0, 2), 2)
        learn(IPv4Address(10, 2, 0, 2), 3)
    }

    private func learn(_ address: IPv4Address, _ interface: UInt32) {
        dataplane.apply(
            NeighbourUpdate(
                interface: InterfaceIndex(rawValue: interface), address: address,
                mac: MACAddress(rawValue: 0x0200_0000_0009), state: .reachable), now: now)
    }

    /// Answers half of the addresses that it is asked for.
    func probe(_ interface: InterfaceIndex, _ address: IPv4Address) {
        probed.append((interface, address))
    }
    private var probed: [(InterfaceIndex, IPv4Address)] = []

    private static func makeRoutes() -> RoutingSnapshot {
        var settings = InterfaceSettings()
        settings.forwarding = true
        settings.sendRedirects = true
        let lo = InterfaceIndex(rawValue: 1)
        let eth0 = InterfaceIndex(rawValue: 2)
        let eth1 = InterfaceIndex(rawValue: 3)
        let interfaces = [
            Interface(
                index: lo, name: InterfaceName("lo")!, mtu: 65536,
                flags: [.up, .loopback, .running], settings: settings),
            Interface(
                index: eth0, name: InterfaceName("eth0")!,
                mac: MACAddress(rawValue: 0x0200_0000_0001), settings: settings),
            Interface(
                index: eth1, name: InterfaceName("eth1")!,
                mac: MACAddress(rawValue: 0x0200_0000_0004), mtu: mtu, settings: settings),
        ]
        let addresses = [
            InterfaceAddress(interface: lo, local: .loopback, prefixLength: 8, scope: .host),
            InterfaceAddress(interface: eth0, local: IPv4Address(10, 1, 0, 1), prefixLength: 24),
            InterfaceAddress(interface: eth1, local: IPv4Address(10, 2, 0, 1), prefixLength: 24),
        ]
        let byDefault = Route(
            prefix: .any, length: 0,
            nextHops: [NextHop(interface: eth1, gateway: IPv4Address(10, 2, 0, 2))])
        return RoutingSnapshot(
            interfaces: interfaces, addresses: addresses,
            routes: Route.derived(interfaces: interfaces, addresses: addresses) + [byDefault])
    }

    func receive(_ input: FrameInput) {
        now = Timestamp(nanoseconds: now.nanoseconds + input.pause)
        ports[Int(input.control & 3)].inject(input.frame, offload: offload(input))
        dataplane.step(now: now)
        for (interface, address) in probed where address.rawValue & 1 == 0 {
            learn(address, interface.rawValue)
        }
        probed = []
        look()
    }

    /// What a virtio header would say, as far as it fits the frame.
    private func offload(_ input: FrameInput) -> OffloadHeader {
        guard input.control & 12 != 0,
            case .packet(let view) = input.frame.withRawSpan({ PacketView.parse($0) }),
            view.transport == .tcp || view.transport == .udp
        else { return .none }
        var offload = OffloadHeader.none
        offload.needsChecksum = true
        offload.checksumStart = UInt16(view.transportOffset)
        offload.checksumOffset = view.transport == .tcp ? 16 : 6
        if input.control & 8 != 0, view.transport == .tcp {
            offload.segmentationType = 1
            offload.segmentSize = 500
            offload.headerLength = UInt16(view.transportOffset + 20)
        }
        return offload
    }

    /// Whatever leaves is a sound IPv4 packet that fits its link.
    private func look() {
        for (index, port) in ports.enumerated() {
            for sent in port.sent { check(sent, mtu: index == 1 ? Self.mtu : 65536) }
            port.sent = []
        }
    }

    private func check(_ sent: SentFrame, mtu: Int) {
        guard case .packet(let view) = sent.bytes.withRawSpan({ PacketView.parse($0) }) else {
            fatalError("broken promise: what is sent parses")
        }
        promise(
            view.totalLength <= mtu || sent.metadata.offload.isSuperFrame,
            "a packet of \(view.totalLength) bytes left by a link of \(mtu)")
    }

    func finish() {
        let counters = OfflineRun.run(dataplane, from: now)
        look()
        for origin in PacketOrigin.allCases {
            promise(counters[origin].waiting == 0, "every frame has one fate")
        }
    }
}
