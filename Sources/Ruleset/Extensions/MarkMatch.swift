// `-m mark --mark VALUE[/MASK]`.

struct MarkMatchParser: MatchParser {
    static let name = "mark"
    static let options = [OptionSpec("mark", 1, invertible: true, mandatory: true)]

    private var value = Invertible(MarkTest(value: 0))

    mutating func take(_ use: OptionUse, _ context: inout RuleContext) throws(CommandError) {
        let (mark, mask) = try Self.parse(use)
        value = Invertible(MarkTest(value: mark, mask: mask), inverted: use.inverted)
    }

    func match() -> Match { .mark(value) }
}

struct MarkText: ExtensionText {
    var test: Invertible<MarkTest>
    var extensionName: String { "mark" }

    var saved: String { (test.inverted ? " !" : "") + " --mark " + test.value.text }
    func listed(_ names: ListingNames) -> String {
        " mark match " + (test.inverted ? "! " : "") + test.value.text
    }
}

extension MarkTest {
    /// The mask is said where it is not the whole.
    var text: String { CNumber.hex(value) + (mask == .max ? "" : "/" + CNumber.hex(mask)) }
}

extension ExtensionParser {
    /// `VALUE` or `VALUE/MASK`, each as C reads numbers.
    static func parse(_ use: OptionUse) throws(CommandError) -> (value: UInt32, mask: UInt32) {
        guard let (value, rest) = CNumber.prefix(use.value), value <= UInt64(UInt32.max) else {
            throw badInteger(use)
        }
        guard rest.hasPrefix("/") else {
            guard rest.isEmpty else { throw trailingGarbage(use) }
            return (UInt32(value), .max)
        }
        guard let (mask, end) = CNumber.prefix(rest.dropFirst()), mask <= UInt64(UInt32.max) else {
            throw badInteger(use)
        }
        guard end.isEmpty else { throw trailingGarbage(use) }
        return (UInt32(value), UInt32(mask))
    }

    private static func trailingGarbage(_ use: OptionUse) -> CommandError {
        .parameter(
            "\(name): trailing garbage after value for option \"\(use.option)\".\n",
            word: use.value, expected: "a number up to 0xffffffff, or number/mask")
    }
}
