// `-m multiport`: up to 15 places for ports, where a range takes two.

import Wire

struct MultiportParser: MatchParser {
    static let name = "multiport"
    static let options: [OptionSpec] = [
        OptionSpec("source-ports", 1, invertible: true, excludes: [2, 3]),
        OptionSpec("sports", 1, invertible: true, excludes: [2, 3]),
        OptionSpec("destination-ports", 2, invertible: true, excludes: [1, 3]),
        OptionSpec("dports", 2, invertible: true, excludes: [1, 3]),
        OptionSpec("ports", 3, invertible: true, excludes: [1, 2]),
    ]

    private static let transports: Set<UInt8> = [6, 17, 33, 132, 136]
    private var value: MultiportMatch?

    mutating func take(_ use: OptionUse, _ context: inout RuleContext) throws(CommandError) {
        try Self.checkTransport(context)
        let side: MultiportMatch.Side =
            switch use.spec.id {
            case 1: .source
            case 2: .destination
            default: .either
            }
        value = MultiportMatch(
            side: side, ports: try parsePorts(use.value, context), inverted: use.inverted)
    }

    private static func checkTransport(_ context: RuleContext) throws(CommandError) {
        guard let transport = context.protocol, transport.value.rawValue != 0 else {
            throw .parameter(
                "multiport needs `-p tcp', `-p udp', `-p udplite', `-p sctp' or `-p dccp'",
                expected: "-p before -m multiport")
        }
        guard !transport.inverted, transports.contains(transport.value.rawValue) else {
            throw .parameter("multiport only works with TCP, UDP, UDPLITE, SCTP and DCCP")
        }
    }

    private func parsePorts(
        _ text: String, _ context: RuleContext
    ) throws(CommandError) -> [PortRange] {
        var ports: [PortRange] = []
        var places = 0
        for item in text.split(separator: ",", omittingEmptySubsequences: false) {
            let ends = item.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            places += ends.count
            guard places <= 15 else {
                throw .parameter(
                    "too many ports specified", word: text,
                    expected: "15 ports at most, a range counting as two")
            }
            let first = try PortText.parse(
                String(ends[0]), transport: context.transport, context.resolver)
            guard ends.count == 2 else {
                ports.append(PortRange(first))
                continue
            }
            let last = try PortText.parse(
                String(ends[1]), transport: context.transport, context.resolver)
            guard first < last else {
                throw .parameter(
                    "invalid portrange specified", word: String(item),
                    expected: "the lower port first")
            }
            ports.append(PortRange(first, last))
        }
        return ports
    }

    func check(_ context: RuleContext) throws(CommandError) {
        guard value != nil else { throw .parameter("multiport expection an option") }
    }

    func match() -> Match {
        guard let value else { preconditionFailure("check() lets no empty multiport through") }
        return .multiport(value)
    }
}

extension MultiportMatch: ExtensionText {
    var extensionName: String { "multiport" }

    private var word: String {
        switch side {
        case .source: "sports"
        case .destination: "dports"
        case .either: "ports"
        }
    }

    var saved: String {
        let list = ports.map { PortText.range($0, separator: ":") }.joined(separator: ",")
        return (inverted ? " !" : "") + " --\(word) \(list)"
    }

    func listed(_ names: ListingNames) -> String {
        let list = ports.map { range in
            let first = names.port(range.first, transport: names.transport)
            guard range.first != range.last else { return first }
            return first + ":" + names.port(range.last, transport: names.transport)
        }
        return " multiport \(word) " + (inverted ? " !" : "") + list.joined(separator: ",")
    }
}
