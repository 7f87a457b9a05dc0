// The options of a scripted segment, written as tcpdump prints them: <mss 1460,sackOK,wscale 7>.

struct TCPScriptOptions {
    var bytes: [UInt8] = []

    /// - Parameter word: with its angle brackets.
    init(_ word: Words.Word, _ words: Words) throws(TCPScriptError) {
        guard word.text.hasSuffix(">") else { throw words.complaint(word, "expected '>'") }
        var column = word.column + 1
        for part in word.text.dropFirst().dropLast()
            .split(separator: ",", omittingEmptySubsequences: false)
        {
            let option = part.split(separator: " ").map(String.init)
            guard let encoded = Self.encode(option) else {
                throw words.complaint(
                    Words.Word(text: String(part), column: column),
                    "expected mss N, sackOK, wscale N, sack A:B …, ts N N, nop, eol or raw HEX")
            }
            bytes += encoded
            column += part.count + 1
        }
        while bytes.count % 4 != 0 { bytes.append(1) }
        if bytes.count > 40 { throw words.complaint(word, "expected at most 40 bytes of options") }
    }

    private static func encode(_ words: [String]) -> [UInt8]? {
        let numbers = words.dropFirst().map { UInt32($0) }
        switch (words.first, numbers.count) {
        case ("mss", 1):
            guard let size = numbers[0], size <= 65_535 else { return nil }
            return [2, 4, UInt8(size >> 8), UInt8(size & 255)]
        case ("sackOK", 0): return [4, 2]
        case ("wscale", 1):
            guard let shift = numbers[0], shift <= 255 else { return nil }
            return [3, 3, UInt8(shift)]
        case ("ts", 2):
            guard let value = numbers[0], let echo = numbers[1] else { return nil }
            return [1, 1, 8, 10] + bytes(value) + bytes(echo)
        case ("nop", 0): return [1]
        case ("eol", 0): return [0]
        case ("sack", 1...4): return sack(words.dropFirst())
        case ("raw", 1): return raw(words[1])
        default: return nil
        }
    }

    private static func sack(_ blocks: ArraySlice<String>) -> [UInt8]? {
        var result: [UInt8] = [1, 1, 5, UInt8(2 + 8 * blocks.count)]
        for block in blocks {
            let edges = block.split(separator: ":").map { UInt32($0) }
            guard edges.count == 2, let left = edges[0], let right = edges[1] else { return nil }
            result += bytes(left) + bytes(right)
        }
        return result
    }

    private static func raw(_ text: String) -> [UInt8]? {
        guard text.count % 2 == 0 else { return nil }
        var result: [UInt8] = []
        var digits = text[...]
        while !digits.isEmpty {
            guard let byte = UInt8(digits.prefix(2), radix: 16) else { return nil }
            result.append(byte)
            digits = digits.dropFirst(2)
        }
        return result
    }

    private static func bytes(_ value: UInt32) -> [UInt8] {
        (0..<4).map { UInt8(truncatingIfNeeded: value >> UInt32(24 - 8 * $0)) }
    }
}
