// `-m owner`: whose socket sent the packet. The mere existence of a socket is refused by name: where the
// packet comes from a socket without an owner, Sluice cannot tell it from one without a socket.

struct OwnerParser: MatchParser {
    static let name = "owner"
    static let options: [OptionSpec] = [
        OptionSpec("uid-owner", 1, invertible: true), OptionSpec("gid-owner", 2, invertible: true),
        OptionSpec("socket-exists", 3, takesArgument: false, invertible: true),
        OptionSpec("suppl-groups", 4, takesArgument: false),
    ]

    /// 2³² - 1 is nobody's: the kernel keeps it for "no user" and "no group".
    private static let largest = UInt64(UInt32.max) - 1
    private var found = OwnerMatch()

    mutating func take(_ use: OptionUse, _ context: inout RuleContext) throws(CommandError) {
        let resolver = context.resolver
        switch use.spec.id {
        case 1:
            let user = resolver.userID(named: use.value)
            found.users = Invertible(try range(use, user, "user"), inverted: use.inverted)
        case 2:
            let group = resolver.groupID(named: use.value)
            found.groups = Invertible(try range(use, group, "group"), inverted: use.inverted)
        case 4:
            guard found.groups != nil else {
                throw .parameter(
                    "owner: Bad value for \"--suppl-groups\" option: "
                        + "\"you need to use --gid-owner first\"")
            }
            found.includesSupplementaryGroups = true
        default:
            var error = CommandError.parameter("unknown option \"\(use.option)\"", word: use.option)
            error.note =
                "\(use.option) of match \"owner\" is not supported by Sluice: it knows the owner "
                + "of a socket, not whether there is one; supported: --uid-owner, --gid-owner, "
                + "--suppl-groups"
            throw error
        }
    }

    private func range(
        _ use: OptionUse, _ named: UInt32?, _ kind: String
    ) throws(CommandError) -> Interval<UInt32> {
        if let named { return Interval(named, named) }
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
            use, use.value, expected: "the name of a \(kind), a number, or number-number")
    }

    func check(_ context: RuleContext) throws(CommandError) {
        guard found != OwnerMatch() else {
            throw .parameter(
                "owner: At least one of --uid-owner, --gid-owner or --socket-exists is required")
        }
    }

    func match() -> Match { .stateless(.owner(found)) }
}

extension OwnerMatch: ExtensionText {
    var extensionName: String { "owner" }

    var saved: String {
        parts("--uid-owner", "--gid-owner", "--suppl-groups") {
            numbers($0)
        } group: {
            numbers($0)
        }
    }

    func listed(_ names: ListingNames) -> String {
        parts("owner UID match", "owner GID match", "incl. suppl. groups") {
            name($0, names, names.resolver.userName) ?? numbers($0)
        } group: {
            name($0, names, names.resolver.groupName) ?? numbers($0)
        }
    }

    private func parts(
        _ userWord: String, _ groupWord: String, _ supplementary: String,
        user: (Interval<UInt32>) -> String, group: (Interval<UInt32>) -> String
    ) -> String {
        var text = ""
        if let users { text += mark(users) + " \(userWord) " + user(users.value) }
        if let groups { text += mark(groups) + " \(groupWord) " + group(groups.value) }
        return text + (includesSupplementaryGroups ? " " + supplementary : "")
    }

    private func mark(_ test: Invertible<Interval<UInt32>>) -> String { test.inverted ? " !" : "" }

    private func name(
        _ range: Interval<UInt32>, _ names: ListingNames, _ find: (UInt32) -> String?
    ) -> String? {
        range.first == range.last && !names.numeric ? find(range.first) : nil
    }

    private func numbers(_ range: Interval<UInt32>) -> String {
        range.first == range.last ? "\(range.first)" : "\(range.first)-\(range.last)"
    }
}
