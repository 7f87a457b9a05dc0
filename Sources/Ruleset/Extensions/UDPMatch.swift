// `-m udp`: ports of a UDP header.

import Wire

struct UDPMatchParser: MatchParser {
    static let name = "udp"
    static let options: [OptionSpec] = [
        OptionSpec("source-port", 1, invertible: true), OptionSpec("sport", 1, invertible: true),
        OptionSpec("destination-port", 2, invertible: true),
        OptionSpec("dport", 2, invertible: true),
    ]

    private var value = UDPMatch()

    mutating func take(_ use: OptionUse, _ context: inout RuleContext) throws(CommandError) {
        let ports = Invertible(
            try PortText.parseCheckedRange(use, transport: "udp", context.resolver),
            inverted: use.inverted)
        if use.spec.id == 1 { value.sourcePorts = ports } else { value.destinationPorts = ports }
    }

    func match() -> Match { .udp(value) }
}

extension UDPMatch: ExtensionText {
    var extensionName: String { "udp" }

    var saved: String {
        PortText.saved("--sport", sourcePorts) + PortText.saved("--dport", destinationPorts)
    }

    func listed(_ names: ListingNames) -> String {
        " udp" + PortText.listed("spt", sourcePorts, names, transport: "udp")
            + PortText.listed("dpt", destinationPorts, names, transport: "udp")
    }

    /// See `TCPMatch.asKernelKeeps`.
    var asKernelKeeps: UDPMatch? {
        let kept = UDPMatch(
            sourcePorts: PortText.asKernelKeeps(sourcePorts),
            destinationPorts: PortText.asKernelKeeps(destinationPorts))
        let inverted = sourcePorts?.inverted == true || destinationPorts?.inverted == true
        return kept == UDPMatch() && inverted ? nil : kept
    }
}
