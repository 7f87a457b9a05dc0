// `-m pkttype --pkt-type`: to whom the frame was addressed on its link.

struct PkttypeParser: MatchParser {
    static let name = "pkttype"
    static let options = [OptionSpec("pkt-type", 1, invertible: true, mandatory: true)]

    private static let otherNames: [String: PacketType] = [
        "bcast": .broadcast, "mcast": .multicast, "host": .unicast,
    ]
    private var value = Invertible(PacketType.unicast)

    mutating func take(_ use: OptionUse, _ context: inout RuleContext) throws(CommandError) {
        let word = use.value.lowercased()
        guard let type = PacketType(rawValue: word) ?? Self.otherNames[word] else {
            throw .parameter(
                "Bad packet type '\(use.value)'", word: use.value,
                expected: PacketType.allCases.map(\.rawValue).joined(separator: ", "))
        }
        value = Invertible(type, inverted: use.inverted)
    }

    func match() -> Match { .stateless(.pkttype(value)) }
}

struct PkttypeText: ExtensionText {
    var test: Invertible<PacketType>
    var extensionName: String { "pkttype" }
    var saved: String { (test.inverted ? " !" : "") + " --pkt-type " + test.value.rawValue }
    func listed(_ names: ListingNames) -> String {
        " PKTTYPE " + (test.inverted ? "!" : "") + "= " + test.value.rawValue
    }
}
