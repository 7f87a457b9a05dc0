// One line of a rules file as iptables-restore reads it, each word with its column.

struct RestoreWord: Hashable {
    var text: String
    /// Counted in characters, from 1.
    var column: Int
}

enum RestoreLine {
    /// Blanks separate; double quotes hold a word together (and end it), within them a backslash
    /// takes the next character as it is. iptables-restore lets an open quote swallow the rest of
    /// the line; that is refused here.
    static func words(_ line: Substring, column start: Int) throws(CommandError) -> [RestoreWord] {
        var words: [RestoreWord] = []
        var current = String.UnicodeScalarView()
        var begin: Int?
        var quotedSince: Int?
        var escaped = false
        var column = start - 1
        for character in line.unicodeScalars {
            column += 1
            if quotedSince != nil, escaped {
                current.append(character)
                escaped = false
            } else if quotedSince != nil, character == "\\" {
                escaped = true
            } else if character == "\"" {
                if quotedSince == nil {
                    quotedSince = column
                    begin = begin ?? column
                } else {
                    words.append(RestoreWord(text: String(current), column: begin ?? column))
                    (current, begin, quotedSince) = (.init(), nil, nil)
                }
            } else if quotedSince == nil, character == " " || character == "\t" {
                if let begin { words.append(RestoreWord(text: String(current), column: begin)) }
                (current, begin) = (.init(), nil)
            } else {
                begin = begin ?? column
                current.append(character)
            }
        }
        guard quotedSince == nil else {
            var error = CommandError.parameter("Unbalanced quotes", word: "\"" + String(current))
            error.expected = "a closing quote before the end of the line"
            throw error
        }
        if let begin { words.append(RestoreWord(text: String(current), column: begin)) }
        return words
    }

    /// `[PACKETS:BYTES]` at the beginning of a rule, and what follows.
    static func counters(
        _ line: Substring, number: Int
    ) throws(CommandError) -> (packets: String, bytes: String, rest: Substring) {
        let body = line.dropFirst()
        guard let close = body.firstIndex(of: "]") else {
            throw .parameter("Bad line \(number): need ]", word: String(line.prefix(12)))
        }
        guard let colon = body[..<close].firstIndex(of: ":") else {
            throw .parameter("Bad line \(number): need :", word: String(line.prefix(12)))
        }
        return (
            String(body[..<colon]), String(body[body.index(after: colon)..<close]),
            body[body.index(after: close)...]
        )
    }

    /// `[PACKETS:BYTES]` behind a policy.
    static func policyCounters(_ text: String?) -> Counters? {
        guard let text, text.hasPrefix("["), text.hasSuffix("]") else { return nil }
        let parts = text.dropFirst().dropLast().split(separator: ":")
        guard parts.count == 2, let packets = UInt64(parts[0]), let bytes = UInt64(parts[1]) else {
            return nil
        }
        return Counters(packets: packets, bytes: bytes)
    }
}
