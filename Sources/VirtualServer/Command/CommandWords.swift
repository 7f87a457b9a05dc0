// A command line as popt reads it, the library that ipvsadm uses: short options in bundles with their values
// attached or behind, long ones with `=` or behind, words in between left over.

/// How an option takes a value.
enum OptionValue {
    case none, required
    /// The next word, unless that is an option.
    case optional
}

struct CommandWords {
    struct Option {
        var long: String
        var short: Character?
        var value: OptionValue
        var tag: IPVSOption
    }

    enum Failure: Error, Hashable {
        /// The word as it was typed, and what is wrong with it.
        case bad(String, String)
        /// The option was understood, and ends the command.
        case outcome(IPVSOutcome)
    }

    private let words: [String]
    private var next = 0
    /// The rest of a bundle.
    private var bundle: Substring?
    private var onlyWords = false
    private(set) var leftOver: [String] = []

    init(_ words: [String]) { self.words = words }

    /// The word that the last option came in.
    var currentWord: String { next > 0 ? words[next - 1] : "" }

    /// The next option with its value; `nil` at the end.
    mutating func option(_ table: [Option]) throws(Failure) -> (IPVSOption, String?)? {
        guard let (option, attached) = try find(table) else { return nil }
        switch option.value {
        case .none:
            if attached != nil { throw .bad(currentWord, "option does not take an argument") }
            return (option.tag, nil)
        case .required, .optional:
            if let attached { return (option.tag, attached) }
            if let rest = bundle {
                bundle = nil
                return (option.tag, String(rest.first == "=" ? rest.dropFirst() : rest))
            }
            let isOption = next < words.count && words[next].hasPrefix("-")
            if next == words.count {
                if option.value == .required { throw .bad(currentWord, "missing argument") }
                return (option.tag, nil)
            }
            if option.value == .optional, isOption { return (option.tag, nil) }
            next += 1
            return (option.tag, words[next - 1])
        }
    }

    /// The option and what stands behind its `=`.
    private mutating func find(
        _ table: [Option]
    ) throws(Failure) -> (option: Option, attached: String?)? {
        if bundle == nil {
            guard let word = nextOptionWord() else { return nil }
            if word.hasPrefix("--") { return try findLong(word, table) }
            bundle = word.dropFirst()
        }
        guard let rest = bundle, let character = rest.first else { return nil }
        let behind = rest.dropFirst()
        bundle = behind.isEmpty ? nil : behind
        guard let option = table.first(where: { $0.short == character }) else {
            throw .bad(currentWord, "unknown option")
        }
        let isUnwanted = option.value == .none && behind.first == "="
        return (option, isUnwanted ? String(behind.dropFirst()) : nil)
    }

    private func findLong(
        _ word: String, _ table: [Option]
    ) throws(Failure) -> (option: Option, attached: String?) {
        let parts = word.dropFirst(2).split(
            separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        guard let option = table.first(where: { $0.long == parts[0] }) else {
            throw .bad(word, "unknown option")
        }
        return (option, parts.count > 1 ? String(parts[1]) : nil)
    }

    private mutating func nextOptionWord() -> String? {
        while next < words.count {
            let word = words[next]
            next += 1
            if word == "--", !onlyWords {
                onlyWords = true
            } else if onlyWords || word == "-" || !word.hasPrefix("-") {
                leftOver.append(word)
            } else {
                return word
            }
        }
        return nil
    }
}
