// The TOS field as `-m tos` and `TOS` read and print it: a number, number/mask, or one of five names.

enum TOSText {
    /// RFC 1349's names, which stand for six bits of the field.
    private static let names: [(value: UInt8, name: String)] = [
        (0x10, "Minimize-Delay"), (0x08, "Maximize-Throughput"), (0x04, "Maximize-Reliability"),
        (0x02, "Minimize-Cost"), (0x00, "Normal-Service"),
    ]
    static let nameMask: UInt8 = 0x3F

    static func parse(_ text: String) throws(CommandError) -> TOSTest {
        guard let (value, rest) = CNumber.prefix(text), value <= 255 else {
            guard let known = names.first(where: { $0.name.lowercased() == text.lowercased() })
            else {
                throw .parameter(
                    "Symbolic name \"\(text)\" is unknown", word: text,
                    expected: "a number up to 255, number/mask, or one of "
                        + names.map(\.name).joined(separator: ", "))
            }
            return TOSTest(value: known.value, mask: nameMask)
        }
        if rest.isEmpty { return TOSTest(value: UInt8(value), mask: 255) }
        guard rest.hasPrefix("/"), let mask = CNumber.unsigned(rest.dropFirst(), max: 255) else {
            throw .parameter(
                "Illegal value: \"\(text)\"", word: text,
                expected: "a number up to 255, or number/mask")
        }
        return TOSTest(value: UInt8(value), mask: UInt8(mask))
    }

    /// `nil` where value and mask are not what a name stands for.
    static func name(_ value: UInt8, _ mask: UInt8) -> String? {
        mask == nameMask ? names.first { $0.value == value }?.name : nil
    }

    static func pair(_ value: UInt8, _ mask: UInt8) -> String {
        CNumber.hexOctet(value) + "/" + CNumber.hexOctet(mask)
    }
}
