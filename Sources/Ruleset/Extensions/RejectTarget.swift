// `REJECT --reject-with`: with which ICMP error, or a TCP reset.

struct RejectParser: TargetParser {
    static let name = "REJECT"
    static let options = [OptionSpec("reject-with", 1)]

    /// Long and short name; any beginning of either will do, and the first found is taken.
    private static let names: [(type: RejectType, short: String)] = [
        (.netUnreachable, "net-unreach"), (.hostUnreachable, "host-unreach"),
        (.protocolUnreachable, "proto-unreach"), (.portUnreachable, "port-unreach"),
        (.netProhibited, "net-prohib"), (.hostProhibited, "host-prohib"),
        (.tcpReset, "tcp-rst"), (.adminProhibited, "admin-prohib"),
    ]

    private var value = RejectType.portUnreachable

    mutating func take(_ use: OptionUse, _ context: inout RuleContext) throws(CommandError) {
        let found = Self.names.first {
            use.value.abbreviates($0.type.rawValue) || use.value.abbreviates($0.short)
        }
        guard let found else {
            throw .parameter(
                "unknown reject type \"\(use.value)\"", word: use.value,
                expected: RejectType.allCases.map(\.rawValue).joined(separator: ", "))
        }
        value = found.type
    }

    func target() -> Target { .reject(value) }
}

struct RejectText: ExtensionText {
    var type: RejectType
    var extensionName: String { "REJECT" }
    var saved: String { " --reject-with " + type.rawValue }
    func listed(_ names: ListingNames) -> String { " reject-with " + type.rawValue }
}
