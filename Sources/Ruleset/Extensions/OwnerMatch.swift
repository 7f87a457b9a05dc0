// `-m owner --uid-owner`: whose socket sent the packet. Groups and the mere existence of a socket are
// refused by name: with a packet of the node's own the kernel tells its user and no more.

struct OwnerParser: MatchParser {
    static let name = "owner"
    static let options: [OptionSpec] = [
        OptionSpec("uid-owner", 1, invertible: true), OptionSpec("gid-owner", 2, invertible: true),
        OptionSpec("socket-exists", 3, takesArgument: false, invertible: true),
        OptionSpec("suppl-groups", 4, takesArgument: false),
    ]

    /// 2³² - 1 is nobody's: the kernel keeps it for "no user".
    private static let largest = UInt64(UInt32.max) - 1
    private var value: Invertible<Interval<UInt32>>?

    mutating func take(_ use: OptionUse, _ context: inout RuleContext) throws(CommandError) {
        guard use.spec.id == 1 else {
            var error = CommandError.parameter("unknown option \"\(use.option)\"", word: use.option)
            error.note =
                "\(use.option) of match \"owner\" is not supported by Sluice: it knows the user "
                + "of a packet, not its group; supported: --uid-owner"
            throw error
        }
        value = Invertible(try users(use, context), inverted: use.inverted)
    }

    private func users(
        _ use: OptionUse, _ context: RuleContext
    ) throws(CommandError) -> Interval<UInt32> {
        if let user = context.resolver.userID(named: use.value) { return Interval(user, user) }
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
            use, use.value, expected: "the name of a user, a number, or number-number")
    }

    func check(_ context: RuleContext) throws(CommandError) {
        guard value != nil else {
            throw .parameter(
                "owner: At least one of --uid-owner, --gid-owner or --socket-exists is required")
        }
    }

    func match() -> Match {
        guard let value else { preconditionFailure("check() lets no empty owner through") }
        return .stateless(.owner(value))
    }
}

struct OwnerText: ExtensionText {
    var test: Invertible<Interval<UInt32>>
    var extensionName: String { "owner" }

    var saved: String { mark + " --uid-owner " + numbers }

    func listed(_ names: ListingNames) -> String {
        let one = test.value.first == test.value.last
        let name = one && !names.numeric ? names.resolver.userName(test.value.first) : nil
        return mark + " owner UID match " + (name ?? numbers)
    }

    private var mark: String { test.inverted ? " !" : "" }

    private var numbers: String {
        test.value.first == test.value.last
            ? "\(test.value.first)" : "\(test.value.first)-\(test.value.last)"
    }
}
