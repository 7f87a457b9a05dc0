// A small language for TCP conversations as a tracker between the ends sees them; Scenarios/README.md
// teaches it. The parser says line, column, word and what it expected.

import Wire

@testable import Conntrack

struct TCPScript {
    /// Which end acts: `>` is the client's, `<` the server's.
    enum End: Character {
        case client = ">"
        case server = "<"
    }

    struct Segment {
        var from: End
        var flags: TCPFlags = []
        var sequence: UInt32
        var acknowledgement: UInt32 = 0
        var window: UInt16 = 65_535
        var data = 0
        /// As they stand in the header, padded to four bytes.
        var options: [UInt8] = []
        var checksumIsWrong = false
    }

    /// What is to be so after a segment.
    struct Outcome: Equatable {
        var sees: CTState
        var entry: Entry
    }

    enum Entry: Equatable {
        /// There is none.
        case gone
        case state(TCPState, timeout: UInt32, Marks, client: EndMarks?, server: EndMarks?)
    }

    struct Marks: OptionSet {
        var rawValue: UInt8
        static let unreplied = Self(rawValue: 1)
        static let assured = Self(rawValue: 2)
    }

    /// What the tracker knows of an end: IP_CT_TCP_FLAG_*, and the scale.
    struct EndMarks: Equatable {
        var flags: TCPEndFlags = []
        var scale: UInt8 = 0
    }

    enum Step {
        case set(NamedSetting<ConntrackSettings>, String)
        case segment(Segment, Outcome)
    }

    /// The steps with their lines' numbers, from 1.
    var steps: [(line: Int, step: Step)] = []
}

struct TCPScriptError: Error, Equatable, CustomStringConvertible {
    var line: Int
    var column: Int
    var complaint: String
    var description: String { "\(line):\(column): \(complaint)" }
}

extension TCPScript {
    init(parsing text: String) throws(TCPScriptError) {
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false)
            .enumerated()
        {
            var words = Words(line, number: index + 1)
            guard let first = words.peek() else { continue }
            let step: Step
            switch first.text {
            case "set": step = try Self.setting(&words)
            case ">", "<": step = try Self.segment(&words)
            default: throw words.complaint(first, "expected '>', '<' or 'set'")
            }
            steps.append((index + 1, step))
        }
    }

    private static func setting(_ words: inout Words) throws(TCPScriptError) -> Step {
        _ = words.next()
        let name = try words.need("the name of a setting")
        let full = ConntrackSettings.prefix + name.text
        guard let setting = ConntrackSettings.named.first(where: { $0.name == full }) else {
            throw words.complaint(name, "expected a setting such as tcp_loose")
        }
        let value = try words.need("a value")
        var trial = ConntrackSettings()
        do throws(SettingFailure) {
            try setting.write(value.text, to: &trial)
        } catch { throw words.complaint(value, error.description) }
        try words.end()
        return .set(setting, value.text)
    }

    private static func segment(_ words: inout Words) throws(TCPScriptError) -> Step {
        let arrow = try words.need("a direction")
        let flags = try words.need("flags")
        var segment = Segment(
            from: End(rawValue: arrow.text.first ?? ">") ?? .client,
            flags: try self.flags(flags, words), sequence: 0)
        segment.sequence = UInt32(try words.number("a sequence number", upTo: .max))
        while let word = words.next() {
            switch word.text {
            case "ack":
                segment.acknowledgement = UInt32(try words.number("a number", upTo: .max))
            case "win": segment.window = UInt16(try words.number("a window", upTo: 65_535))
            case "data": segment.data = Int(try words.number("a length", upTo: 1460))
            case "badsum": segment.checksumIsWrong = true
            case ":": return .segment(segment, try outcome(&words))
            case let list where list.hasPrefix("<"):
                segment.options = try TCPScriptOptions(word, words).bytes
            default:
                throw words.complaint(
                    word, "expected 'ack', 'win', 'data', 'badsum', '<options>' or ':'")
            }
        }
        throw words.complaint(nil, "expected ':' and what is to be so afterwards")
    }

    /// As tcpdump has them, but A for the ACK; `-` is none.
    private static func flags(_ word: Words.Word, _ words: Words) throws(TCPScriptError) -> TCPFlags
    {
        let letters: [Character: UInt8] = [
            "F": 0x01, "S": 0x02, "R": 0x04, "P": 0x08, "A": 0x10, "U": 0x20, "E": 0x40, "W": 0x80,
        ]
        if word.text == "-" { return [] }
        var flags: UInt8 = 0
        for (offset, letter) in word.text.enumerated() {
            guard let bit = letters[letter] else {
                throw words.complaint(
                    Words.Word(text: String(letter), column: word.column + offset),
                    "expected flags of SAFRPUEW, or '-'")
            }
            flags |= bit
        }
        return TCPFlags(rawValue: flags)
    }

    private static func outcome(_ words: inout Words) throws(TCPScriptError) -> Outcome {
        let word = try words.need("what rules see")
        guard let sees = CTState.allCases.first(where: { "\($0)" == word.text }) else {
            throw words.complaint(word, "expected NEW, ESTABLISHED or INVALID")
        }
        let state = try words.need("a state, or 'gone'")
        if state.text == "gone" {
            try words.end()
            return Outcome(sees: sees, entry: .gone)
        }
        guard let known = TCPState.allCases.first(where: { "\($0)" == state.text }) else {
            throw words.complaint(state, "expected a state such as SYN_SENT, or 'gone'")
        }
        let timeout = UInt32(try words.number("a timeout in seconds", upTo: .max))
        var marks: Marks = []
        var client: EndMarks?
        var server: EndMarks?
        while let word = words.next() {
            switch word.text {
            case "unreplied": marks.insert(.unreplied)
            case "assured": marks.insert(.assured)
            case let text where text.hasPrefix("client("): client = try ends(word, words)
            case let text where text.hasPrefix("server("): server = try ends(word, words)
            default:
                throw words.complaint(
                    word, "expected 'unreplied', 'assured', 'client(…)' or 'server(…)'")
            }
        }
        return Outcome(
            sees: sees,
            entry: .state(known, timeout: timeout, marks, client: client, server: server))
    }

    /// `client(scale=7,sack,closing,liberal,unacked,acked)`.
    private static func ends(_ word: Words.Word, _ words: Words) throws(TCPScriptError) -> EndMarks
    {
        let names: [String: TCPEndFlags] = [
            "sack": .sackPermitted, "closing": .closeInitiator, "liberal": .beLiberal,
            "unacked": .dataUnacknowledged, "acked": .highestAckKnown,
        ]
        guard word.text.hasSuffix(")") else { throw words.complaint(word, "expected ')'") }
        var marks = EndMarks()
        var column = word.column + 7
        for part in word.text.dropFirst(7).dropLast()
            .split(separator: ",", omittingEmptySubsequences: false)
        {
            if part.hasPrefix("scale="), let scale = UInt8(part.dropFirst(6)) {
                marks.flags.insert(.windowScale)
                marks.scale = scale
            } else if let flag = names[String(part)] {
                marks.flags.insert(flag)
            } else if !(part.isEmpty && word.text.count == 8) {
                throw words.complaint(
                    Words.Word(text: String(part), column: column),
                    "expected scale=N, sack, closing, liberal, unacked or acked")
            }
            column += part.count + 1
        }
        return marks
    }
}

