// `LOG`: a line per packet, with a level, a prefix and what to show.

struct LogParser: TargetParser {
    static let name = "LOG"
    static let options: [OptionSpec] = [
        OptionSpec("log-level", 1), OptionSpec("log-prefix", 2),
        OptionSpec("log-tcp-sequence", 3, takesArgument: false),
        OptionSpec("log-tcp-options", 4, takesArgument: false),
        OptionSpec("log-ip-options", 5, takesArgument: false),
        OptionSpec("log-uid", 6, takesArgument: false),
        OptionSpec("log-macdecode", 7, takesArgument: false),
    ]
    /// The kernel's field has 30 bytes, the last of them zero.
    private static let longestPrefix = 29
    private static let levels: [(name: String, level: UInt8)] = [
        ("alert", 1), ("crit", 2), ("debug", 7), ("emerg", 0), ("error", 3), ("info", 6),
        ("notice", 5), ("panic", 0), ("warning", 4),
    ]

    private var value = LogTarget()

    mutating func take(_ use: OptionUse, _ context: inout RuleContext) throws(CommandError) {
        switch use.spec.id {
        case 1: value.level = try level(use)
        case 2: value.prefix = try Self.prefix(use, longest: Self.longestPrefix)
        case 3: value.flags.insert(.tcpSequence)
        case 4: value.flags.insert(.tcpOptions)
        case 5: value.flags.insert(.ipOptions)
        case 6: value.flags.insert(.uid)
        default: value.flags.insert(.macDecode)
        }
    }

    private func level(_ use: OptionUse) throws(CommandError) -> UInt8 {
        if let number = CNumber.unsigned(use.value, max: 7) { return UInt8(number) }
        guard let found = Self.levels.first(where: { $0.name == use.value }) else {
            throw .parameter(
                "log level \"\(use.value)\" unknown\n", word: use.value,
                expected: "0 to 7, or " + Self.levels.map(\.name).joined(separator: ", "))
        }
        return found.level
    }

    func target() -> Target { .log(value) }
}

extension ExtensionParser {
    /// What LOG and NFLOG put before a line, cut to the bytes that the kernel keeps, as iptables does.
    static func prefix(_ use: OptionUse, longest: Int) throws(CommandError) -> String {
        guard !use.value.isEmpty else {
            throw .parameter("Argument must have a minimum length of 1 characters\n", word: "")
        }
        guard !use.value.utf8.contains(10) else {
            throw .parameter("Newlines not allowed in --log-prefix", word: use.value)
        }
        var kept = use.value
        while kept.utf8.count > longest { kept.unicodeScalars.removeLast() }
        return kept
    }
}

extension LogTarget: ExtensionText {
    var extensionName: String { "LOG" }

    private static let levelNames = [
        "emerg", "alert", "crit", "err", "warn", "notice", "info", "debug",
    ]
    private static let words: [(flag: Flags, word: String)] = [
        (.tcpSequence, "tcp-sequence"), (.tcpOptions, "tcp-options"), (.ipOptions, "ip-options"),
        (.uid, "uid"), (.macDecode, "macdecode"),
    ]

    var saved: String {
        var text = prefix.isEmpty ? "" : " --log-prefix " + prefix.quotedForSave
        if level != 4 { text += " --log-level \(level)" }
        for (flag, word) in Self.words where flags.contains(flag) { text += " --log-\(word)" }
        return text
    }

    func listed(_ names: ListingNames) -> String {
        var text = " LOG"
        if names.numeric {
            text += " flags \(flags.rawValue) level \(level)"
        } else {
            text += " level " + Self.levelNames[Int(level & 7)]
            for (flag, word) in Self.words where flags.contains(flag) { text += " \(word)" }
        }
        return text + (prefix.isEmpty ? "" : " prefix \"\(prefix)\"")
    }
}
