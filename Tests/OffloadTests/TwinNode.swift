// Two data planes with the same rules: one walks every packet, the other lets the programs in the kernel carry what
// they would, run by BPF_PROG_TEST_RUN. Both get the same frames, and must send and remember the same.

import CBPF
import CFlowABI
import Conntrack
import Dataplane
import Foundation
import Hooks
import NamespaceFixture
import PacketIO
import Routing
import Ruleset
import Testing
import Wire

@testable import Offload

/// One data plane between two memory ports.
final class Plane {
    let dataplane: Dataplane
    let outer: MemoryPort
    let inner: MemoryPort
    var ruleset: Ruleset

    init(_ site: Site, rules: String) throws {
        let outcome = IPTablesCommand.run(
            .restore, arguments: ["rules"], ruleset: Ruleset(),
            environment: CommandEnvironment(
                resolver: SystemNameResolver(), date: SystemDate.now(),
                readFile: { _ in .bytes(Array(rules.utf8)) }))
        ruleset = try #require(outcome.ruleset, "\(outcome.standardError)")
        var settings = ConntrackSettings()
        settings.acct = true
        let engine = HookEngine(
            rules: try CompiledRuleset(ruleset),
            connections: ConnectionTable(capacity: 64, settings: settings, seed: 7),
            routes: site.routes, seed: 8)
        dataplane = Dataplane(engine: engine, seed: 9)
        outer = MemoryPort(interface: site.outer, name: "outer")
        inner = MemoryPort(interface: site.inner, name: "inner")
        dataplane.add(outer)
        dataplane.add(inner)
        for (interface, address, mac) in [
            (site.outer, Site.client, Site.clientMAC), (site.inner, Site.server, Site.serverMAC),
        ] {
            dataplane.neighbours.apply(
                NeighbourUpdate(
                    interface: interface, address: address, mac: mac, state: .permanent))
        }
    }

    func port(_ interface: InterfaceIndex) -> MemoryPort {
        interface == outer.interface ? outer : inner
    }

    /// What it sends because of a frame: the interface and the bytes of each.
    func handle(_ frame: [UInt8], on interface: InterfaceIndex) -> [Emission] {
        outer.sent = []
        inner.sent = []
        port(interface).inject(frame)
        dataplane.step(now: MonotonicClock.now())
        return [outer, inner].flatMap { port in
            port.sent.map { Emission(interface: port.interface, bytes: $0.bytes) }
        }
    }

    var connections: ConnectionTable { dataplane.engine.connections }

    /// Everything about the connections but how long they still live.
    func portrait() -> [String] {
        var lines: [String] = []
        _ = connections.forEach(from: 0, limit: 64, now: MonotonicClock.now()) { record in
            var record = record
            record.timeout = Seconds(0)
            record.id = 0
            lines.append("\(record)")
        }
        return lines
    }

    func ruleCounters() -> [Counters] {
        var counted = ruleset
        dataplane.engine.rules.handOutCounters(to: &counted)
        return counted.tables.flatMap { table in
            table.chains.flatMap { [$0.counters] + $0.rules.map(\.counters) }
        }
    }
}

struct Emission: Equatable {
    var interface: InterfaceIndex
    var bytes: [UInt8]
}

/// A namespace with two interfaces, and what is where behind them.
final class Site {
    static let client = IPv4Address(192, 0, 2, 2)
    static let node = IPv4Address(192, 0, 2, 1)
    static let server = IPv4Address(10, 0, 0, 1)
    static let gateway = IPv4Address(10, 0, 0, 254)
    static let clientMAC = MACAddress(rawValue: 0x0200_0000_00C1)
    static let serverMAC = MACAddress(rawValue: 0x0200_0000_0051)

    let namespace: Namespace
    let outer: InterfaceIndex
    let inner: InterfaceIndex
    let macs: [InterfaceIndex: MACAddress]
    let routes: RoutingSnapshot

