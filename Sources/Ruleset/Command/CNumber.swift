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
        let bytes = text.utf8
        var place = bytes.startIndex
        var base: UInt64 = 10
        if bytes.first == UInt8(ascii: "0") {
            base = 8
            let second = bytes.dropFirst().first
            if second == UInt8(ascii: "x") || second == UInt8(ascii: "X") {
                base = 16
                place = bytes.index(place, offsetBy: 2)
            }
        }
        let begin = place
        var value: UInt64 = 0
        while place < bytes.endIndex, let digit = digit(bytes[place]), digit < base {
            let (shifted, overflows) = value.multipliedReportingOverflow(by: base)
            let (sum, carries) = shifted.addingReportingOverflow(digit)
            guard !overflows, !carries else { return nil }
            value = sum
            bytes.formIndex(after: &place)
        }
        // Of "0x" without digits the "0" is a number.
        if place == begin { return base == 16 ? (0, text.dropFirst()) : nil }
        return (value, text[place...])
    }

    private static func digit(_ byte: UInt8) -> UInt64? {
        switch byte {
        case 48...57: UInt64(byte - 48)
        case 65...70: UInt64(byte - 55)
        case 97...102: UInt64(byte - 87)
        default: nil
        }
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

    /// Letters, digits, `_` and `-` alone.
    var isPlainASCII: Bool {
        utf8.allSatisfy {
            48...57 ~= $0 || 65...90 ~= $0 || 97...122 ~= $0 || $0 == 95 || $0 == 45
        }
    }

    /// As rules are saved: quoted unless plain.
    var quotedForSave: String {
        guard !isPlainASCII || isEmpty else { return self }
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
