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
    }

    public let description: RoadDescription
    let kind: Kind

    public var name: String { description.name }

    var isDirect: Bool {
        if case .direct = kind { return true }
        return false
    }

    /// Whether the node is to change addresses. Around it nothing changes them, and is known by the same test.
    var translates: Bool { true }

    private init(_ name: String, _ title: String, _ kind: Kind) {
        description = RoadDescription(name: name, title: title)
        self.kind = kind
    }

    public static let control = Road("direct", "no node", .direct)
    public static let reference = Road("iptables", "kernel, iptables", .iptables)

    public static let all = [
        control, reference,
        Road("nftables", "kernel, nftables", .nftables),
        Road("af-packet", "Sluice, AF_PACKET", .sluice(["--io", "af-packet"])),
        Road("af-xdp", "Sluice, AF_XDP", .sluice(["--io", "af-xdp"])),
        Road("tc", "Sluice, offload at tc", .sluice(["--offload", "tc"])),
        Road("xdp", "Sluice, offload in XDP", .sluice(["--offload", "xdp"])),
    ]
}

/// A road that packets can take now.
struct OpenRoad {
    private let kind: Road.Kind
    private var service: Service?

    /// As many connections as the kernel's own table has room for, unless somebody set it otherwise.
    private static let capacity = "262144"

    init(_ road: Road, _ lab: HeldLab, rules: NodeRules) throws(LabError) {
        kind = road.kind
        switch kind {
        case .direct: break
        case .iptables: try Self.tool("iptables-restore").apply(rules.iptables)
        case .nftables: try Self.tool("nft", ["-f", "-"]).apply(rules.nftables)
        case .sluice(let options):
            let file = try lab.keep("bench.rules", rules.iptables)
            let words = [
                try ownBinary(), "run", "--interface", "n0", "--interface", "n1",
                "--rules", file, "--capacity", Self.capacity,
            ]
            service = try Placement.on(Placement.node) { () throws(LabError) in
                try lab.start(words + options, ready: "sluice: ready")
            }
        }
    }

    /// Why nothing gets through any more, where that is known.
    var obstacle: String? {
        guard let service, service.hasEnded else { return nil }
        return
            "the daemon has ended: \(service.said.split(separator: "\n").last ?? "without a word")"
    }

    /// Leaves the node without rules, connections or daemon.
    func close() throws(LabError) {
        service?.stop()
        guard case .iptables = kind else {
            if case .nftables = kind { try Self.flush() }
            return
        }
        try Self.flush()
    }

    private static func flush() throws(LabError) {
        try tool("nft", ["flush", "ruleset"]).apply("")
        try tool("conntrack", ["-F"]).apply("")
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
