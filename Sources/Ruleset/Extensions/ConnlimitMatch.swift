// `-m connlimit`: connections that live at once.

import Wire

struct ConnlimitParser: MatchParser {
    static let name = "connlimit"
    static let options: [OptionSpec] = [
        OptionSpec("connlimit-upto", 1, invertible: true, excludes: [2]),
        OptionSpec("connlimit-above", 2, invertible: true, excludes: [1]),
        OptionSpec("connlimit-mask", 3),
        OptionSpec("connlimit-saddr", 4, takesArgument: false, excludes: [5]),
        OptionSpec("connlimit-daddr", 5, takesArgument: false, excludes: [4]),
    ]

    private var limit: UInt32?
    private var value = ConnlimitMatch(limit: 0)

    mutating func take(_ use: OptionUse, _ context: inout RuleContext) throws(CommandError) {
        switch use.spec.id {
        case 1, 2:
            guard let number = CNumber.unsigned(use.value, max: UInt64(UInt32.max)) else {
                throw Self.outOfRange(use, "0", "4294967295")
            }
            limit = UInt32(number)
            value.upTo = (use.spec.id == 1) != use.inverted
        case 3:
            let mask = try Self.mask(use.value, use)
            value.prefixLength = UInt8(mask.nonzeroBitCount)
        default: value.ofDestination = use.spec.id == 5
        }
    }

    func check(_ context: RuleContext) throws(CommandError) {
        guard limit != nil else {
            throw .parameter("You must specify \"--connlimit-above\" or \"--connlimit-upto\".")
        }
    }

    func match() -> Match {
        var match = value
        match.limit = limit ?? 0
        return .connlimit(match)
    }
}

extension ConnlimitMatch: ExtensionText {
    var extensionName: String { "connlimit" }

    var saved: String {
        " --connlimit-\(upTo ? "upto" : "above") \(limit) --connlimit-mask \(prefixLength)"
            + " --connlimit-\(ofDestination ? "d" : "s")addr"
    }

    func listed(_ names: ListingNames) -> String {
        " #conn \(ofDestination ? "dst" : "src")/\(prefixLength) \(upTo ? "<=" : ">") \(limit)"
    }
}
