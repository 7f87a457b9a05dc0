// Text of words, as the ip command takes it, read from left to right with the column of each word.

import Wire

/// What is wrong at one place of a text of words.
struct WordFault: Error {
    /// From 1.
    var column: Int
    var message: String
}

struct Words {
    struct Word {
        var text: String
        var column: Int
    }

    private let words: [Word]
    private var next = 0
    /// Behind the last word: where something is missing.
    private let end: Int

    init(_ text: String) {
        var found: [Word] = []
        var column = 1
        var current = ""
        for character in text {
            if character.isWhitespace {
                if !current.isEmpty {
                    found.append(Word(text: current, column: column - current.count))
                }
                current = ""
            } else {
                current.append(character)
            }
            column += 1
        }
        if !current.isEmpty { found.append(Word(text: current, column: column - current.count)) }
        words = found
        end = column
    }

    var peek: String? { next < words.count ? words[next].text : nil }

    /// The column of the word that `take` gives next.
    var column: Int { next < words.count ? words[next].column : end }

    mutating func take() -> String? {
        guard next < words.count else { return nil }
        defer { next += 1 }
        return words[next].text
    }

    /// Takes the word if it is one of these.
    mutating func take(anyOf names: String...) -> Bool {
        guard let peek, names.contains(peek) else { return false }
        next += 1
        return true
    }

    /// Takes a word and what it says; `expected` says what it should have been.
    mutating func take<Value>(
        _ expected: String, _ parse: (String) -> Value?
    ) throws(WordFault) -> Value {
        let column = column
        guard let word = take() else {
            throw WordFault(column: column, message: "expected \(expected) at the end")
        }
        guard let value = parse(word) else {
            throw WordFault(column: column, message: "expected \(expected), found '\(word)'")
        }
        return value
    }

    mutating func takeAddress() throws(WordFault) -> IPv4Address {
        try take("an IPv4 address") { IPv4Address($0) }
    }

    mutating func takeNumber(_ range: ClosedRange<UInt32>) throws(WordFault) -> UInt32 {
        try take("a number from \(range.lowerBound) to \(range.upperBound)") {
            NumberText.unsigned($0).flatMap { range.contains($0) ? $0 : nil }
        }
    }

    /// `10.0.0.0/8`, an address alone, or one of the words for everything. The bits behind the prefix must
    /// be zero, as `ip route add` demands.
    mutating func takePrefix() throws(WordFault) -> IPv4Network {
        let column = column
        let prefix = try take("a prefix such as 10.0.0.0/8, or default") { (word) -> LinkAddress? in
            switch word {
            case "default", "any", "all": LinkAddress(.any, prefixLength: 0)
            default:
                word.contains("/")
                    ? LinkAddress(word)
                    : IPv4Address(word).map { LinkAddress($0, prefixLength: 32) }
            }
        }
        let network = IPv4Network(prefix.address, prefixLength: prefix.prefixLength)
        guard network.address == prefix.address else {
            throw WordFault(
                column: column,
                message: "\(prefix) has bits behind its prefix; expected "
                    + "\(network.address)/\(prefix.prefixLength)")
        }
        return network
    }
}

enum NumberText {
    /// Decimal, or hexadecimal behind 0x; nothing else, no sign.
    static func unsigned(_ text: String) -> UInt32? {
        let isHexadecimal = text.hasPrefix("0x") || text.hasPrefix("0X")
        let digits = isHexadecimal ? text.dropFirst(2) : text[...]
        guard let first = digits.first, first.isHexDigit else { return nil }
        return UInt32(digits, radix: isHexadecimal ? 16 : 10)
    }
}
