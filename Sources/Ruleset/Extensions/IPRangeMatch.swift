// `-m iprange`: addresses between two others, which need not be a network.

import Wire

struct IPRangeParser: MatchParser {
    static let name = "iprange"
    static let options = [
        OptionSpec("src-range", 1, invertible: true), OptionSpec("dst-range", 2, invertible: true),
    ]

    private var value = IPRangeMatch()

    mutating func take(_ use: OptionUse, _ context: inout RuleContext) throws(CommandError) {
        let ends = use.value.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
        let first = try address(ends[0], use)
        let last = ends.count == 2 ? try address(ends[1], use) : first
        if last < first {
            context.warnings +=
                "xt_iprange: range \(ends[0])-\(ends[1]) is reversed and will never match\n"
        }
        let range = Invertible(Interval(first, last), inverted: use.inverted)
        if use.spec.id == 1 { value.source = range } else { value.destination = range }
    }

    private func address(
        _ text: Substring, _ use: OptionUse
    ) throws(CommandError) -> IPv4Address {
        guard let address = IPv4Address(text) else {
            throw Self.badValue(use, String(text), expected: "an address, or address-address")
        }
        return address
    }

    func check(_ context: RuleContext) throws(CommandError) {
        guard value != IPRangeMatch() else {
            throw .parameter("iprange match: You must specify `--src-range' or `--dst-range'")
        }
    }

    func match() -> Match { .stateless(.iprange(value)) }
}

extension IPRangeMatch: ExtensionText {
    var extensionName: String { "iprange" }

    var saved: String {
        var text = ""
        if let source { text += (source.inverted ? " !" : "") + " --src-range" + range(source) }
        if let destination {
            text += (destination.inverted ? " !" : "") + " --dst-range" + range(destination)
        }
        return text
    }

    func listed(_ names: ListingNames) -> String {
        var text = ""
        if let source { text += " source IP range" + (source.inverted ? " !" : "") + range(source) }
        if let destination {
            text += " destination IP range" + (destination.inverted ? " !" : "")
            text += range(destination)
        }
        return text
    }

    private func range(_ test: Invertible<Interval<IPv4Address>>) -> String {
        " \(test.value.first)-\(test.value.last)"
    }
}
