// `-m sctp`: ports, and which chunks a packet holds.

import Wire

struct SCTPParser: MatchParser {
    static let name = "sctp"
    static let options: [OptionSpec] = [
        .unguided("source-port", 1), .unguided("sport", 1), .unguided("destination-port", 2),
        .unguided("dport", 2), .unguided("chunk-types", 3),
    ]

    private var value = SCTPMatch()

    mutating func take(_ use: OptionUse, _ context: inout RuleContext) throws(CommandError) {
        switch use.spec.id {
        case 1:
            guard value.sourcePorts == nil else {
                throw .parameter("Only one `--source-port' allowed", word: use.value)
            }
            value.sourcePorts = try ports(use, context)
        case 2:
            guard value.destinationPorts == nil else {
                throw .parameter("Only one `--destination-port' allowed", word: use.value)
            }
            value.destinationPorts = try ports(use, context)
        default:
            guard value.chunks == nil else {
                throw .parameter("Only one `--chunk-types' allowed", word: use.value)
            }
            value.chunks = Invertible(try chunks(use, &context), inverted: use.inverted)
        }
    }

    private func ports(
        _ use: OptionUse, _ context: RuleContext
    ) throws(CommandError) -> Invertible<PortRange> {
        Invertible(
            try PortText.parseRange(use.value, transport: "sctp", context.resolver),
            inverted: use.inverted)
    }

    private func chunks(
        _ use: OptionUse, _ context: inout RuleContext
    ) throws(CommandError) -> SCTPChunkTest {
        guard let types = context.following.first, !types.hasPrefix("-"), !types.hasPrefix("!")
        else {
            throw .parameter(
                "--chunk-types requires two args", word: use.value,
                expected: "ALL, ANY or ONLY, then the types")
        }
        guard let mode = SCTPChunkTest.Mode(rawValue: use.value.lowercased()) else {
            throw .parameter(
                "Match type has to be one of \"ALL\", \"ANY\" or \"ONLY\"", word: use.value,
                expected: "ALL, ANY or ONLY")
        }
        _ = context.nextWord()
        return try SCTPChunkTest(mode, words: types)
    }

    func match() -> Match { .stateless(.sctp(value)) }
}

/// A chunk type's name, and its flags from the highest bit down (`-`: not to be asked for).
struct SCTPChunkName {
    var name: String
    var type: UInt8
    var flags = "--------"

    /// RFC 9260 and the extensions that iptables 1.8.9 knows.
    static let all: [SCTPChunkName] = [
        Self(name: "DATA", type: 0, flags: "----IUBE"), Self(name: "INIT", type: 1),
        Self(name: "INIT_ACK", type: 2), Self(name: "SACK", type: 3),
        Self(name: "HEARTBEAT", type: 4), Self(name: "HEARTBEAT_ACK", type: 5),
        Self(name: "ABORT", type: 6, flags: "-------T"), Self(name: "SHUTDOWN", type: 7),
        Self(name: "SHUTDOWN_ACK", type: 8), Self(name: "ERROR", type: 9),
        Self(name: "COOKIE_ECHO", type: 10), Self(name: "COOKIE_ACK", type: 11),
        Self(name: "ECN_ECNE", type: 12), Self(name: "ECN_CWR", type: 13),
        Self(name: "SHUTDOWN_COMPLETE", type: 14, flags: "-------T"),
        Self(name: "I_DATA", type: 64), Self(name: "ASCONF_ACK", type: 128),
        Self(name: "RE_CONFIG", type: 130), Self(name: "PAD", type: 132),
        Self(name: "FORWARD_TSN", type: 192), Self(name: "ASCONF", type: 193),
        Self(name: "I_FORWARD_TSN", type: 194),
    ]
}

extension SCTPChunkTest {
    init(_ mode: Mode, words: String) throws(CommandError) {
        self.init(mode, SCTPChunkTypes())
        switch words.uppercased() {
        case "ALL": types = .all
        case "NONE": break
        default: for word in words.split(separator: ",") { try insert(word) }
        }
    }

