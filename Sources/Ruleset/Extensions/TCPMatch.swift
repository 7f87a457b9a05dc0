// `-m tcp`: ports, flags and options of a TCP header.

import Wire

struct TCPMatchParser: MatchParser {
    static let name = "tcp"
    static let options: [OptionSpec] = [
        .unguided("source-port", 1), .unguided("sport", 1), .unguided("destination-port", 2),
        .unguided("dport", 2), .unguided("syn", 3, takesArgument: false),
        .unguided("tcp-flags", 4), .unguided("tcp-option", 5),
    ]

    private var value = TCPMatch()

    mutating func take(_ use: OptionUse, _ context: inout RuleContext) throws(CommandError) {
        switch use.spec.id {
        case 1:
            guard value.sourcePorts == nil else {
                throw .parameter("Only one `--source-port' allowed", word: use.value)
            }
            value.sourcePorts = Invertible(
                try PortText.parseRange(use.value, transport: "tcp", context.resolver),
                inverted: use.inverted)
        case 2:
            guard value.destinationPorts == nil else {
                throw .parameter("Only one `--destination-port' allowed", word: use.value)
            }
            value.destinationPorts = Invertible(
                try PortText.parseRange(use.value, transport: "tcp", context.resolver),
                inverted: use.inverted)
        case 3: try takeFlags(.syn, use)
        case 4: try takeFlags(try parseFlags(use, &context), use)
        default: try takeOption(use)
        }
    }

    private mutating func takeFlags(
        _ flags: TCPFlagsTest, _ use: OptionUse
    ) throws(CommandError) {
        guard value.flags == nil else {
            throw .parameter("Only one of `--syn' or `--tcp-flags'  allowed", word: use.option)
        }
        value.flags = Invertible(flags, inverted: use.inverted)
    }

    private func parseFlags(
        _ use: OptionUse, _ context: inout RuleContext
    ) throws(CommandError) -> TCPFlagsTest {
        guard let second = context.following.first, !second.hasPrefix("-"), !second.hasPrefix("!")
        else {
            throw .parameter(
                "--tcp-flags requires two args.", word: use.value,
                expected: "the flags to look at, then those that must be set")
        }
        _ = context.nextWord()
        return TCPFlagsTest(
            mask: try TCPFlags(words: use.value), compare: try TCPFlags(words: second))
    }

    private mutating func takeOption(_ use: OptionUse) throws(CommandError) {
        guard value.option == nil else {
            throw .parameter("Only one `--tcp-option' allowed", word: use.value)
        }
        guard let number = CNumber.unsigned(use.value, max: 255), number > 0 else {
            throw .parameter(
                "Bad TCP option \"\(use.value)\"", word: use.value,
                expected: "a number from 1 to 255")
        }
        value.option = Invertible(UInt8(number), inverted: use.inverted)
    }

    func match() -> Match { .tcp(value) }
}

extension TCPFlags {
    /// In the order in which iptables prints them.
    static let names: [(flag: TCPFlags, name: String)] = [
        (.fin, "FIN"), (.syn, "SYN"), (.rst, "RST"), (.psh, "PSH"), (.ack, "ACK"), (.urg, "URG"),
    ]

    init(words: String) throws(CommandError) {
        self = []
        for word in words.split(separator: ",") {
            switch word.uppercased() {
            case "ALL": rawValue |= 0x3F
            case "NONE": break
            case let name:
                guard let known = Self.names.first(where: { $0.name == name }) else {
                    throw .parameter(
                        "Unknown TCP flag `\(word)'", word: String(word),
                        expected: "SYN, ACK, FIN, RST, URG, PSH, ALL or NONE")
                }
                insert(known.flag)
            }
        }
    }

    var text: String {
        let set = Self.names.filter { contains($0.flag) }.map(\.name)
        return set.isEmpty ? "NONE" : set.joined(separator: ",")
    }
}

extension TCPMatch: ExtensionText {
    var extensionName: String { "tcp" }

    var saved: String {
        var text = PortText.saved("--sport", sourcePorts)
        text += PortText.saved("--dport", destinationPorts)
        if let option {
            text += (option.inverted ? " !" : "") + " --tcp-option \(option.value)"
        }
        if let flags {
            text += (flags.inverted ? " !" : "") + " --tcp-flags "
            text += "\(flags.value.mask.text) \(flags.value.compare.text)"
        }
        return text
    }

    func listed(_ names: ListingNames) -> String {
        var text = " tcp" + PortText.listed("spt", sourcePorts, names, transport: "tcp")
        text += PortText.listed("dpt", destinationPorts, names, transport: "tcp")
        if let option { text += " option=" + (option.inverted ? "!" : "") + "\(option.value)" }
        if let flags {
            let (mask, compare) = (flags.value.mask, flags.value.compare)
            text += " flags:" + (flags.inverted ? "!" : "")
            text +=
                names.numeric
                ? "\(CNumber.hexByte(mask.rawValue))/\(CNumber.hexByte(compare.rawValue))"
                : "\(mask.text)/\(compare.text)"
        }
        return text
    }

    /// The rule as the kernel gives it back. `nil`: nothing of the match is left, as iptables-nft
    /// leaves nothing of `! --dport 0:65535` (tried: such a rule matches every packet of `-p tcp`).
    var asKernelKeeps: TCPMatch? {
        guard option == nil else { return self }
        var kept = self
        kept.sourcePorts = PortText.asKernelKeeps(sourcePorts)
        kept.destinationPorts = PortText.asKernelKeeps(destinationPorts)
        if let flags, flags.value.mask.isEmpty, flags.value.compare.isEmpty, !flags.inverted {
            kept.flags = nil
        }
        let inverted =
            sourcePorts?.inverted == true || destinationPorts?.inverted == true
        return kept == TCPMatch() && inverted ? nil : kept
    }
}
