// `-m connmark --mark VALUE[/MASK]`: the mark of the packet's connection.

struct ConnmarkMatchParser: MatchParser {
    static let name = "connmark"
    static let options = [OptionSpec("mark", 1, invertible: true, mandatory: true)]

    private var value = Invertible(MarkTest(value: 0))

    mutating func take(_ use: OptionUse, _ context: inout RuleContext) throws(CommandError) {
        let (mark, mask) = try Self.parse(use)
        value = Invertible(MarkTest(value: mark, mask: mask), inverted: use.inverted)
    }

    func match() -> Match { .connmark(value) }
}

struct ConnmarkText: ExtensionText {
    var test: Invertible<MarkTest>
    var extensionName: String { "connmark" }

    var saved: String { (test.inverted ? " !" : "") + " --mark " + test.value.text }
    /// The blank where no `!` stands is the tool's.
    func listed(_ names: ListingNames) -> String {
        " connmark match " + (test.inverted ? "!" : "") + " " + test.value.text
    }
}
