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
        // By bytes: what separates and quotes is ASCII, and no byte of another character is.
        var current: [UInt8] = []
        var begin: Int?
        var quotedSince: Int?
        var escaped = false
        var column = start - 1
        func word(_ begin: Int) -> RestoreWord {
            RestoreWord(text: String(decoding: current, as: UTF8.self), column: begin)
        }
        for byte in line.utf8 {
            // Bytes behind the first of a character.
            if byte & 0xC0 != 0x80 { column += 1 }
            if quotedSince != nil, escaped {
                current.append(byte)
                escaped = false
            } else if quotedSince != nil, byte == UInt8(ascii: "\\") {
                escaped = true
            } else if byte == UInt8(ascii: "\"") {
                if quotedSince == nil {
                    quotedSince = column
                    begin = begin ?? column
                } else {
                    words.append(word(begin ?? column))
                    current.removeAll(keepingCapacity: true)
                    (begin, quotedSince) = (nil, nil)
                }
            } else if quotedSince == nil, byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") {
                if let begin { words.append(word(begin)) }
                current.removeAll(keepingCapacity: true)
                begin = nil
            } else {
                begin = begin ?? column
                current.append(byte)
            }
        }
        guard quotedSince == nil else {
            var error = CommandError.parameter("Unbalanced quotes", word: "\"" + word(0).text)
            error.expected = "a closing quote before the end of the line"
            throw error
        }
        if let begin { words.append(word(begin)) }
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