    init() throws {
        let namespace = try Namespace("offload")
        self.namespace = namespace
        // No frames of its own: the tap's filter, which runs for each of them, would take the test's note back.
        try namespace.shell(
            """
            sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
            ip link add outer type veth peer name o1
            ip link add inner type veth peer name i1
            for link in outer o1 inner i1; do ip link set $link up; done
            """)
        func index(_ name: String) throws -> InterfaceIndex {
            let text = try namespace.run("cat", "/sys/class/net/\(name)/ifindex")
            return InterfaceIndex(
                rawValue: try #require(UInt32(text.trimmingCharacters(in: .whitespacesAndNewlines)))
            )
        }
        let outer = try index("outer")
        let inner = try index("inner")
        self.outer = outer
        self.inner = inner
        let macs = [
            outer: try #require(MACAddress(try namespace.mac("outer"))),
            inner: try #require(MACAddress(try namespace.mac("inner"))),
        ]
        self.macs = macs
        var settings = InterfaceSettings()
        settings.forwarding = true
        let interfaces = [
            Interface(
                index: outer, name: InterfaceName("outer")!, mac: macs[outer], mtu: 1500,
                kind: .veth, link: InterfaceIndex(rawValue: 99), settings: settings),
            Interface(
                index: inner, name: InterfaceName("inner")!, mac: macs[inner], mtu: 1400,
                kind: .veth, link: InterfaceIndex(rawValue: 98), settings: settings),
        ].sorted { $0.index < $1.index }
        let addresses = [
            InterfaceAddress(interface: outer, local: Self.node, prefixLength: 24),
            InterfaceAddress(interface: inner, local: Self.gateway, prefixLength: 24),
        ].sorted { $0.interface < $1.interface }
        routes = RoutingSnapshot(
            interfaces: interfaces, addresses: addresses,
            routes: Route.derived(interfaces: interfaces, addresses: addresses))
    }
}

/// A data plane whose flows the programs carry.
final class CarryingPlane {
    let plane: Plane
    let offload: FlowOffload
    private let site: Site
    private let programs: NodePrograms
    private var claims: [Claim] = []
    private var ports: [PacketPort] = []
    private(set) var carried = 0
    private(set) var handedBack = 0
    private let hook: Road.Hook

    init(_ site: Site, rules: String, at hook: Road.Hook, capacity: Int = 16) throws {
        self.site = site
        self.hook = hook
        plane = try Plane(site, rules: rules)
        programs = try NodePrograms()
        offload = try FlowOffload(plane.dataplane, sharing: programs, capacity: capacity)
        for name in ["outer", "inner"] {
            let port = try PacketPort(interface: name, filter: offload.tapFilter)
            claims.append(try offload.join(port, Road(hook: hook, reason: "asked for")))
            ports.append(port)
            offload.follow(site.macs[port.interface]!, of: port.interface)
        }
        try #require(offload.roads.values.allSatisfy { $0.hook == hook }, "\(offload.roads)")
        offload.follow(takers: Set(offload.roads.keys))
    }

    deinit { for claim in claims { claim.detach() } }

    /// The way of a frame: to a program where some flow has its key, and else, or where that hands it back, to
    /// the data plane.
    func handle(_ frame: [UInt8], on interface: InterfaceIndex) throws -> [Emission] {
        defer { offload.service(now: MonotonicClock.now()) }
        if let which = which(frame, interface), let sent = try run(frame, interface, which) {
            carried += 1
            return [sent]
        }
        return plane.handle(frame, on: interface)
    }

    private func which(_ frame: [UInt8], _ interface: InterfaceIndex) -> UInt32? {
        guard frame.count >= 42, frame[14] == 0x45 else { return nil }
        let bytes = frame.span.bytes
        let isICMP = frame[23] == 1
        var key = sluice_flow_key(
            interface: interface.rawValue, source: bytes.u32(26).bigEndian,
            destination: bytes.u32(30).bigEndian,
            source_port: bytes.u16(isICMP ? 38 : 34).bigEndian,
            destination_port: bytes.u16(isICMP ? 34 : 36).bigEndian, protocol: UInt32(frame[23]))
        var name = sluice_flow_name()
        return bpf_map_lookup_elem(offload.programs.module.map("flow_keys"), &key, &name) == 0
            ? name.which : nil
    }

