// What several extensions read and print alike: numbers, ranges of numbers, hexadecimal octets.

extension ExtensionParser {
    /// `owner: Bad value for "--uid-owner" option: "x"`.
    static func badValue(_ use: OptionUse, _ word: String, expected: String) -> CommandError {
        .parameter(
            "\(name): Bad value for \"\(use.option)\" option: \"\(word)\"", word: word,
            expected: expected)
    }

    /// A number from `low` to `high`, as C reads it.
    static func octet(
        _ use: OptionUse, _ range: ClosedRange<UInt8> = 0...255
    ) throws(CommandError) -> UInt8 {
        guard let number = CNumber.unsigned(use.value, max: UInt64(range.upperBound)),
            number >= UInt64(range.lowerBound)
        else { throw outOfRange(use, "\(range.lowerBound)", "\(range.upperBound)") }
        return UInt8(number)
    }

    /// `5`, `5:9`, `:9`, `5:`; an end left out is 0 or `max`, and nothing at all is 0 (tried).
    static func interval(
        _ use: OptionUse, max: UInt64
    ) throws(CommandError) -> Interval<UInt64> {
        let expected = "a number up to \(max), or number:number"
        let parts = use.value.split(separator: ":", omittingEmptySubsequences: false)
        var found: [UInt64] = []
        // What is left of the text from this part on, which is what iptables quotes.
        var rest = Substring(use.value)
        for part in parts {
            guard found.count < 2 else {
                throw .parameter(
                    "\(name): Too many components for option \"\(use.option)\" (max: 2)\n",
                    word: use.value, expected: expected)
            }
            if part.isEmpty {
                found.append(found.count == 1 ? max : 0)
            } else if let (value, end) = CNumber.prefix(rest), value <= max {
                guard end.isEmpty || end.hasPrefix(":") else {
                    throw .parameter(
                        "\(name): Argument to \"\(use.option)\" has unexpected characters near "
                            + "\"\(end)\".\n", word: use.value, expected: expected)
                }
                found.append(value)
            } else {
                throw .parameter(
                    "\(name): bad value for option \"\(use.option)\" near \"\(rest)\", "
                        + "or out of range (0-\(max)).\n", word: use.value, expected: expected)
            }
            rest = rest.dropFirst(part.count + 1)
        }
        return Interval(found[0], found[found.count - 1])
    }
}

extension CNumber {
    /// `0x0a`: two digits at least, lower case.
    static func hexOctet(_ value: UInt8) -> String {
        let digits = String(value, radix: 16)
        return "0x" + (digits.utf8.count == 1 ? "0" : "") + digits
    }
}
