// `-m owner`: whose socket sent the packet. Supplementary groups and the mere existence of a socket are refused
// by name: with a packet of the node's own come its user and group, and no more.

struct OwnerParser: MatchParser {
    static let name = "owner"
    static let options: [OptionSpec] = [
        OptionSpec("uid-owner", 1, invertible: true), OptionSpec("gid-owner", 2, invertible: true),
        OptionSpec("socket-exists", 3, takesArgument: false, invertible: true),
        OptionSpec("suppl-groups", 4, takesArgument: false),
    ]

    /// 2³² - 1 is nobody's: the kernel keeps it for "no user".
    private static let largest = UInt64(UInt32.max) - 1
    private var value = OwnerMatch()

    mutating func take(_ use: OptionUse, _ context: inout RuleContext) throws(CommandError) {
        let resolver = context.resolver
        switch use.spec.id {
        case 1:
            let users = try interval(use, named: resolver.userID)
            value.users = Invertible(users, inverted: use.inverted)
        case 2:
            let groups = try interval(use, named: resolver.groupID)
            value.groups = Invertible(groups, inverted: use.inverted)
        default:
            var error = CommandError.parameter("unknown option \"\(use.option)\"", word: use.option)
            error.note =
                "\(use.option) of match \"owner\" is not supported by Sluice: it knows the user "
                + "and the group of a packet; supported: --uid-owner, --gid-owner"
            throw error
        }
    }

    private func interval(
        _ use: OptionUse, named number: (String) -> UInt32?
    ) throws(CommandError) -> Interval<UInt32> {
        if let only = number(use.value) { return Interval(only, only) }
        var found: [UInt32] = []
        var rest = Substring(use.value)
        while found.count < 2 {
            guard let (number, end) = CNumber.prefix(rest), number <= Self.largest else { break }
            found.append(UInt32(number))
            rest = end
            guard found.count == 1, let separator = rest.first, "-:".contains(separator) else {
                guard rest.isEmpty else { break }
                return Interval(found[0], found[found.count - 1])
            }
            rest.removeFirst()
        }
        throw Self.badValue(
            use, use.value, expected: "the name of a user or group, a number, or number-number")
    }

    func check(_ context: RuleContext) throws(CommandError) {
        guard value != OwnerMatch() else {
            throw .parameter(
                "owner: At least one of --uid-owner, --gid-owner or --socket-exists is required")
        }
    }

    func match() -> Match { .stateless(.owner(value)) }
}

struct OwnerText: ExtensionText {
    var value: OwnerMatch
    var extensionName: String { "owner" }

    var saved: String {
        text(value.users) { " --uid-owner " + numbers($0) }
            + text(value.groups) { " --gid-owner " + numbers($0) }
    }

    func listed(_ names: ListingNames) -> String {
        text(value.users) {
            " owner UID match " + (name($0, names, names.resolver.userName) ?? numbers($0))
        }
            + text(value.groups) {
                " owner GID match " + (name($0, names, names.resolver.groupName) ?? numbers($0))
            }
    }

    private func text(
        _ test: Invertible<Interval<UInt32>>?, _ words: (Interval<UInt32>) -> String
    ) -> String {
        test.map { ($0.inverted ? " !" : "") + words($0.value) } ?? ""
    }

    private func name(
        _ range: Interval<UInt32>, _ names: ListingNames, _ find: (UInt32) -> String?
    ) -> String? {
        range.first == range.last && !names.numeric ? find(range.first) : nil
    }

    private func numbers(_ range: Interval<UInt32>) -> String {
        range.first == range.last ? "\(range.first)" : "\(range.first)-\(range.last)"
    }
}