    /// Whether the program leaves the frame to the kernel while the daemon's heart does not beat.
    func passesWithoutHeartbeat(_ frame: [UInt8], on interface: InterfaceIndex) throws -> Bool {
        let which = try #require(self.which(frame, interface))
        programs.heartbeat.stop()
        if hook == .xdp { return try runXDP(frame, interface).verdict == XDP_PASS.rawValue }
        return try run(frame, which, interface).verdict == .max
    }

    /// `nil` where the program hands the frame back.
    private func run(
        _ frame: [UInt8], _ interface: InterfaceIndex, _ which: UInt32
    ) throws -> Emission? {
        programs.heartbeat.beat(at: MonotonicClock.now())
        let before = offload.statistics(interface)
        let (verdict, sent) =
            try hook == .tc ? run(frame, which, interface) : runXDP(frame, interface)
        let after = offload.statistics(interface)
        let isCarried: Bool
        if hook == .tc {
            // TC_ACT_REDIRECT
            try #require(verdict == 7, "neither carried nor handed back: \(verdict)")
            isCarried = after.tc.carried > before.tc.carried
            #expect(after.tc.handedBack == before.tc.handedBack + (isCarried ? 0 : 1))
        } else {
            isCarried = verdict == XDP_REDIRECT.rawValue
            try #require(isCarried || verdict == XDP_PASS.rawValue, "\(verdict)")
            let count = (after.xdp?.carried ?? 0) - (before.xdp?.carried ?? 0)
            #expect(count == (isCarried ? 1 : 0))
            #expect(isCarried || sent == frame, "changed, and passed")
        }
        guard isCarried else {
            handedBack += 1
            return nil
        }
        let out = interface == site.outer ? site.inner : site.outer
        return Emission(interface: out, bytes: sent)
    }

    private func runXDP(
        _ frame: [UInt8], _ interface: InterfaceIndex
    ) throws -> (verdict: UInt32, sent: [UInt8]) {
        var context = xdp_md()
        context.data_end = UInt32(frame.count)
        context.ingress_ifindex = interface.rawValue
        let module = try #require(offload.carriers[interface]).module
        return try Self.run(module.program("sluice_carry"), frame, &context)
    }

    private func run(
        _ frame: [UInt8], _ which: UInt32, _ interface: InterfaceIndex
    ) throws -> (verdict: UInt32, sent: [UInt8]) {
        var zero: UInt32 = 0
        var notes = [sluice_handoff](
            repeating: sluice_handoff(
                which: which, interface: interface.rawValue, length: UInt32(frame.count), unused: 0),
            count: Int(libbpf_num_possible_cpus()))
        let module = offload.programs.module
        try #require(bpf_map_update_elem(module.map("handoff"), &zero, &notes, 0) == 0)
        var context = __sk_buff()
        context.ifindex = interface.rawValue
        return try Self.run(module.program("sluice_offload"), frame, &context)
    }

    /// Has the kernel run the program on a frame.
    private static func run<Context>(
        _ program: Int32, _ frame: [UInt8], _ context: inout Context
    ) throws -> (verdict: UInt32, sent: [UInt8]) {
        var output = [UInt8](repeating: 0, count: 4096)
        var options = bpf_test_run_opts()
        let status = frame.withUnsafeBytes { input in
            output.withUnsafeMutableBytes { out in
                withUnsafeMutablePointer(to: &context) { context in
                    options.sz = MemoryLayout<bpf_test_run_opts>.size
                    options.data_in = input.baseAddress
                    options.data_size_in = UInt32(input.count)
                    options.data_out = out.baseAddress
                    options.data_size_out = UInt32(out.count)
                    options.ctx_in = UnsafeRawPointer(context)
                    options.ctx_size_in = UInt32(MemoryLayout<Context>.size)
                    return bpf_prog_test_run_opts(program, &options)
                }
            }
        }
        try #require(status == 0, "test run: \(status)")
        return (options.retval, Array(output.prefix(Int(options.data_size_out))))
    }
}
