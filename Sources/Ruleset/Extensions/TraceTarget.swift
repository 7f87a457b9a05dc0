// `TRACE`: from here on it is told which rules the packet meets.

struct TraceParser: TargetParser {
    static let name = "TRACE"
    static let options: [OptionSpec] = []
    mutating func take(_ use: OptionUse, _ context: inout RuleContext) throws(CommandError) {}
    func target() -> Target { .trace }
}

struct TraceTargetText: ExtensionText {
    var extensionName: String { "TRACE" }
    var saved: String { "" }
    func listed(_ names: ListingNames) -> String { "" }
}
