// `DSCP`: sets the code point and leaves the two bits of explicit congestion notification alone.

struct DSCPTargetParser: TargetParser {
    static let name = "DSCP"
    static let options = [
        OptionSpec("set-dscp", 1, excludes: [2]), OptionSpec("set-dscp-class", 2, excludes: [1]),
    ]

    private var value: UInt8?

    mutating func take(_ use: OptionUse, _ context: inout RuleContext) throws(CommandError) {
        value =
            use.spec.id == 1
            ? try Self.octet(use, 0...DSCPText.largest) : try DSCPText.parseClass(use.value)
    }

    func check(_ context: RuleContext) throws(CommandError) {
        guard value != nil else {
            throw .parameter("DSCP target: Parameter --set-dscp is required")
        }
    }

    func target() -> Target {
        guard let value else { preconditionFailure("check() lets no empty DSCP through") }
        return .mangle(.dscp(value))
    }
}

struct DSCPTargetText: ExtensionText {
    var codePoint: UInt8
    var extensionName: String { "DSCP" }
    var saved: String { " --set-dscp " + CNumber.hexOctet(codePoint) }
    func listed(_ names: ListingNames) -> String { " DSCP set " + CNumber.hexOctet(codePoint) }
}
