// `-m rpfilter`: whether the way back to a packet's source leads out of the interface it came in on.

struct RpfilterParser: MatchParser {
    static let name = "rpfilter"
    static let options = ReversePathOptions.names.enumerated().map { place, each in
        OptionSpec(each.name, place + 1, takesArgument: false)
    }

    private var value: ReversePathOptions = []

    mutating func take(_ use: OptionUse, _ context: inout RuleContext) throws(CommandError) {
        value.insert(ReversePathOptions.names[use.spec.id - 1].option)
    }

    func match() -> Match { .stateless(.rpfilter(value)) }
}

extension ReversePathOptions: ExtensionText {
    /// In the order in which they are printed.
    static let names: [(option: ReversePathOptions, name: String)] = [
        (.loose, "loose"), (.validMark, "validmark"), (.acceptLocal, "accept-local"),
        (.inverted, "invert"),
    ]

    var extensionName: String { "rpfilter" }
    var saved: String { text(before: " --") }
    func listed(_ names: ListingNames) -> String { " rpfilter" + text(before: " ") }

    private func text(before: String) -> String {
        Self.names.filter { contains($0.option) }.map { before + $0.name }.joined()
    }
}
