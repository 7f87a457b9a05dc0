// The `conntrack` command line (conntrack-tools 1.4.7): arguments in, a request or an answer out.
// Error texts and exit statuses are the tool's: 2 for a bad command line, 1 for a failed operation.
//
// Two deliberate differences. A value that the tool reads as nonsense (`--dport abc`, `-m x`, an
// address of three parts) is refused instead of matching nothing. What cannot be honoured here, -I, -A
// and -U, labels, security marks, XML, is refused by name.

import Wire

/// The outcome of reading a command line.
public enum ConntrackCommand: Hashable, Sendable {
    case request(ConntrackRequest)
    /// Help, the version, or an error: nothing is to be done.
    case finished(ConntrackOutcome)

    /// - Parameter arguments: without the program's name.
    public init(parsing arguments: [String]) {
        var parser = ConntrackParser(arguments)
        do throws(ConntrackSyntaxError) {
            self = try parser.parse()
        } catch {
            self = .finished(
                ConntrackOutcome(error: parser.request.warnings + error.text, status: error.status))
        }
    }
}

struct ConntrackSyntaxError: Error {
    var text: String
    var status: Int32

    /// PARAMETER_PROBLEM.
    init(_ message: String) {
        text =
            ConntrackText.trailer(message)
            + "Try `conntrack -h' or 'conntrack --help' for more information.\n"
        status = 2
    }

    /// OTHER_PROBLEM.
    init(other message: String) {
        text = ConntrackText.trailer(message)
        status = 1
    }
}

struct ConntrackParser {
    let arguments: [String]
    /// The next argument, as getopt's `optind`.
    var next = 0
    var command: ConntrackOption?
    var table = Table.conntrack
    var seen: Set<ConntrackOption> = []
    var longOptions = ConntrackOptionTable.long
    var request = ConntrackRequest(action: .list)
    var families: Set<Family> = []
    var eventKinds = ConntrackRequest.EventKinds.all
    var tuple = TupleParts()
    var masks: (source: UInt32?, destination: UInt32?) = (nil, nil)

    enum Table { case conntrack, expect, dying, unconfirmed }
    enum Family { case ipv4, ipv6 }

    /// What `-G` looks up.
    struct TupleParts {
        var source: IPv4Address?
        var destination: IPv4Address?
    }

    init(_ arguments: [String]) { self.arguments = arguments }

    mutating func parse() throws(ConntrackSyntaxError) -> ConntrackCommand {
        while next < arguments.count {
            let word = arguments[next]
            next += 1
            if word == "--" { break }
            if word.hasPrefix("--") {
                try long(word)
            } else if word.hasPrefix("-"), word.utf8.count > 1 {
                try short(word)
            }
            // As getopt does, words that belong to no option are passed over.
        }
        return try conclude()
    }

    private mutating func long(_ word: String) throws(ConntrackSyntaxError) {
        let parts = word.dropFirst(2).split(
            separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        let name = String(parts[0])
        let attached = parts.count > 1 ? String(parts[1]) : nil
        var option = longOptions.first { $0.name == name }?.option
        if option == nil {
            // Any unambiguous beginning will do.
            let candidates = Set(
                longOptions.filter { $0.name.hasPrefix(name) }.map { $0.option })
            if candidates.count == 1, !name.isEmpty { option = candidates.first }
        }
        guard let option else { throw ConntrackSyntaxError("unknown option `\(word)'") }
        if option.value == .none, attached != nil {
            throw ConntrackSyntaxError("unknown option `\(word)'")
        }
        try apply(option, try value(of: option, attached, word))
    }

    private mutating func short(_ word: String) throws(ConntrackSyntaxError) {
        var letters = word.dropFirst()
        while let letter = letters.popFirst() {
            guard let option = ConntrackOptionTable.short[letter] else {
                throw ConntrackSyntaxError("unknown option `\(word)'")
            }
            // A command's table is always a word of its own; other values may be attached.
            var attached: String?
            if option.value != .none, !option.isCommand, !letters.isEmpty {
                attached = String(letters)
                letters = ""
            }
            if option.isCommand, !letters.isEmpty {
                try apply(option, nil)
            } else {
                try apply(option, try value(of: option, attached, word))
            }
        }
    }

    private mutating func value(
        of option: ConntrackOption, _ attached: String?, _ word: String
    ) throws(ConntrackSyntaxError) -> String? {
        if let attached { return attached }
        switch option.value {
        case .none:
            return nil
        case .required:
            guard next < arguments.count else {
                throw ConntrackSyntaxError("option `\(word)' requires an argument")
            }
        case .optional:
            guard next < arguments.count, let first = arguments[next].first, first != "-",
                first != "!"
            else { return nil }
        }
        defer { next += 1 }
        return arguments[next]
    }

    private mutating func apply(
        _ option: ConntrackOption, _ value: String?
    ) throws(ConntrackSyntaxError) {
        if option.isCommand { return try choose(option, value) }
        if option != .natRange { seen.insert(option) }
        try set(option, value ?? "")
    }

    private mutating func choose(
        _ option: ConntrackOption, _ name: String?
    ) throws(ConntrackSyntaxError) {
        if let name { table = try Self.table(name) }
        let isTransient = table == .dying || table == .unconfirmed
        if isTransient, option != .list {
            throw ConntrackSyntaxError(
                "Can't do that command with tables `dying' and `unconfirmed'")
        }
        if table == .expect, option == .update || option == .add {
            let name = option == .update ? "update" : "add"
            throw ConntrackSyntaxError("Can't do --\(name) on expectations")
        }
        guard command == nil else { throw ConntrackSyntaxError("Invalid commands combination") }
        command = option
    }

    /// Any beginning of a table's name names it; an empty one is `expect`, as for the tool.
    private static func table(_ name: String) throws(ConntrackSyntaxError) -> Table {
        if "expect".hasPrefix(name) { return .expect }
        if "conntrack".hasPrefix(name) { return .conntrack }
        if "dying".hasPrefix(name) { return .dying }
        if "unconfirmed".hasPrefix(name) { return .unconfirmed }
        throw ConntrackSyntaxError("unknown type `\(name)'")
    }
}
