// `-m icmp --icmp-type`: by name (any unambiguous beginning), number, or number/code.

struct ICMPMatchParser: MatchParser {
    static let name = "icmp"
    static let options = [OptionSpec("icmp-type", 1, invertible: true, mandatory: true)]

    private var value = ICMPMatch(type: ICMPMatch.anyType)

    mutating func take(_ use: OptionUse, _ context: inout RuleContext) throws(CommandError) {
        let candidates = ICMPNames.all.filter { use.value.abbreviates($0.name) }
        if candidates.count > 1 {
            throw .parameter(
                "Ambiguous ICMP type `\(use.value)': `\(candidates[0].name)' or "
                    + "`\(candidates[1].name)'?", word: use.value, expected: "more of the name")
        }
        if let found = candidates.first {
            value = ICMPMatch(type: found.type, codes: found.codes, inverted: use.inverted)
        } else {
            value = try parseNumbers(use)
        }
    }

    private func parseNumbers(_ use: OptionUse) throws(CommandError) -> ICMPMatch {
        let parts = use.value.split(
            separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let type = CNumber.unsigned(parts[0], max: 255) else {
            throw .parameter(
                "Unknown ICMP type `\(use.value)'", word: use.value,
                expected: "a name, a type from 0 to 255, or type/code")
        }
        var codes: ClosedRange<UInt8> = 0...255
        if parts.count == 2 {
            guard let code = CNumber.unsigned(parts[1], max: 255) else {
                throw .parameter(
                    "Unknown ICMP code `\(use.value)'", word: use.value,
                    expected: "a code from 0 to 255 behind the slash")
            }
            codes = UInt8(code)...UInt8(code)
        }
        return ICMPMatch(type: UInt8(type), codes: codes, inverted: use.inverted)
    }

    func match() -> Match { .icmp(value) }
}

extension ICMPMatch: ExtensionText {
    var extensionName: String { "icmp" }

    private var hasCode: Bool { codes != 0...255 }

    var saved: String {
        let mark = inverted ? " !" : ""
        if type == Self.anyType { return mark + " --icmp-type any" }
        return mark + " --icmp-type \(type)" + (hasCode ? "/\(codes.lowerBound)" : "")
    }

    func listed(_ names: ListingNames) -> String {
        if !names.numeric,
            let known = ICMPNames.all.first(where: { $0.type == type && $0.codes == codes })
        {
            return " icmp " + (inverted ? "!" : "") + known.name
        }
        let code = hasCode ? " code \(codes.lowerBound)" : ""
        return (inverted ? " icmp !type " : " icmptype ") + "\(type)" + code
    }
}

/// ICMP types by name (RFC 792, RFC 950, RFC 1256, RFC 1812); of several names the first is printed.
enum ICMPNames {
    static let all: [(name: String, type: UInt8, codes: ClosedRange<UInt8>)] = [
        ("any", ICMPMatch.anyType, 0...255),
        ("echo-reply", 0, 0...255), ("pong", 0, 0...255),
        ("destination-unreachable", 3, 0...255),
        ("network-unreachable", 3, 0...0), ("host-unreachable", 3, 1...1),
        ("protocol-unreachable", 3, 2...2), ("port-unreachable", 3, 3...3),
        ("fragmentation-needed", 3, 4...4), ("source-route-failed", 3, 5...5),
        ("network-unknown", 3, 6...6), ("host-unknown", 3, 7...7),
        ("network-prohibited", 3, 9...9), ("host-prohibited", 3, 10...10),
        ("TOS-network-unreachable", 3, 11...11), ("TOS-host-unreachable", 3, 12...12),
        ("communication-prohibited", 3, 13...13), ("host-precedence-violation", 3, 14...14),
        ("precedence-cutoff", 3, 15...15),
        ("source-quench", 4, 0...255),
        ("redirect", 5, 0...255), ("network-redirect", 5, 0...0), ("host-redirect", 5, 1...1),
        ("TOS-network-redirect", 5, 2...2), ("TOS-host-redirect", 5, 3...3),
        ("echo-request", 8, 0...255), ("ping", 8, 0...255),
        ("router-advertisement", 9, 0...255), ("router-solicitation", 10, 0...255),
        ("time-exceeded", 11, 0...255), ("ttl-exceeded", 11, 0...255),
        ("ttl-zero-during-transit", 11, 0...0), ("ttl-zero-during-reassembly", 11, 1...1),
        ("parameter-problem", 12, 0...255), ("ip-header-bad", 12, 0...0),
        ("required-option-missing", 12, 1...1),
        ("timestamp-request", 13, 0...255), ("timestamp-reply", 14, 0...255),
        ("address-mask-request", 17, 0...255), ("address-mask-reply", 18, 0...255),
    ]
}
