// `-m esp --espspi` and `-m ah --ahspi`: the security parameter index of an IPsec header.

struct ESPParser: MatchParser {
    static let name = "esp"
    static let options = [OptionSpec("espspi", 1, invertible: true)]

    private var value = Invertible<Interval<UInt32>>(Interval(0, .max))

    mutating func take(_ use: OptionUse, _ context: inout RuleContext) throws(CommandError) {
        value = try Self.securityIndex(use)
    }

    func match() -> Match { .stateless(.esp(value)) }
}

struct AHParser: MatchParser {
    static let name = "ah"
    static let options = [OptionSpec("ahspi", 1, invertible: true)]

    private var value = Invertible<Interval<UInt32>>(Interval(0, .max))

    mutating func take(_ use: OptionUse, _ context: inout RuleContext) throws(CommandError) {
        value = try Self.securityIndex(use)
    }

    func match() -> Match { .stateless(.ah(value)) }
}

extension ExtensionParser {
    fileprivate static func securityIndex(
        _ use: OptionUse
    ) throws(CommandError) -> Invertible<Interval<UInt32>> {
        let range = try interval(use, max: UInt64(UInt32.max))
        return Invertible(
            Interval(UInt32(range.first), UInt32(range.last)), inverted: use.inverted)
    }
}

struct SecurityIndexText: ExtensionText {
    /// `esp` or `ah`.
    var extensionName: String
    var test: Invertible<Interval<UInt32>>

    private var isAll: Bool { test.value == Interval(0, .max) }

    private var range: String {
        test.value.first == test.value.last
            ? "\(test.value.first)" : "\(test.value.first):\(test.value.last)"
    }

    /// A range of all is forgotten, inverted or not, as by 1.8.9; it is still evaluated inverted.
    var saved: String {
        isAll ? "" : (test.inverted ? " !" : "") + " --\(extensionName)spi \(range)"
    }

    func listed(_ names: ListingNames) -> String {
        let plural = test.value.first == test.value.last ? "" : "s"
        let shown =
            isAll && !test.inverted ? "" : "spi\(plural):" + (test.inverted ? "!" : "") + range
        if extensionName == "ah" { return " ah " + shown }
        return " esp" + (shown.isEmpty ? "" : " " + shown)
    }
}
