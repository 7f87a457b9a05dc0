// `-m recent`: lists of addresses by name, and when they were seen.

import Wire

struct RecentParser: MatchParser {
    static let name = "recent"
    static let options: [OptionSpec] = [
        OptionSpec("set", 1, takesArgument: false, invertible: true, excludes: [2, 3, 4]),
        OptionSpec("rcheck", 2, takesArgument: false, invertible: true, excludes: [1, 3, 4]),
        OptionSpec("update", 3, takesArgument: false, invertible: true, excludes: [1, 2, 4]),
        OptionSpec("remove", 4, takesArgument: false, invertible: true, excludes: [1, 2, 3]),
        OptionSpec("seconds", 5), OptionSpec("reap", 6, takesArgument: false, requires: [5]),
        OptionSpec("hitcount", 7), OptionSpec("rttl", 8, takesArgument: false, excludes: [1, 4]),
        OptionSpec("name", 9), OptionSpec("rsource", 10, takesArgument: false),
        OptionSpec("rdest", 11, takesArgument: false), OptionSpec("mask", 12),
    ]
    /// XT_RECENT_NAME_LEN, less the byte that ends it.
    private static let longestName = 199

    private var operation: RecentMatch.Operation?
    private var value = RecentMatch(.check)

    mutating func take(_ use: OptionUse, _ context: inout RuleContext) throws(CommandError) {
        if use.inverted { value.inverted = true }
        switch use.spec.id {
        case 1: operation = .set
        case 2: operation = .check
        case 3: operation = .update
        case 4: operation = .remove
        case 5: value.seconds = try number(use, from: 1)
        case 6: value.reaps = true
        case 7: value.hitCount = try number(use, from: 0)
        case 8: value.comparesTTL = true
        case 9:
            value.name = String(decoding: use.value.utf8.prefix(Self.longestName), as: UTF8.self)
        case 10: value.side = .source
        case 11: value.side = .destination
        default:
            guard let mask = context.resolver.address(use.value) else {
                throw .parameter(
                    "getaddrinfo: Name or service not known\n", word: use.value,
                    expected: "a dotted mask")
            }
            value.mask = mask.rawValue
        }
    }

    private func number(_ use: OptionUse, from low: UInt64) throws(CommandError) -> UInt32 {
        guard let number = CNumber.unsigned(use.value, max: UInt64(UInt32.max)), number >= low
        else { throw Self.outOfRange(use, "\(low)", "4294967295") }
        return UInt32(number)
    }

    func check(_ context: RuleContext) throws(CommandError) {
        guard operation != nil else {
            throw .parameter(
                "recent: you must specify one of `--set', `--rcheck' `--update' or `--remove'")
        }
    }

    func match() -> Match {
        var match = value
        match.operation = operation ?? .check
        return .recent(match)
    }
}

extension RecentMatch: ExtensionText {
    var extensionName: String { "recent" }

    var saved: String {
        var text = inverted ? " !" : ""
        switch operation {
        case .set: text += " --set"
        case .check: text += " --rcheck"
        case .update: text += " --update"
        case .remove: text += " --remove"
        }
        if seconds > 0 { text += " --seconds \(seconds)" }
        if reaps { text += " --reap" }
        if hitCount > 0 { text += " --hitcount \(hitCount)" }
        if comparesTTL { text += " --rttl" }
        return text + " --name \(name.nameForSave) --mask \(IPv4Address(rawValue: mask))"
            + (side == .source ? " --rsource" : " --rdest")
    }

    func listed(_ names: ListingNames) -> String {
        var text = (inverted ? " !" : "") + " recent:"
        switch operation {
        case .set: text += " SET"
        case .check: text += " CHECK"
        case .update: text += " UPDATE"
        case .remove: text += " REMOVE"
        }
        if seconds > 0 { text += " seconds: \(seconds)" }
        if reaps { text += " reap" }
        if hitCount > 0 { text += " hit_count: \(hitCount)" }
        if comparesTTL { text += " TTL-Match" }
        return text + " name: \(name) side: \(side == .source ? "source" : "dest")"
            + " mask: \(IPv4Address(rawValue: mask))"
    }

    /// What the kernel refuses (xt_recent.c, recent_mt_check).
    var objection: String? {
        if let objection = ProcName.objection(to: name, longest: 199) { return objection }
        if operation == .set || operation == .remove,
            seconds > 0 || hitCount > 0 || reaps || comparesTTL
        {
            return "--set and --remove ask nothing about the past"
        }
        return hitCount > 65_535 ? "a list remembers 65535 packets of an address at most" : nil
    }
}

/// Names that are files below /proc in the kernel (x_tables.c, xt_check_proc_name).
enum ProcName {
    static func objection(to name: String, longest: Int) -> String? {
        if name.isEmpty || name == "." || name == ".." || name.contains("/") {
            return "'\(name)' cannot be the name of a file"
        }
        if let objection = name.lineObjection { return "a name " + objection }
        return name.utf8.count > longest ? "a name has at most \(longest) characters" : nil
    }
}
