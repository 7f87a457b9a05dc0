// The options of `iptables-save` and `iptables-restore`, which follow getopt_long's own messages.

/// Options of a small program: letters and long names, read as getopt_long reads them.
struct SmallOptions {
    var options: [(long: String, letter: Character, takesArgument: Bool)]
    var program: String
    var hint: String

    /// The options found, then the plain words; or the message that ends the program.
    func parse(
        _ arguments: [String]
    ) -> Result<(found: [(Character, String)], words: [String]), SmallOptionsFault> {
        var found: [(Character, String)] = []
        var words: [String] = []
        var rest = arguments[...]
        while let argument = rest.popFirst() {
            if argument == "--" {
                words += rest
                break
            }
            guard argument.hasPrefix("-"), argument.utf8.count > 1 else {
                words.append(argument)
                continue
            }
            let fault =
                argument.hasPrefix("--")
                ? long(argument, &rest, &found) : letters(argument, &rest, &found)
            if let fault {
                return .failure(SmallOptionsFault(text: "\(program): \(fault)\n" + hint))
            }
        }
        return .success((found, words))
    }

    private func long(
        _ argument: String, _ rest: inout ArraySlice<String>, _ found: inout [(Character, String)]
    ) -> String? {
        let body = argument.dropFirst(2)
        let equals = body.firstIndex(of: "=")
        let name = body[..<(equals ?? body.endIndex)]
        let exact = options.filter { $0.long == name }
        let candidates = exact.isEmpty ? options.filter { $0.long.hasPrefix(name) } : exact
        guard let option = candidates.first else { return "unrecognized option '\(argument)'" }
        guard candidates.count == 1 else { return "option '\(argument)' is ambiguous" }
        if let equals {
            guard option.takesArgument else {
                return "option '--\(option.long)' doesn't allow an argument"
            }
            found.append((option.letter, String(body[body.index(after: equals)...])))
            return nil
        }
        guard option.takesArgument else {
            found.append((option.letter, ""))
            return nil
        }
        guard let value = rest.popFirst() else {
            return "option '--\(option.long)' requires an argument"
        }
        found.append((option.letter, value))
        return nil
    }

    private func letters(
        _ argument: String, _ rest: inout ArraySlice<String>, _ found: inout [(Character, String)]
    ) -> String? {
        var cluster = argument.dropFirst()
        while let letter = cluster.popFirst() {
            guard let option = options.first(where: { $0.letter == letter }) else {
                return "invalid option -- '\(letter)'"
            }
            guard option.takesArgument else {
                found.append((letter, ""))
                continue
            }
            if !cluster.isEmpty {
                found.append((letter, String(cluster)))
            } else if let value = rest.popFirst() {
                found.append((letter, value))
            } else {
                return "option requires an argument -- '\(letter)'"
            }
            break
        }
        return nil
    }
}

struct SmallOptionsFault: Error {
    var text: String
}

enum SaveProgram {
    private static let options = SmallOptions(
        options: [
            ("counters", "c", false), ("version", "V", false), ("dump", "d", false),
            ("table", "t", true), ("modprobe", "M", true), ("file", "f", true),
            ("ipv4", "4", false), ("ipv6", "6", false),
        ],
        program: "iptables-save",
        hint: "Look at manual page `iptables-save.8' for more information.\n")

    static func run(
        _ arguments: [String], _ ruleset: Ruleset, _ environment: CommandEnvironment
    ) -> CommandOutcome {
        var outcome = CommandOutcome()
        var counters = false
        var tables: [TableName]?
        switch options.parse(arguments) {
        case .failure(let fault): return stop(fault.text)
        case .success((let found, let words)):
            for (letter, value) in found {
                switch letter {
                case "c": counters = true
                case "f": outcome.outputFile = value
                case "t":
                    guard let table = TableName(rawValue: value) else {
                        return stop("Table `\(value)' does not exist\n")
                    }
                    tables = [table]
                case "V":
                    outcome.standardOutput = "iptables-save \(IPTablesCommand.version)\n"
                    return outcome
                default: break
                }
            }
            guard words.isEmpty else { return stop("Unknown arguments found on commandline\n") }
        }
        outcome.standardOutput = ruleset.saved(
            tables: tables, counters: counters, date: environment.date,
            resolver: environment.resolver)
        return outcome
    }

