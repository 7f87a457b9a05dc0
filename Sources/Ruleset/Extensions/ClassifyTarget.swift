// `CLASSIFY --set-class MAJOR:MINOR`, both hexadecimal.

struct ClassifyParser: TargetParser {
    static let name = "CLASSIFY"
    static let options = [OptionSpec("set-class", 1, mandatory: true)]

    private var value: UInt32 = 0

    mutating func take(_ use: OptionUse, _ context: inout RuleContext) throws(CommandError) {
        let parts = use.value.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, let major = Self.half(parts[0]), let minor = Self.half(parts[1])
        else {
            throw .parameter(
                "Bad class value \"\(use.value)\"", word: use.value,
                expected: "two hexadecimal numbers up to ffff with a colon between")
        }
        value = UInt32(major) << 16 | UInt32(minor)
    }

    /// With or without 0x. Where 1.8.9 cuts a larger number to 16 bits, or leaves out what follows one,
    /// this refuses.
    private static func half(_ text: Substring) -> UInt16? {
        let digits = text.lowercased().hasPrefix("0x") ? text.dropFirst(2) : text
        guard digits.allSatisfy({ $0.isASCII && $0.isHexDigit }) else { return nil }
        return UInt16(digits, radix: 16)
    }

    func target() -> Target { .mangle(.classify(value)) }
}

struct ClassifyText: ExtensionText {
    var priority: UInt32
    var extensionName: String { "CLASSIFY" }

    private var halves: [String] {
        [priority >> 16, priority & 0xFFFF].map { String($0, radix: 16) }
    }

    var saved: String {
        " --set-class "
            + halves.map { String(repeating: "0", count: 4 - $0.utf8.count) + $0 }
            .joined(separator: ":")
    }

    func listed(_ names: ListingNames) -> String {
        " CLASSIFY set " + halves.joined(separator: ":")
    }
}
