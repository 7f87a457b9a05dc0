// `TOS`: every option reduces to TOS = (TOS & ~mask) ^ value.

struct TOSTargetParser: TargetParser {
    static let name = "TOS"
    static let options: [OptionSpec] = [
        OptionSpec("set-tos", 1, excludes: [2, 3, 4]),
        OptionSpec("and-tos", 2, excludes: [1, 3, 4]),
        OptionSpec("or-tos", 3, excludes: [1, 2, 4]),
        OptionSpec("xor-tos", 4, excludes: [1, 2, 3]),
    ]

    private var value: TOSTarget?

    mutating func take(_ use: OptionUse, _ context: inout RuleContext) throws(CommandError) {
        guard use.spec.id > 1 else {
            let test = try TOSText.parse(use.value)
            value = TOSTarget(value: test.value, mask: test.mask)
            return
        }
        let bits = try Self.octet(use)
        switch use.spec.id {
        case 2: value = TOSTarget(value: 0, mask: ~bits)
        case 3: value = TOSTarget(value: bits, mask: bits)
        default: value = TOSTarget(value: bits, mask: 0)
        }
    }

    func check(_ context: RuleContext) throws(CommandError) {
        guard value != nil else { throw .parameter("TOS: An action is required") }
    }

    func target() -> Target {
        guard let value else { preconditionFailure("check() lets no empty TOS through") }
        return .mangle(.tos(value))
    }
}

extension TOSTarget: ExtensionText {
    var extensionName: String { "TOS" }

    var saved: String { " --set-tos " + TOSText.pair(value, mask) }

    /// The blanks around a name are those of 1.8.9.
    func listed(_ names: ListingNames) -> String {
        if names.numeric { return " TOS set " + TOSText.pair(value, mask) }
        if let name = TOSText.name(value, mask) { return "  TOS set" + name }
        if value == 0 { return " TOS and " + CNumber.hexOctet(~mask) }
        if value == mask { return " TOS or " + CNumber.hexOctet(value) }
        if mask == 0 { return " TOS xor " + CNumber.hexOctet(value) }
        return " TOS set " + TOSText.pair(value, mask)
    }
}
