// `MARK`: every option reduces to mark = (mark & ~mask) ^ value.

struct MarkTargetParser: TargetParser {
    static let name = "MARK"
    static let options: [OptionSpec] = [
        OptionSpec("set-xmark", 1, excludes: [2, 3, 4, 5]),
        OptionSpec("set-mark", 2, excludes: [1, 3, 4, 5]),
        OptionSpec("and-mark", 3, excludes: [1, 2, 4, 5]),
        OptionSpec("or-mark", 4, excludes: [1, 2, 3, 5]),
        OptionSpec("xor-mark", 5, excludes: [1, 2, 3, 4]),
    ]

    private var value: MarkTarget?

    mutating func take(_ use: OptionUse, _ context: inout RuleContext) throws(CommandError) {
        if use.spec.id <= 2 {
            let (mark, mask) = try Self.parse(use)
            value = MarkTarget(value: mark, mask: use.spec.id == 1 ? mask : mask | mark)
            return
        }
        guard let number = CNumber.unsigned(use.value, max: UInt64(UInt32.max)) else {
            throw Self.outOfRange(use, "0", "4294967295")
        }
        let bits = UInt32(number)
        switch use.spec.id {
        case 3: value = MarkTarget(value: 0, mask: ~bits)
        case 4: value = MarkTarget(value: bits, mask: bits)
        default: value = MarkTarget(value: bits, mask: 0)
        }
    }

    func check(_ context: RuleContext) throws(CommandError) {
        guard value != nil else {
            throw .parameter(
                "MARK: One of the --set-xmark, --{and,or,xor,set}-mark options is required")
        }
    }

    func target() -> Target {
        guard let value else { preconditionFailure("check() lets no empty MARK through") }
        return .mark(value)
    }
}

extension MarkTarget: ExtensionText {
    var extensionName: String { "MARK" }

    var saved: String { " --set-xmark \(CNumber.hex(value))/\(CNumber.hex(mask))" }

    func listed(_ names: ListingNames) -> String {
        if value == 0 { return " MARK and \(CNumber.hex(~mask))" }
        if value == mask { return " MARK or \(CNumber.hex(value))" }
        if mask == 0 { return " MARK xor \(CNumber.hex(value))" }
        if mask == .max { return " MARK set \(CNumber.hex(value))" }
        return " MARK xset \(CNumber.hex(value))/\(CNumber.hex(mask))"
    }
}
