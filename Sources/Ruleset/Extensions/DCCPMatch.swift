// `-m dccp`: ports, packet types and options of a DCCP header (RFC 4340).

import Wire

struct DCCPParser: MatchParser {
    static let name = "dccp"
    static let options: [OptionSpec] = [
        OptionSpec("source-port", 1, invertible: true), OptionSpec("sport", 1, invertible: true),
        OptionSpec("destination-port", 2, invertible: true),
        OptionSpec("dport", 2, invertible: true), OptionSpec("dccp-types", 3, invertible: true),
        OptionSpec("dccp-option", 4, invertible: true),
    ]

    private var value = DCCPMatch()

    mutating func take(_ use: OptionUse, _ context: inout RuleContext) throws(CommandError) {
        let inverted = use.inverted
        switch use.spec.id {
        case 1: value.sourcePorts = Invertible(try ports(use, context), inverted: inverted)
        case 2: value.destinationPorts = Invertible(try ports(use, context), inverted: inverted)
        case 3: value.types = Invertible(try types(use), inverted: inverted)
        default: value.option = Invertible(try Self.octet(use, 1...255), inverted: inverted)
        }
    }

    /// As `-m udp` takes them.
    private func ports(
        _ use: OptionUse, _ context: RuleContext
    ) throws(CommandError) -> PortRange {
        try PortText.parseCheckedRange(use, transport: "dccp", context.resolver)
    }

    private func types(_ use: OptionUse) throws(CommandError) -> UInt16 {
        var types: UInt16 = 0
        for word in use.value.split(separator: ",") {
            guard let known = Self.types.first(where: { $0.name == word.uppercased() }) else {
                throw .parameter(
                    "Unknown DCCP type `\(word)'", word: String(word),
                    expected: Self.types.map(\.name).joined(separator: ", "))
            }
            types |= known.bits
        }
        return types
    }

    /// The types above SYNCACK are reserved; INVALID stands for all of them.
    static let types: [(name: String, bits: UInt16)] = [
        ("REQUEST", 1 << 0), ("RESPONSE", 1 << 1), ("DATA", 1 << 2), ("ACK", 1 << 3),
        ("DATAACK", 1 << 4), ("CLOSEREQ", 1 << 5), ("CLOSE", 1 << 6), ("RESET", 1 << 7),
        ("SYNC", 1 << 8), ("SYNCACK", 1 << 9), ("INVALID", 0xFC00),
    ]

    func match() -> Match { .stateless(.dccp(value)) }
}

extension DCCPMatch: ExtensionText {
    var extensionName: String { "dccp" }

    var saved: String {
        var text = PortText.savedAlways("--sport", sourcePorts)
        text += PortText.savedAlways("--dport", destinationPorts)
        if let types {
            text += (types.inverted ? " !" : "") + " --dccp-types " + Self.names(types.value)
        }
        if let option {
            text += (option.inverted ? " !" : "") + " --dccp-option \(option.value)"
        }
        return text
    }

    func listed(_ names: ListingNames) -> String {
        var text = " dccp" + PortText.listed("spt", sourcePorts, names, transport: "dccp")
        text += PortText.listed("dpt", destinationPorts, names, transport: "dccp")
        if let types {
            text += (types.inverted ? " !" : "") + " "
            text += names.numeric ? Self.numbers(types.value) : Self.names(types.value)
        }
        if let option { text += " option=" + (option.inverted ? "!" : "") + "\(option.value)" }
        return text
    }

    private static func names(_ types: UInt16) -> String {
        DCCPParser.types.filter { types & $0.bits != 0 }.map(\.name).joined(separator: ",")
    }

    private static func numbers(_ types: UInt16) -> String {
        (0..<16).filter { types >> UInt16($0) & 1 == 1 }.map(String.init).joined(separator: ",")
    }
}