    /// `DATA`, or with flags that must be set (`B`) or not (`b`): `DATA:Be`.
    private mutating func insert(_ word: Substring) throws(CommandError) {
        let parts = word.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard let known = SCTPChunkName.all.first(where: { $0.name == parts[0].uppercased() })
        else {
            throw .parameter(
                "Unknown sctp chunk `\(parts[0])'", word: String(word),
                expected: "ALL, NONE or " + SCTPChunkName.all.map(\.name).joined(separator: ", "))
        }
        types.insert(known.type)
        guard parts.count == 2 else { return }
        for letter in parts[1] {
            guard let place = Array(known.flags).firstIndex(of: Character(letter.uppercased())),
                letter != "-"
            else {
                let letters = known.flags.filter { $0 != "-" }
                throw .parameter(
                    "Invalid flags for chunk type \(known.type)", word: String(word),
                    expected: letters.isEmpty
                        ? "no flags: \(known.name) has none" : "letters of \(letters)")
            }
            var flags = self.flags(of: known.type)
            let bit = UInt8(0x80) >> UInt8(place)
            flags.mask |= bit
            if letter.isUppercase { flags.value |= bit }
            setFlags(flags, of: known.type)
        }
    }

    /// Empty for a type that has none.
    public func flags(of type: UInt8) -> Flags {
        switch type {
        case 0: data
        case 6: abort
        case 14: shutdownComplete
        default: Flags()
        }
    }

    private mutating func setFlags(_ flags: Flags, of type: UInt8) {
        switch type {
        case 0: data = flags
        case 6: abort = flags
        case 14: shutdownComplete = flags
        default: break
        }
    }

    /// ` any DATA:B,INIT`, or by number.
    func text(numeric: Bool) -> String {
        if types.isEmpty { return " \(mode.rawValue) NONE" }
        if types == .all { return " \(mode.rawValue) ALL" }
        let listed = SCTPChunkName.all.filter { types.contains($0.type) }.map { known in
            let digits = String(known.type, radix: 16, uppercase: true).leftPadded(4)
            let number = "0x" + String(digits.map { $0 == " " ? "0" : $0 })
            let flags = flags(of: known.type)
            var text = numeric ? number : known.name
            if flags.mask != 0 { text += ":" }
            for (place, letter) in known.flags.enumerated() {
                let bit = UInt8(0x80) >> UInt8(place)
                guard flags.mask & bit != 0 else { continue }
                text += flags.value & bit != 0 ? "\(letter)" : letter.lowercased()
            }
            return text
        }
        return " \(mode.rawValue) " + listed.joined(separator: ",")
    }
}

extension SCTPMatch: ExtensionText {
    var extensionName: String { "sctp" }

    var saved: String {
        var text = PortText.savedAlways("--sport", sourcePorts)
        text += PortText.savedAlways("--dport", destinationPorts)
        if let chunks {
            text += (chunks.inverted ? " !" : "") + " --chunk-types"
            text += chunks.value.text(numeric: false)
        }
        return text
    }

    func listed(_ names: ListingNames) -> String {
        var text = " sctp" + PortText.listed("spt", sourcePorts, names, transport: "sctp")
        text += PortText.listed("dpt", destinationPorts, names, transport: "sctp")
        if let chunks {
            text += (chunks.inverted ? " !" : "") + chunks.value.text(numeric: names.numeric)
        }
        return text
    }
}

extension PortText {
    /// As `saved`, but also where every port will do: what `-m sctp` and `-m dccp` keep.
    static func savedAlways(_ option: String, _ ports: Invertible<PortRange>?) -> String {
        guard let ports else { return "" }
        return (ports.inverted ? " !" : "") + " \(option) " + range(ports.value, separator: ":")
    }
}
