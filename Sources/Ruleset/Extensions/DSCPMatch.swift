// `-m dscp` and `DSCP`: the code point of differentiated services (RFC 2474), by number or class.

enum DSCPText {
    /// In the order in which iptables looks for them: a word that only begins with a name is taken too.
    private static let classes: [(name: String, codePoint: UInt8)] = [
        ("CS0", 0x00), ("CS1", 0x08), ("CS2", 0x10), ("CS3", 0x18), ("CS4", 0x20), ("CS5", 0x28),
        ("CS6", 0x30), ("CS7", 0x38), ("BE", 0x00), ("AF11", 0x0A), ("AF12", 0x0C), ("AF13", 0x0E),
        ("AF21", 0x12), ("AF22", 0x14), ("AF23", 0x16), ("AF31", 0x1A), ("AF32", 0x1C),
        ("AF33", 0x1E), ("AF41", 0x22), ("AF42", 0x24), ("AF43", 0x26), ("EF", 0x2E),
    ]
    static let largest: UInt8 = 63

    static func parseClass(_ text: String) throws(CommandError) -> UInt8 {
        guard let found = classes.first(where: { text.uppercased().hasPrefix($0.name) }) else {
            throw .parameter(
                "Invalid DSCP value `\(text)'", word: text,
                expected: classes.map(\.name).joined(separator: ", "))
        }
        return found.codePoint
    }
}

struct DSCPMatchParser: MatchParser {
    static let name = "dscp"
    static let options: [OptionSpec] = [
        OptionSpec("dscp", 1, invertible: true, excludes: [2]),
        OptionSpec("dscp-class", 2, invertible: true, excludes: [1]),
    ]

    private var value: Invertible<UInt8>?

    mutating func take(_ use: OptionUse, _ context: inout RuleContext) throws(CommandError) {
        let codePoint =
            use.spec.id == 1
            ? try Self.octet(use, 0...DSCPText.largest) : try DSCPText.parseClass(use.value)
        value = Invertible(codePoint, inverted: use.inverted)
    }

    func check(_ context: RuleContext) throws(CommandError) {
        guard value != nil else { throw .parameter("DSCP match: Parameter --dscp is required") }
    }

    func match() -> Match {
        guard let value else { preconditionFailure("check() lets no empty dscp through") }
        return .stateless(.dscp(value))
    }
}

struct DSCPMatchText: ExtensionText {
    var test: Invertible<UInt8>
    var extensionName: String { "dscp" }
    var saved: String {
        (test.inverted ? " !" : "") + " --dscp " + CNumber.hexOctet(test.value)
    }
    func listed(_ names: ListingNames) -> String {
        " DSCP match " + (test.inverted ? "!" : "") + CNumber.hexOctet(test.value)
    }
}
