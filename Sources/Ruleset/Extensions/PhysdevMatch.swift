// `-m physdev`: through which ports of a bridge a bridged packet goes. What Sluice carries is routed, so
// that only the question whether it is bridged at all has an answer; the rest is kept and printed.

import Wire

struct PhysdevParser: MatchParser {
    static let name = "physdev"
    static let options: [OptionSpec] = [
        OptionSpec("physdev-in", 1, invertible: true),
        OptionSpec("physdev-out", 2, invertible: true),
        OptionSpec("physdev-is-in", 3, takesArgument: false, invertible: true),
        OptionSpec("physdev-is-out", 4, takesArgument: false, invertible: true),
        OptionSpec("physdev-is-bridged", 5, takesArgument: false, invertible: true),
    ]

    private var value = PhysdevMatch()

    mutating func take(_ use: OptionUse, _ context: inout RuleContext) throws(CommandError) {
        let presence = use.inverted ? PhysdevMatch.Presence.isNotThere : .isThere
        switch use.spec.id {
        case 1: value.inPort = Invertible(try port(use, &context), inverted: use.inverted)
        case 2: value.outPort = Invertible(try port(use, &context), inverted: use.inverted)
        case 3: value.isIn = presence
        case 4: value.isOut = presence
        default: value.isBridged = presence
        }
    }

    private func port(
        _ use: OptionUse, _ context: inout RuleContext
    ) throws(CommandError) -> PhysdevMatch.PortName {
        guard !use.value.isEmpty else { return PhysdevMatch.PortName(InterfaceName()) }
        // Inverted or not does not matter here; only so does `+` come back as a pattern.
        let typed = try AddressText.parseInterface(
            use.value, inverted: true, warnings: &context.warnings)
        return PhysdevMatch.PortName(
            InterfaceName(typed?.name ?? "") ?? InterfaceName(), wildcard: typed?.wildcard ?? false)
    }

    func check(_ context: RuleContext) throws(CommandError) {
        guard value != PhysdevMatch() else {
            throw .parameter("PHYSDEV: no physdev option specified")
        }
    }

    func match() -> Match { .stateless(.physdev(value)) }
}

extension PhysdevMatch.PortName {
    var text: String { "\(name)" + (wildcard ? "+" : "") }
}

extension PhysdevMatch: ExtensionText {
    var extensionName: String { "physdev" }

    var saved: String { text(\.nameForSave) }
    func listed(_ names: ListingNames) -> String { " PHYSDEV match" + text(\.self) }

    private func text(_ name: (String) -> String) -> String {
        Self.text("is-in", isIn) + Self.text("in", inPort, name) + Self.text("is-out", isOut)
            + Self.text("out", outPort, name) + Self.text("is-bridged", isBridged)
    }

    private static func text(_ option: String, _ presence: Presence?) -> String {
        presence.map { ($0 == .isNotThere ? " !" : "") + " --physdev-\(option)" } ?? ""
    }

    private static func text(
        _ option: String, _ port: Invertible<PortName>?, _ name: (String) -> String
    ) -> String {
        port.map { ($0.inverted ? " !" : "") + " --physdev-\(option) " + name($0.value.text) } ?? ""
    }
}