/// The words of a line with their columns. `#` begins a comment, `<…>` behind the first word is one word.
struct Words {
    struct Word {
        var text: String
        /// From 1.
        var column: Int
    }

    private let number: Int
    private var words: [Word] = []
    private var index = 0
    private let length: Int

    init(_ line: Substring, number: Int) {
        self.number = number
        let characters = Array(line.prefix { $0 != "#" })
        length = characters.count
        var place = 0
        while place < characters.count {
            guard characters[place] != " " else {
                place += 1
                continue
            }
            let start = place
            if characters[place] == "<", !words.isEmpty {
                while place < characters.count, characters[place] != ">" { place += 1 }
                place = min(place + 1, characters.count)
            } else {
                while place < characters.count, characters[place] != " " { place += 1 }
            }
            words.append(Word(text: String(characters[start..<place]), column: start + 1))
        }
    }

    func peek() -> Word? { index < words.count ? words[index] : nil }

    mutating func next() -> Word? {
        defer { index += 1 }
        return peek()
    }

    mutating func need(_ what: String) throws(TCPScriptError) -> Word {
        guard let word = next() else { throw complaint(nil, "expected \(what)") }
        return word
    }

    mutating func number(_ what: String, upTo limit: UInt32) throws(TCPScriptError) -> UInt64 {
        let word = try need(what)
        guard let number = UInt64(word.text), number <= limit else {
            throw complaint(word, "expected \(what) up to \(limit)")
        }
        return number
    }

    mutating func end() throws(TCPScriptError) {
        if let word = next() { throw complaint(word, "expected the end of the line") }
    }

    func complaint(_ word: Word?, _ expectation: String) -> TCPScriptError {
        TCPScriptError(
            line: number, column: word?.column ?? length + 1,
            complaint: (word.map { "'\($0.text)': " } ?? "") + expectation)
    }
}
