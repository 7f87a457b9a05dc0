// `CONNMARK`: the mark of the connection, set, or copied from or to the packet's.

struct ConnmarkTargetParser: TargetParser {
    static let name = "CONNMARK"
    static let options: [OptionSpec] =
        ["set-xmark", "set-mark", "and-mark", "or-mark", "xor-mark", "save-mark", "restore-mark"]
        .enumerated().map { index, name in
            OptionSpec(
                name, index + 1, takesArgument: index < 5,
                excludes: [2, 6, 7, 3, 4, 5, 1].filter { $0 != index + 1 })
        } + [
            OptionSpec("left-shift-mark", 8), OptionSpec("right-shift-mark", 9),
            OptionSpec("ctmask", 10, excludes: [12]), OptionSpec("nfmask", 11, excludes: [12]),
            OptionSpec("mask", 12, excludes: [10, 11]),
        ]

    private var mode: ConnmarkTarget.Mode?
    private var masks = ConnmarkTarget(.save)

    mutating func take(_ use: OptionUse, _ context: inout RuleContext) throws(CommandError) {
        switch use.spec.id {
        case 1, 2:
            let (mark, mask) = try Self.parse(use)
            set(mark, use.spec.id == 1 ? mask : mask | mark)
        case 3: set(0, ~(try number(use)))
        case 4:
            let bits = try number(use)
            set(bits, bits)
        case 5: set(try number(use), 0)
        case 6: mode = .save
        case 7: mode = .restore
        case 8, 9:
            guard let bits = CNumber.unsigned(use.value, max: 32) else {
                throw Self.outOfRange(use, "0", "32")
            }
            masks.shift = use.spec.id == 8 ? Int8(bits) : -Int8(bits)
        case 10: masks.connectionMask = try number(use)
        case 11: masks.packetMask = try number(use)
        default:
            masks.connectionMask = try number(use)
            masks.packetMask = masks.connectionMask
        }
    }

    private mutating func set(_ value: UInt32, _ mask: UInt32) {
        mode = .set(value: value)
        masks.connectionMask = mask
    }

    private func number(_ use: OptionUse) throws(CommandError) -> UInt32 {
        guard let number = CNumber.unsigned(use.value, max: UInt64(UInt32.max)) else {
            throw Self.outOfRange(use, "0", "4294967295")
        }
        return UInt32(number)
    }

    func check(_ context: RuleContext) throws(CommandError) {
        guard mode != nil else {
            throw .parameter("CONNMARK target: No operation specified")
        }
    }

    func target() -> Target {
        guard let mode else { preconditionFailure("check() lets no empty CONNMARK through") }
        var target = masks
        target.mode = mode
        return .connmark(target)
    }
}

extension ConnmarkTarget: ExtensionText {
    var extensionName: String { "CONNMARK" }

    private func shifted(_ dashes: String) -> String {
        shift == 0 ? "" : " \(dashes)\(shift > 0 ? "left" : "right")-shift-mark \(shift.magnitude)"
    }

    var saved: String {
        let masks = "--nfmask \(CNumber.hex(packetMask)) --ctmask \(CNumber.hex(connectionMask))"
        let text =
            switch mode {
            case .set(let value): "--set-xmark \(CNumber.hex(value))/\(CNumber.hex(connectionMask))"
            case .save: "--save-mark " + masks
            case .restore: "--restore-mark " + masks
            }
        return " " + text + shifted("--")
    }

    func listed(_ names: ListingNames) -> String {
        let text =
            switch mode {
            case .set(let value): listedSet(value)
            case .save: listedCopy("save", "nfmask", packetMask, "ctmask", connectionMask)
            case .restore: listedCopy("restore", "ctmask", connectionMask, "nfmask", packetMask)
            }
        return " CONNMARK " + text + shifted("")
    }

    private func listedSet(_ value: UInt32) -> String {
        if value == 0 { return "and " + CNumber.hex(~connectionMask) }
        if value == connectionMask { return "or " + CNumber.hex(value) }
        if connectionMask == 0 { return "xor " + CNumber.hex(value) }
        if connectionMask == .max { return "set " + CNumber.hex(value) }
        return "xset \(CNumber.hex(value))/\(CNumber.hex(connectionMask))"
    }

    private func listedCopy(
        _ verb: String, _ from: String, _ fromMask: UInt32, _ to: String, _ toMask: UInt32
    ) -> String {
        if fromMask == .max, toMask == .max { return verb }
        if fromMask == toMask { return "\(verb) mask \(CNumber.hex(fromMask))" }
        return "\(verb) \(from) \(CNumber.hex(fromMask)) \(to) ~\(CNumber.hex(toMask))"
    }
}
