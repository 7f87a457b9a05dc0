// `TTL`: sets, raises or lowers the time to live.

struct TTLTargetParser: TargetParser {
    static let name = "TTL"
    static let options: [OptionSpec] = [
        OptionSpec("ttl-set", 1, excludes: [2, 3]), OptionSpec("ttl-dec", 2, excludes: [1, 3]),
        OptionSpec("ttl-inc", 3, excludes: [1, 2]),
    ]

    private var value: TTLTarget?

    mutating func take(_ use: OptionUse, _ context: inout RuleContext) throws(CommandError) {
        switch use.spec.id {
        case 1: value = .set(try Self.octet(use))
        case 2: value = .decrement(try Self.octet(use, 1...255))
        default: value = .increment(try Self.octet(use, 1...255))
        }
    }

    func check(_ context: RuleContext) throws(CommandError) {
        guard value != nil else { throw .parameter("TTL: You must specify an action") }
    }

    func target() -> Target {
        guard let value else { preconditionFailure("check() lets no empty TTL through") }
        return .mangle(.ttl(value))
    }
}

extension TTLTarget: ExtensionText {
    var extensionName: String { "TTL" }

    var saved: String {
        switch self {
        case .set(let value): " --ttl-set \(value)"
        case .decrement(let value): " --ttl-dec \(value)"
        case .increment(let value): " --ttl-inc \(value)"
        }
    }

    func listed(_ names: ListingNames) -> String {
        switch self {
        case .set(let value): " TTL set to \(value)"
        case .decrement(let value): " TTL decrement by \(value)"
        case .increment(let value): " TTL increment by \(value)"
        }
    }
}
