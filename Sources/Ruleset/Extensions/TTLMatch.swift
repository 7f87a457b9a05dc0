// `-m ttl`: the time to live, equal, less or greater.

struct TTLMatchParser: MatchParser {
    static let name = "ttl"
    static let options: [OptionSpec] = [
        OptionSpec("ttl-lt", 1, excludes: [2, 3]), OptionSpec("ttl-gt", 2, excludes: [1, 3]),
        OptionSpec("ttl-eq", 3, invertible: true, excludes: [1, 2]),
        OptionSpec("ttl", 3, invertible: true, excludes: [1, 2]),
    ]

    private var value: TTLMatch?

    mutating func take(_ use: OptionUse, _ context: inout RuleContext) throws(CommandError) {
        let number = try Self.octet(use)
        switch use.spec.id {
        case 1: value = TTLMatch(.less, number)
        case 2: value = TTLMatch(.greater, number)
        default: value = TTLMatch(use.inverted ? .notEqual : .equal, number)
        }
    }

    func check(_ context: RuleContext) throws(CommandError) {
        guard value != nil else {
            throw .parameter(
                "TTL match: You must specify one of `--ttl-eq', `--ttl-lt', `--ttl-gt")
        }
    }

    func match() -> Match {
        guard let value else { preconditionFailure("check() lets no empty ttl through") }
        return .stateless(.ttl(value))
    }
}

extension TTLMatch: ExtensionText {
    var extensionName: String { "ttl" }

    var saved: String {
        switch comparison {
        case .equal: " --ttl-eq \(value)"
        case .notEqual: " ! --ttl-eq \(value)"
        case .less: " --ttl-lt \(value)"
        case .greater: " --ttl-gt \(value)"
        }
    }

    func listed(_ names: ListingNames) -> String {
        let sign =
            switch comparison {
            case .equal: "=="
            case .notEqual: "!="
            case .less: "<"
            case .greater: ">"
            }
        return " TTL match TTL \(sign) \(value)"
    }
}