    private static func stop(_ text: String) -> CommandOutcome {
        CommandOutcome(standardError: text, status: 1)
    }
}

enum RestoreProgram {
    private static let options = SmallOptions(
        options: [
            ("counters", "c", false), ("verbose", "v", false), ("version", "V", false),
            ("test", "t", false), ("help", "h", false), ("noflush", "n", false),
            ("modprobe", "M", true), ("table", "T", true), ("wait-interval", "W", true),
            ("ipv4", "4", false), ("ipv6", "6", false),
        ],
        program: "iptables-restore", hint: "Try `iptables-restore -h' for more information.\n")

    static func run(
        _ arguments: [String], _ standardInput: [UInt8], _ ruleset: Ruleset,
        _ environment: CommandEnvironment
    ) -> CommandOutcome {
        var settings = RestoreOptions()
        var input = standardInput
        switch options.parse(withoutWait(arguments)) {
        case .failure(let fault): return stop(fault.text)
        case .success((let found, let words)):
            for (letter, value) in found {
                switch letter {
                case "c": settings.counters = true
                case "v": settings.verbose = true
                case "t": settings.test = true
                case "n": settings.noFlush = true
                case "T": settings.table = value
                case "V":
                    return CommandOutcome(
                        standardOutput: "iptables-restore \(IPTablesCommand.version)\n")
                case "h": return CommandOutcome(standardError: usage)
                default: break
                }
            }
            guard words.count <= 1 else { return stop("Unknown arguments found on commandline\n") }
            if let file = words.first {
                settings.fileName = file
                switch environment.readFile(file) {
                case .bytes(let bytes): input = bytes
                case .unreadable(let why): return stop("Can't open \(file): \(why)\n")
                }
            }
        }
        guard let text = String(validating: input, as: UTF8.self) else {
            return stop("iptables-restore: \(settings.fileName) is not text in UTF-8\n")
        }
        var restore = Restore(
            ruleset, program: "iptables-restore", options: settings,
            resolver: environment.resolver)
        restore.run(text)
        return CommandOutcome(
            standardOutput: restore.output, standardError: restore.errors,
            status: restore.status, ruleset: restore.ruleset == ruleset ? nil : restore.ruleset)
    }

    /// `-w [SECONDS]` is the one option whose argument may stand apart or be missing.
    private static func withoutWait(_ arguments: [String]) -> [String] {
        var kept: [String] = []
        var rest = arguments[...]
        while let argument = rest.popFirst() {
            guard argument == "-w" || argument == "--wait" else {
                let attached = argument.hasPrefix("--wait=") || argument.hasPrefix("-w")
                if !attached { kept.append(argument) }
                continue
            }
            if let next = rest.first, CNumber.unsigned(next, max: UInt64(Int32.max)) != nil {
                rest.removeFirst()
            }
        }
        return kept
    }

    private static func stop(_ text: String) -> CommandOutcome {
        CommandOutcome(standardError: text, status: 1)
    }

    private static let usage = """
        Usage: iptables-restore [-c] [-v] [-V] [-t] [-h] [-n] [-T table] [-M command] [-4] [-6] [file]
        \t   [ --counters ]
        \t   [ --verbose ]
        \t   [ --version]
        \t   [ --test ]
        \t   [ --help ]
        \t   [ --noflush ]
        \t   [ --table=<TABLE> ]
        \t   [ --modprobe=<command> ]
        \t   [ --ipv4 ]
        \t   [ --ipv6 ]

        """
}
