// `-m mac --mac-source`: who sent the frame on the last link.

import Wire

struct MACParser: MatchParser {
    static let name = "mac"
    static let options = [OptionSpec("mac-source", 1, invertible: true, mandatory: true)]

    private var value = Invertible(MACAddress(rawValue: 0))

    mutating func take(_ use: OptionUse, _ context: inout RuleContext) throws(CommandError) {
        guard let address = MACAddress(use.value) else {
            throw .parameter(
                "Invalid MAC address specified.", word: use.value,
                expected: "six hexadecimal numbers of one or two digits, with colons between")
        }
        value = Invertible(address, inverted: use.inverted)
    }

    func match() -> Match { .stateless(.mac(value)) }
}

struct MACText: ExtensionText {
    var test: Invertible<MACAddress>
    var extensionName: String { "mac" }
    var saved: String { (test.inverted ? " !" : "") + " --mac-source \(test.value)" }
    func listed(_ names: ListingNames) -> String {
        " MAC" + (test.inverted ? " !" : "") + " \(test.value)"
    }
}
