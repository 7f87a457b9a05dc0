// From an argument vector to a `RuleCommand`. The order of the checks is that of iptables 1.8.9,
// because of several faults only the first is reported.

import Wire

struct CommandParser {
    /// A match or target that has been named, and which of its options were given.
    struct Loaded {
        var parser: any ExtensionParser
        var isTarget: Bool
        var used: Set<Int> = []
    }

    let resolver: any NameResolver
    /// Within a restore file: `-t` is refused, the table is the file's.
    let fileTable: TableName?

    var scanner: ArgumentScanner
    var loaded: [Loaded] = [] {
        didSet { if loaded.count != oldValue.count { longOptions = makeLongOptions() } }
    }
    private var longOptions = CommandParser.ownOptions
    var inverted = false
    var seen: Set<GlobalOption> = []
    var command: RuleCommand?
    var table: TableName
    var rule = Rule(id: RuleID(rawValue: 0))
    var sourceText: (text: String, inverted: Bool)?
    var destinationText: (text: String, inverted: Bool)?
    /// `-p` as typed: the name under which its match is found. All protocols where it is 0.
    var transportName: String?
    var jump: String?
    var isGoto = false
    var waitInterval = false
    var warnings = ""
    /// `-V`, `-h`: nothing else is done.
    var answer: String?

    init(_ arguments: [String], resolver: any NameResolver, fileTable: TableName? = nil) {
        self.resolver = resolver
        self.fileTable = fileTable
        scanner = ArgumentScanner(arguments)
        table = fileTable ?? .filter
    }

    /// `nil` where `answer` says it all.
    mutating func parse() throws(CommandError) -> RuleCommand? {
        do {
            while answer == nil, let found = scanner.next(longOptions) { try take(found) }
            if answer != nil { return nil }
            return try finish()
        } catch {
            var placed = error
            if placed.argument == nil { placed.argument = place(of: error.word) }
            throw placed
        }
    }

    /// The argument that the error is about: the word itself where it stands as one.
    private func place(of word: String?) -> Int? {
        let near = scanner.arguments.indices.filter { scanner.current <= $0 && $0 < scanner.index }
        if let word, let exact = near.last(where: { scanner.arguments[$0] == word }) {
            return exact
        }
        if let word, let holder = near.last(where: { scanner.arguments[$0].contains(word) }) {
            return holder
        }
        return near.first
    }

    private static let ownOptions = GlobalOption.longNames.map {
        LongOption(
            name: $0.name, owner: .program($0.option), key: .program($0.option),
            argument: $0.option.argument)
    }

    /// iptables puts its own options first, then those of the extension named last, and so on back.
    private func makeLongOptions() -> [LongOption] {
        var table = Self.ownOptions
        for place in loaded.indices.reversed() {
            let specs = type(of: loaded[place].parser).options
            for (index, spec) in specs.enumerated() {
                table.append(
                    LongOption(
                        name: spec.name, owner: .parameter(place, index),
                        key: .parameter(place, spec.id),
                        argument: spec.takesArgument ? .required : .none))
            }
        }
        return table
    }

    private mutating func take(_ found: ScannedArgument) throws(CommandError) {
        switch found {
        case .option(.program(let option), let argument):
            try take(option, argument ?? "", given: argument != nil)
            inverted = false
        case .option(.parameter(let place, let index), let argument):
            try take(place, index, argument ?? "")
            inverted = false
        case .word("!"):
            guard !inverted else { throw .parameter("multiple consecutive ! not allowed") }
            inverted = true
        case .word(let word): throw .badArgument(word, at: scanner.current)
        case .missingArgument(let option):
            throw .parameter(
                "option \"\(option)\" requires an argument", word: option,
                expected: "a word behind it")
        case .unknown(let option):
            if loadTransportMatch() {
                scanner.rewind()
            } else {
                throw .parameter(
                    "unknown option \"\(option)\"", word: option,
                    expected: "an option of iptables or of a match or target named before")
            }
        }
    }

    /// `-p tcp --dport 80` without `-m tcp`: the protocol's match is named by the protocol.
    private mutating func loadTransportMatch() -> Bool {
        guard let name = transportName, let match = ExtensionTable.match(name),
            !loaded.contains(where: { !$0.isTarget && type(of: $0.parser).name == name })
        else { return false }
        loaded.append(Loaded(parser: match.init(), isTarget: false))
        return true
    }

