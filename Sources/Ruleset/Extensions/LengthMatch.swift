// `-m length`: bytes of the IP packet, a super-frame as a whole.

struct LengthParser: MatchParser {
    static let name = "length"
    static let options = [OptionSpec("length", 1, invertible: true, mandatory: true)]

    private var value = Invertible<Interval<UInt16>>(Interval(0, 0))

    mutating func take(_ use: OptionUse, _ context: inout RuleContext) throws(CommandError) {
        let range = try Self.interval(use, max: UInt64(UInt16.max))
        value = Invertible(
            Interval(UInt16(range.first), UInt16(range.last)), inverted: use.inverted)
    }

    func match() -> Match { .stateless(.length(value)) }
}

struct LengthText: ExtensionText {
    var test: Invertible<Interval<UInt16>>
    var extensionName: String { "length" }
    var saved: String { (test.inverted ? " !" : "") + " --length " + range }
    func listed(_ names: ListingNames) -> String {
        " length " + (test.inverted ? "!" : "") + range
    }

    private var range: String {
        test.value.first == test.value.last
            ? "\(test.value.first)" : "\(test.value.first):\(test.value.last)"
    }
}
