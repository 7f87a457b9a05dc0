// `NFLOG`: a copy of the packet for whoever listens to a group. iptables-nft makes nft's own `log` of it.

struct NFLogParser: TargetParser {
    static let name = "NFLOG"
    static let options: [OptionSpec] = [
        OptionSpec("nflog-group", 1), OptionSpec("nflog-prefix", 2),
        OptionSpec("nflog-range", 3, excludes: [4]), OptionSpec("nflog-size", 4, excludes: [3]),
        OptionSpec("nflog-threshold", 5),
    ]
    /// NF_LOG_PREFIXLEN, less the byte that ends it.
    private static let longestPrefix = 127

    private var value = NFLogTarget()

    mutating func take(_ use: OptionUse, _ context: inout RuleContext) throws(CommandError) {
        switch use.spec.id {
        case 1: value.group = try number(use)
        case 2: value.prefix = try Self.prefix(use, longest: Self.longestPrefix)
        case 3:
            _ = try size(use)
            context.warnings +=
                "warn: --nflog-range has never worked and is no longer supported, "
                + "please use --nflog-size instead\n"
        case 4: value.size = try size(use)
        default: value.threshold = try number(use)
        }
    }

    private func number(_ use: OptionUse) throws(CommandError) -> UInt16 {
        guard let number = CNumber.unsigned(use.value, max: UInt64(UInt16.max)) else {
            throw Self.outOfRange(use, "0", "65535")
        }
        return UInt16(number)
    }

    private func size(_ use: OptionUse) throws(CommandError) -> UInt32 {
        guard let number = CNumber.unsigned(use.value, max: UInt64(UInt32.max)) else {
            throw Self.outOfRange(use, "0", "4294967295")
        }
        return UInt32(number)
    }

    func target() -> Target { .nflog(value) }
}

extension NFLogTarget: ExtensionText {
    var extensionName: String { "NFLOG" }

    private func text(_ dashes: String) -> String {
        var text = prefix.isEmpty ? "" : " \(dashes)nflog-prefix " + prefix.quotedForSave
        if group > 0 { text += " \(dashes)nflog-group \(group)" }
        if let size { text += " \(dashes)nflog-size \(size)" }
        if threshold > 0 { text += " \(dashes)nflog-threshold \(threshold)" }
        return text
    }

    var saved: String { text("--") }
    func listed(_ names: ListingNames) -> String { text("") }
}