    private mutating func take(
        _ place: Int, _ index: Int, _ argument: String
    ) throws(CommandError) {
        let spec = type(of: loaded[place].parser).options[index]
        let name = type(of: loaded[place].parser).name
        if case .guided(let invertible, _) = spec.checks {
            guard !inverted || invertible else {
                throw .parameter(
                    "\(name): option \"--\(spec.name)\" cannot be inverted.\n", word: "!",
                    expected: "no ! here")
            }
            guard !loaded[place].used.contains(spec.id) else {
                let specs = type(of: loaded[place].parser).options
                let first = specs.first { $0.id == spec.id } ?? spec
                throw .parameter(
                    "\(name): option \"--\(first.name)\" can only be used once.\n",
                    word: "--" + spec.name)
            }
        }
        loaded[place].used.insert(spec.id)
        var context = RuleContext(
            resolver: resolver, protocol: rule.protocol, following: scanner.following)
        try loaded[place].parser.take(
            OptionUse(spec: spec, value: argument, inverted: inverted), &context)
        scanner.skip(context.taken)
        warnings += context.warnings
    }

    // MARK: After the last argument

    private mutating func finish() throws(CommandError) -> RuleCommand {
        if waitInterval, !seen.contains(.wait) {
            throw .parameter("--wait-interval only makes sense with --wait\n")
        }
        if table == .nat, jump == "DROP" || command?.policy == "DROP" && fileTable == nil {
            throw .parameter(
                "\nThe \"nat\" table is not intended for filtering, the use of DROP is "
                    + "therefore inhibited.\n\n", word: "DROP",
                expected: "a target that nat knows; filter in the filter table")
        }
        for part in loaded { try check(part) }
        if scanner.index < scanner.arguments.count {
            throw .parameter("unknown arguments found on commandline")
        }
        guard var command else { throw .parameter("no command specified") }
        guard !inverted else { throw .parameter("nothing appropriate following !") }
        command.table = table
        command.warnings = warnings
        command.verbose = seen.contains(.verbose)
        command.numeric = seen.contains(.numeric)
        command.exact = seen.contains(.exact)
        command.lineNumbers = seen.contains(.lineNumbers)
        if command.kind.takesRule { command.rules = try makeRules() }
        if command.kind == .replace, command.rules.count != 1 {
            throw .parameter("Replacement rule does not specify a unique address")
        }
        for option in command.kind.illegalOptions {
            if let option = GlobalOption(rawValue: option), seen.contains(option) {
                throw .parameter("Illegal option `-\(option.rawValue)' with this command")
            }
        }
        try checkChain(command)
        return command
    }

    private func check(_ part: Loaded) throws(CommandError) {
        try part.parser.check(
            RuleContext(resolver: resolver, protocol: rule.protocol, following: []))
        let name = type(of: part.parser).name
        let specs = type(of: part.parser).options
        for spec in specs {
            guard case .guided(_, let mandatory) = spec.checks else { continue }
            guard part.used.contains(spec.id) else {
                if mandatory {
                    throw .parameter(
                        "\(name): option \"--\(spec.name)\" must be specified\n", word: name,
                        expected: "--\(spec.name)")
                }
                continue
            }
            if let other = specs.first(where: {
                spec.excludes.contains($0.id) && part.used.contains($0.id)
            }) {
                throw .parameter(
                    "\(name): option \"--\(spec.name)\" cannot be used together with "
                        + "\"--\(other.name)\".\n", word: "--" + other.name)
            }
            if let other = specs.first(where: {
                spec.requires.contains($0.id) && !part.used.contains($0.id)
            }) {
                throw .parameter(
                    "\(name): option \"--\(spec.name)\" also requires \"--\(other.name)\".\n",
                    word: "--" + spec.name, expected: "--" + other.name)
            }
        }
    }

    private func checkChain(_ command: RuleCommand) throws(CommandError) {
        guard let chain = command.chain else { return }
        guard chain.utf8.count < 29 else { throw Self.chainTooLong(chain) }
        guard command.kind.takesRule || command.kind == .deleteNumber else { return }
        if chain == "PREROUTING" || chain == "INPUT", seen.contains(.outInterface) {
            throw .parameter(
                "Can't use -o with \(chain)\n", word: "-o",
                expected: "-i: the way out is not known yet in \(chain)")
        }
        if chain == "POSTROUTING" || chain == "OUTPUT", seen.contains(.inInterface) {
            throw .parameter(
                "Can't use -i with \(chain)\n", word: "-i",
                expected: "-o: \(chain) does not look at the way in")
        }
    }

    static func chainTooLong(_ chain: String) -> CommandError {
        .parameter(
            "chain name `\(chain)' too long (must be under 29 chars)", word: chain,
            expected: "28 characters at most")
    }
}
