// Numbers as the C library reads them: decimal, 0x hexadecimal, leading-zero octal.

enum CNumber {
    /// The whole of `text` as an unsigned number up to `max`.
    static func unsigned(_ text: some StringProtocol, max: UInt64) -> UInt64? {
        guard let (value, rest) = prefix(text), rest.isEmpty, value <= max else { return nil }
        return value
    }

    /// The number at the beginning of `text` and what follows it.
    static func prefix(_ text: some StringProtocol) -> (value: UInt64, rest: Substring)? {
        let text = Substring(text)
        if text.hasPrefix("0x") || text.hasPrefix("0X") {
            let digits = text.dropFirst(2).prefix { $0.isASCII && $0.isHexDigit }
            guard !digits.isEmpty else { return (0, text.dropFirst()) }
            guard let value = UInt64(digits, radix: 16) else { return nil }
            return (value, text[digits.endIndex...])
        }
        let octal = text.hasPrefix("0")
        let digits = text.prefix { $0.isASCII && (octal ? "0"..."7" ~= $0 : "0"..."9" ~= $0) }
        guard !digits.isEmpty, let value = UInt64(digits, radix: octal ? 8 : 10) else { return nil }
        return (value, text[digits.endIndex...])
    }

    static func hex(_ value: UInt32) -> String { "0x" + String(value, radix: 16) }

    /// Two digits at least, upper case: how TCP flags are listed.
    static func hexByte(_ value: UInt8) -> String {
        let digits = String(value, radix: 16, uppercase: true)
        return "0x" + (digits.utf8.count == 1 ? "0" : "") + digits
    }
}

extension String {
    /// At least `width` bytes, filled up with blanks on the right, then nothing cut.
    func padded(_ width: Int) -> String {
        self + String(repeating: " ", count: Swift.max(0, width - utf8.count))
    }

    func leftPadded(_ width: Int) -> String {
        String(repeating: " ", count: Swift.max(0, width - utf8.count)) + self
    }

    /// As rules are saved: quoted unless made of letters, digits, `_` and `-` alone.
    var quotedForSave: String {
        let plain = utf8.allSatisfy {
            48...57 ~= $0 || 65...90 ~= $0 || 97...122 ~= $0 || $0 == 95 || $0 == 45
        }
        guard !plain || isEmpty else { return self }
        var result = "\""
        for character in unicodeScalars {
            if character == "\"" || character == "\\" || character == "'" { result += "\\" }
            result.unicodeScalars.append(character)
        }
        return result + "\""
    }

    /// A name as rules are saved. iptables never quotes one, and cannot load it again where it has a blank
    /// or a quote.
    var nameForSave: String {
        let isOneWord = !unicodeScalars.contains { $0 == " " || $0 == "\t" || $0 == "\"" }
        return isOneWord ? self : quotedForSave
    }

    /// What is wrong with a name that saved rules, which are lines, could not give back.
    var lineObjection: String? {
        unicodeScalars.contains("\n") ? "`\(self)' must not hold the end of a line" : nil
    }

    /// Whether `self`, not empty, begins `name` in any case: how iptables takes abbreviated words.
    func abbreviates(_ name: String) -> Bool {
        !isEmpty && utf8.count <= name.utf8.count
            && lowercased() == name.prefix(count).lowercased()
    }
}
