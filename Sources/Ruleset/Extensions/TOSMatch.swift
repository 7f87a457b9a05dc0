// `-m tos --tos VALUE[/MASK]`.

struct TOSMatchParser: MatchParser {
    static let name = "tos"
    static let options = [OptionSpec("tos", 1, invertible: true, mandatory: true)]

    private var value = Invertible(TOSTest(value: 0, mask: 0))

    mutating func take(_ use: OptionUse, _ context: inout RuleContext) throws(CommandError) {
        value = Invertible(try TOSText.parse(use.value), inverted: use.inverted)
    }

    func match() -> Match { .stateless(.tos(value)) }
}

struct TOSMatchText: ExtensionText {
    var test: Invertible<TOSTest>
    var extensionName: String { "tos" }

    var saved: String {
        (test.inverted ? " !" : "") + " --tos " + TOSText.pair(test.value.value, test.value.mask)
    }

    /// Without a blank before a number, as 1.8.9 prints it.
    func listed(_ names: ListingNames) -> String {
        let text = " tos match" + (test.inverted ? "!" : "")
        if !names.numeric, let name = TOSText.name(test.value.value, test.value.mask) {
            return text + " " + name
        }
        return text + TOSText.pair(test.value.value, test.value.mask)
    }
}
