// The rules that kube-proxy writes, and those that Sluice writes of the same objects, carrying packets: each flow of its own test suite reaches the endpoints that
// it names, masqueraded or not as it says, through Sluice and through the kernel.

import Foundation
import FrameFixture
import KernelPath
import KubeProxyFixture
import NamespaceFixture
import Ruleset
import Scenario
import Testing
import Wire

/// Whose rules carry the packets.
enum RuleWriter: String, CaseIterable, Sendable {
    case kubeProxy, sluice

    func rules(_ subject: KubeProxyCase) throws -> String {
        switch self {
        case .kubeProxy: try subject.givenRules()
        case .sluice:
            try subject.madeRules().saved(
                date: "Sat Nov 21 02:32:44 2026", resolver: SystemNameResolver())
        }
    }
}

@Suite(
    "Flows through kube-proxy's rules",
    .enabled(if: !KubeProxyCase.withFlows.isEmpty, "the shared cases are not here"))
struct KubeProxyFlowTests {
    /// How many connections each engine carries per flow.
    static let connections = 24

    @Test(
        "reach every endpoint they may, and no other, offline",
        arguments: KubeProxyCase.withFlows, RuleWriter.allCases)
    func offline(_ subject: KubeProxyCase, _ writer: RuleWriter) throws {
        let rules = try writer.rules(subject)
        for flow in try subject.flows() {
            var reached: Set<String> = []
            // A node each: the rules of a service with session affinity send a client where it was before.
            for seed in 0..<UInt64(Self.connections) {
                let node = try OfflineNode(
                    Case(topology: Self.topology, rules: rules, seed: seed))
                let packet = Self.packet(of: flow, port: 40000 + UInt16(seed))
                let outcome = try node.inject(packet)
                reached.formUnion(try Self.check(outcome, of: flow))
            }
            #expect(reached == Self.endpoints(of: flow), "\(flow.name)")
        }
    }

    @Test(
        "reach what they may on the kernel too, by the same decision",
        .enabled(if: isRoot, needsRoot), arguments: KubeProxyCase.withFlows)
    func onTheKernel(_ subject: KubeProxyCase) throws {
        let kernel = try KernelNode(Self.topology, rules: try subject.givenRules())
        for flow in try subject.flows() {
            for number in 0..<UInt16(Self.connections) {
                let packet = Self.packet(of: flow, port: 40000 + number)
                let reached = try Self.check(try kernel.inject(packet), of: flow)
                #expect(reached.isSubset(of: Self.endpoints(of: flow)), "\(flow.name)")
            }
        }
    }

    private static func endpoints(of flow: KubeProxyCase.Flow) -> Set<String> {
        Set(flow.output.split(separator: ", ").map(String.init).filter { $0.contains(":") })
    }

    /// What a connection's first packet led to must be one of what the flow allows.
    ///
    /// - Returns: the endpoint that it reached, if any.
    private static func check(
        _ outcome: Outcome, of flow: KubeProxyCase.Flow
    ) throws -> Set<String> {
        let frames = outcome.emissions.compactMap { emission -> PacketView? in
            guard case .wire = emission.place else { return nil }
            return parsed(emission.bytes)
        }
        switch flow.output {
        case "REJECT":
            // KUBE-SERVICES and its kin refuse with a plain REJECT: port unreachable, to the client.
            #expect(frames.map(\.icmpType) == [3] && frames.map(\.icmpCode) == [3], "\(flow.name)")
            #expect(frames.map { "\($0.destination)" } == [flow.sourceIP], "\(flow.name)")
            return []
        case "DROP":
            #expect(outcome.emissions.isEmpty, "\(flow.name)")
            return []
        case "":
            #expect(frames.isEmpty, "\(flow.name)")
            return []
        default:
            let view = try #require(frames.first, "\(flow.name): nothing was sent")
            #expect(frames.count == 1 && view.protocol == .tcp, "\(flow.name)")
            // Masqueraded is what leaves with the egress's own address instead of the client's.
            let isMasqueraded = view.source == IPv4Address(10, 255, 0, 1)
            #expect(isMasqueraded == flow.masq, "\(flow.name): from \(view.source)")
            #expect(isMasqueraded || "\(view.source)" == flow.sourceIP, "\(flow.name)")
            return ["\(view.destination):\(view.destinationPort)"]
        }
    }

    /// The node 192.168.0.2 of those cases: `eth0` to the world, `pods` to its own pod 10.0.0.2, `cluster` to
    /// all endpoints.
    static let topology = Topology(
        links: [
            .init(
                name: "eth0", mac: MACAddress(rawValue: 0x0200_0000_0001),
                addresses: [LinkAddress(IPv4Address(192, 168, 0, 2), prefixLength: 24)]),
            .init(
                name: "pods", mac: MACAddress(rawValue: 0x0200_0000_0002),
                addresses: [LinkAddress(IPv4Address(10, 0, 0, 1), prefixLength: 24)]),
            .init(
                name: "cluster", mac: MACAddress(rawValue: 0x0200_0000_0003),
                addresses: [LinkAddress(IPv4Address(10, 255, 0, 1), prefixLength: 24)]),
        ],
        routes: ["default via 192.168.0.1 dev eth0", "10.0.0.0/8 via 10.255.0.2 dev cluster"],
        neighbours: [
            .init(
                address: IPv4Address(192, 168, 0, 1), mac: MACAddress(rawValue: 0x0200_0000_0011),
                link: "eth0"),
            .init(
                address: IPv4Address(10, 0, 0, 2), mac: MACAddress(rawValue: 0x0200_0000_0012),
                link: "pods"),
            .init(
                address: IPv4Address(10, 255, 0, 2), mac: MACAddress(rawValue: 0x0200_0000_0013),
                link: "cluster"),
        ],
        // As kube-proxy sets it for node ports on localhost; and every refused packet draws its error.
        settings: [
            "net.ipv4.conf.all.route_localnet": "1", "net.ipv4.icmp_ratelimit": "0",
            "net.ipv4.icmp_msgs_per_sec": "1000000", "net.ipv4.icmp_msgs_burst": "1000000",
        ])

    private static func packet(of flow: KubeProxyCase.Flow, port: UInt16) -> CasePacket {
        guard let source = IPv4Address(flow.sourceIP), let destination = IPv4Address(flow.destIP)
        else { preconditionFailure("a flow names IPv4 addresses") }
        var frame = TestFrame(source: source, destination: destination)
            .tcp(port, flow.destPort, .syn)
        // Of the node are its own address, localhost, and a balancer's address that it bears as well.
        if source == destination || source == IPv4Address(192, 168, 0, 2) {
            return CasePacket(origin: .node(), bytes: Array(frame.bytes[14...]))
        }
        let link = flow.sourceIP.hasPrefix("10.") ? topology.links[1] : topology.links[0]
        frame.targetMAC = link.mac
        return CasePacket(origin: .wire(link: link.name), bytes: frame.bytes)
    }
}
