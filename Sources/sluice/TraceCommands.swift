// `sluice trace` and `sluice explain`: the client's half.

import ArgumentParser
import Control
import FoundationEssentials

func asArgument(_ request: some Encodable) throws -> [String] {
    [String(decoding: try JSONEncoder().encode(request), as: UTF8.self)]
}

struct TraceCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "trace", abstract: "Show packets live, step by step.")

    @Argument(help: "A filter as tcpdump takes it; without one every packet is shown.")
    var filter: [String] = []
    @Option(help: ArgumentHelp("Stop after so many packets.", valueName: "number")) var count: Int?
    @Flag(help: "One JSON object a packet.") var json = false
    @Option(help: networkNamespaceHelp) var netns: String?

    func run() throws {
        if let count, count < 1 {
            throw Refusal("--count \(count): expected a number from 1 on")
        }
        let request = TraceRequest(
            filter: filter.joined(separator: " "), count: count, json: json)
        try askDaemon("trace", asArgument(request), networkNamespace: netns)
    }
}

struct ExplainCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "explain",
        abstract: "Show what would become of a packet, without sending it.",
        discussion: """
            A packet is described as tcpdump prints one:
              tcp 10.1.0.2:40000 > 10.1.0.1:8080 S
              udp 10.1.0.2:5353 > 10.1.0.1:53 length 100
              icmp 10.1.0.2 > 10.1.0.1 echo id 7
            with ttl, tos, mark, user, group and length where they matter.
            """)

    @Option(
        name: .customLong("in"),
        help: ArgumentHelp(
            "The interface it comes in on; without one it is a packet of the node's own.",
            valueName: "interface"))
    var interface: String?
    @Argument(help: "The packet in words.") var packet: [String]
    @Flag(help: "The steps as one JSON array.") var json = false
    @Option(help: networkNamespaceHelp) var netns: String?

    func run() throws {
        let request = ExplainRequest(
            interface: interface, packet: packet.joined(separator: " "), json: json)
        try askDaemon("explain", asArgument(request), networkNamespace: netns)
    }
}
