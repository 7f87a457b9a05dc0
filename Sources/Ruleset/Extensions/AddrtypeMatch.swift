// `-m addrtype`: what the routing table makes of an address.

struct AddrtypeParser: MatchParser {
    static let name = "addrtype"
    static let options: [OptionSpec] = [
        OptionSpec("src-type", 1, invertible: true), OptionSpec("dst-type", 2, invertible: true),
        OptionSpec("limit-iface-in", 3, takesArgument: false, excludes: [4]),
        OptionSpec("limit-iface-out", 4, takesArgument: false, excludes: [3]),
    ]

    private var value = AddrtypeMatch()

    mutating func take(_ use: OptionUse, _ context: inout RuleContext) throws(CommandError) {
        switch use.spec.id {
        case 1: value.source = Invertible(try types(use), inverted: use.inverted)
        case 2: value.destination = Invertible(try types(use), inverted: use.inverted)
        case 3: value.limit = .inInterface
        default: value.limit = .outInterface
        }
    }

    private func types(_ use: OptionUse) throws(CommandError) -> AddressTypes {
        var types: AddressTypes = []
        for word in use.value.split(separator: ",", omittingEmptySubsequences: false) {
            guard let index = AddressTypes.names.firstIndex(where: String(word).abbreviates) else {
                throw .parameter(
                    "addrtype: bad type \"\(word)\"", word: String(word),
                    expected: AddressTypes.names.joined(separator: ", "))
            }
            types.insert(AddressTypes(rawValue: 1 << UInt16(index)))
        }
        return types
    }

    func check(_ context: RuleContext) throws(CommandError) {
        guard value.source != nil || value.destination != nil else {
            throw .parameter("addrtype: you must specify --src-type or --dst-type")
        }
    }

    func match() -> Match { .addrtype(value) }
}

extension AddressTypes {
    /// Bit N is route type N of rtnetlink.
    static let names = [
        "UNSPEC", "UNICAST", "LOCAL", "BROADCAST", "ANYCAST", "MULTICAST", "BLACKHOLE",
        "UNREACHABLE", "PROHIBIT", "THROW", "NAT", "XRESOLVE",
    ]

    var text: String {
        Self.names.enumerated().filter { rawValue >> UInt16($0.offset) & 1 == 1 }.map(\.element)
            .joined(separator: ",")
    }
}

extension AddrtypeMatch: ExtensionText {
    var extensionName: String { "addrtype" }

    var saved: String {
        var text = ""
        if let source { text += (source.inverted ? " !" : "") + " --src-type \(source.value.text)" }
        if let destination {
            text += (destination.inverted ? " !" : "") + " --dst-type \(destination.value.text)"
        }
        switch limit {
        case .inInterface: text += " --limit-iface-in"
        case .outInterface: text += " --limit-iface-out"
        case nil: break
        }
        return text
    }

    func listed(_ names: ListingNames) -> String {
        var text = " ADDRTYPE match"
        if let source { text += " src-type " + (source.inverted ? "!" : "") + source.value.text }
        if let destination {
            text += " dst-type " + (destination.inverted ? "!" : "") + destination.value.text
        }
        switch limit {
        case .inInterface: text += " limit-in"
        case .outInterface: text += " limit-out"
        case nil: break
        }
        return text
    }
}
