// Takes an argument vector apart as getopt_long does: clusters of letters, arguments attached or
// not, long options abbreviated as far as they are unambiguous, everything else as plain words.

/// Whose option it is that was found.
enum OptionOwner: Hashable {
    case program(GlobalOption)
    /// The extension's place among those loaded, and the option's place in its list.
    case parameter(Int, Int)
}

struct LongOption {
    var name: String
    var owner: OptionOwner
    /// Spellings with the same key are one option when abbreviations are resolved.
    var key: OptionOwner
    var argument: GlobalOption.Argument
}

enum ScannedArgument {
    case option(OptionOwner, argument: String?)
    case word(String)
    case unknown(String)
    case missingArgument(String)
}

struct ArgumentScanner {
    let arguments: [String]
    /// The next argument to look at.
    private(set) var index = 0
    /// Letters left in a cluster (`-nvL`).
    private var cluster: Substring = ""
    /// Set behind `--`.
    private(set) var ended = false
    /// Where the thing returned last began.
    private(set) var current = 0

    init(_ arguments: [String]) { self.arguments = arguments }

    var following: ArraySlice<String> { arguments[index...] }

    /// Whether a word follows that may belong to the option (`-L [CHAIN]`).
    var hasWord: Bool {
        guard cluster.isEmpty, let next = following.first else { return false }
        return !next.hasPrefix("-") && !next.hasPrefix("!")
    }

    mutating func takeWord() -> String {
        defer { index += 1 }
        return arguments[index]
    }

    mutating func skip(_ count: Int) { index += count }

    /// Look at the last long option again, now that more options are known.
    mutating func rewind() {
        index = current
        cluster = ""
    }

    mutating func next(_ table: [LongOption]) -> ScannedArgument? {
        if !cluster.isEmpty { return letter() }
        guard !ended, index < arguments.count else { return nil }
        current = index
        let argument = arguments[index]
        index += 1
        if argument == "--" {
            ended = true
            return nil
        }
        if argument.hasPrefix("--") { return long(argument, table) }
        if argument.hasPrefix("-"), argument.utf8.count > 1 {
            cluster = argument.dropFirst()
            return letter()
        }
        return .word(argument)
    }

    private mutating func letter() -> ScannedArgument {
        let letter = cluster.removeFirst()
        guard letter != "0", let option = GlobalOption(rawValue: letter) else {
            cluster = ""
            return .unknown(arguments[current])
        }
        switch option.argument {
        case .none: return .option(.program(option), argument: nil)
        case .optional:
            defer { cluster = "" }
            return .option(.program(option), argument: cluster.isEmpty ? nil : String(cluster))
        case .required:
            defer { cluster = "" }
            if !cluster.isEmpty {
                return .option(.program(option), argument: String(cluster))
            }
            guard index < arguments.count else { return .missingArgument(arguments[current]) }
            return .option(.program(option), argument: takeWord())
        }
    }

    private mutating func long(_ argument: String, _ table: [LongOption]) -> ScannedArgument {
        let body = argument.dropFirst(2)
        let equals = body.firstIndex(of: "=")
        let name = body[..<(equals ?? body.endIndex)]
        let attached = equals.map { String(body[body.index(after: $0)...]) }
        guard let found = Self.find(name, table) else { return .unknown(argument) }
        switch found.argument {
        case .none:
            return attached == nil ? .option(found.owner, argument: nil) : .unknown(argument)
        case .optional: return .option(found.owner, argument: attached)
        case .required:
            if let attached { return .option(found.owner, argument: attached) }
            guard index < arguments.count else { return .missingArgument(argument) }
            return .option(found.owner, argument: takeWord())
        }
    }

    /// An exact name wins; else the only option that begins so.
    private static func find(_ name: Substring, _ table: [LongOption]) -> LongOption? {
        if let exact = table.first(where: { $0.name == name }) { return exact }
        let candidates = table.filter { $0.name.hasPrefix(name) }
        guard let first = candidates.first, candidates.allSatisfy({ $0.key == first.key }) else {
            return nil
        }
        return first
    }
}
