// The ways that packets can take. A road is a name and how the node is brought up for it; a new one is a line in
// `Road.all`.

public import Benchmark
import Glibc
import Lab

public struct Road: Sendable {
    enum Kind: Sendable {
        /// From the client to the server without a node: the load by itself.
        case direct
        case iptables
        case nftables
        /// `sluice run` with these options.
        case sluice([String])
        /// A program that moves frames and changes no addresses but Ethernet's.
        case forwarder(Forwarder)
    }

    public let description: RoadDescription
    let kind: Kind

    /// Taken without being asked for by name.
    public let isUsual: Bool

    public var name: String { description.name }

    private init(_ name: String, _ title: String, _ kind: Kind, isUsual: Bool = true) {
        description = RoadDescription(name: name, title: title)
        self.kind = kind
        self.isUsual = isUsual
    }

    /// What becomes of addresses on the way, and so what a client must ask for.
    var translation: Course.Translation {
        switch kind {
        case .direct: .noNode
        case .iptables, .nftables, .sluice: .both
        case .forwarder: .none
        }
    }

    public static let control = Road("direct", "no node", .direct)
    public static let reference = Road("iptables", "kernel, iptables", .iptables)

    public static let all = [
        control, reference,
        Road("nftables", "kernel, nftables", .nftables),
        Road("af-packet", "Sluice, AF_PACKET", .sluice(["--io", "af-packet"])),
        Road(
            "af-packet-poll", "Sluice, AF_PACKET, busy polling", .sluice(["--busy-poll", "100"]),
            isUsual: false),
        Road("af-xdp", "Sluice, AF_XDP", .sluice(["--io", "af-xdp"])),
        Road("tc", "Sluice, offload at tc", .sluice(["--offload", "tc"])),
        Road("xdp", "Sluice, offload in XDP", .sluice(["--offload", "xdp"])),
        Road(
            "bare-packet", "bare forwarder, AF_PACKET", .forwarder(.bare("packet")), isUsual: false),
        Road("bare-xdp", "bare forwarder, AF_XDP", .forwarder(.bare("xdp")), isUsual: false),
        Road(
            "testpmd-packet", "DPDK testpmd, net_af_packet", .forwarder(.testpmd("net_af_packet")),
            isUsual: false),
        Road(
            "testpmd-xdp", "DPDK testpmd, net_af_xdp", .forwarder(.testpmd("net_af_xdp")),
            isUsual: false),
    ]
}

/// A road that packets can take now.
struct OpenRoad {
    private let kind: Road.Kind
    private var service: Service?

    /// As many connections as the kernel's own table has room for, unless somebody set it otherwise.
    private static let capacity = "262144"

    init(_ road: Road, _ network: BenchmarkNetwork, rules: NodeRules) throws(LabError) {
        let lab = network.lab
        kind = road.kind
        // A forwarder's frames must not be forwarded by the kernel as well.
        try lab.set("net/ipv4/ip_forward", road.translation == .none ? "0" : "1", in: lab.home)
        switch kind {
        case .direct: break
        case .iptables, .nftables:
            // Whoever makes rules must be able to take them away again.
            for name in ["nft", "conntrack"] { _ = try Self.tool(name) }
            if case .iptables = kind {
                try Self.tool("iptables-restore").apply(rules.iptables)
            } else {
                try Self.tool("nft", ["-f", "-"]).apply(rules.nftables)
            }
        case .sluice(let options):
            let file = try lab.keep("bench.rules", rules.iptables)
            let words = [
                try ownBinary(), "run", "--interface", "n0", "--interface", "n1",
                "--rules", file, "--capacity", Self.capacity,
            ]
            service = try Placement.on(Placement.node) { () throws(LabError) in
                try lab.start(words + options, ready: "sluice: ready")
            }
        case .forwarder(let forwarder):
            let words = try forwarder.words(network)
            service = try Placement.on(forwarder.processors) { () throws(LabError) in
                try lab.start(words, ready: forwarder.ready)
            }
        }
    }

    /// Why nothing gets through any more, where that is known.
    var obstacle: String? {
        guard let service, service.hasEnded else { return nil }
        return
            "the program has ended: \(service.said.split(separator: "\n").last ?? "without a word")"
    }

    /// Leaves the node without rules, connections and programs.
    func close() throws(LabError) {
        service?.stop()
        switch kind {
        case .iptables, .nftables:
            try Self.tool("nft", ["flush", "ruleset"]).apply("")
            try Self.tool("conntrack", ["-F"]).apply("")
        case .direct, .sluice, .forwarder: break
        }
    }

    private static func tool(_ name: String, _ arguments: [String] = []) throws(LabError) -> Tool {
        guard let tool = SystemTool(name) else { throw LabError("needs \(name)") }
        return Tool(tool: tool, arguments: arguments)
    }

    private struct Tool {
        var tool: SystemTool
        var arguments: [String]

        func apply(_ input: String) throws(LabError) {
            let outcome = try tool.run(arguments, input: input)
            guard outcome.status == 0 else {
                throw LabError("\(tool.path) failed: \(outcome.errors)")
            }
        }
    }
}
