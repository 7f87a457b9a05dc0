// What is said when a command is refused: the text of iptables 1.8.9 with its exit status, and what
// Sluice adds in a line of its own (place, offending word, expectation).

/// One refusal. It becomes bytes only in `CommandOutcome`, where program and line are known.
struct CommandError: Error, Hashable {
    enum Form: Hashable {
        /// `PROGRAM v1.8.9 (nf_tables): TEXT`, then the hint at --help; the status is usually 2.
        case parameter
        /// TEXT as it stands, then the hint at --help.
        case bare
        /// `PROGRAM v1.8.9 (nf_tables): TEXT`, no hint (status 3 says "Perhaps iptables …").
        case versioned
        /// `PROGRAM: TEXT.`, or in a file `PROGRAM: line N failed: TEXT.`
        case operation
    }

    var form: Form
    var status: Int32
    var text: String
    /// The word at fault.
    var word: String?
    /// What would have been accepted.
    var expected: String?
    /// A sentence of Sluice's own, where "expected …" does not say it.
    var note: String?
    /// The place of the word among the arguments.
    var argument: Int?

    init(
        _ form: Form, status: Int32, _ text: String, word: String? = nil, expected: String? = nil,
        argument: Int? = nil
    ) {
        self.form = form
        self.status = status
        self.text = text
        self.word = word
        self.expected = expected
        self.argument = argument
    }

    static func parameter(_ text: String, word: String? = nil, expected: String? = nil) -> Self {
        Self(.parameter, status: 2, text, word: word, expected: expected)
    }

    static func operation(_ text: String, word: String? = nil, expected: String? = nil) -> Self {
        Self(.operation, status: 1, text, word: word, expected: expected)
    }

    /// Something that iptables has and Sluice does not. `kind` is "match" or "target".
    static func unsupported(_ kind: String, _ name: String, supported: String) -> Self {
        var error = Self.parameter(
            "Couldn't load \(kind) `\(name)':No such file or directory\n", word: name)
        error.note = "\(kind) \"\(name)\" is not supported by Sluice yet; supported: \(supported)"
        return error
    }

    static func badArgument(_ word: String, at argument: Int? = nil) -> Self {
        Self(
            .bare, status: 2, "Bad argument `\(word)'", word: word, expected: "an option",
            argument: argument)
    }

    static let noSuchChain = Self.operation("No chain/target/match by that name")
    static let noSuchRule = Self.operation(
        "Bad rule (does a matching rule exist in that chain?)")
}

/// What the kernel would say of one command of a batch that it refuses as a whole.
struct KernelRefusal: Hashable {
    var line: Int
    /// `RULE_APPEND failed (Invalid argument): rule in chain X`.
    var text: String
    /// Why, in Sluice's words; the kernel keeps it to itself.
    var reason: String
}
