// `NETMAP --to ADDRESS[/MASK]`: one network mapped onto another, host by host.

import Wire

struct NetmapParser: TargetParser {
    static let name = "NETMAP"
    static let options = [OptionSpec("to", 1, mandatory: true)]

    private var network = IPv4Network(.any, mask: 0)

    mutating func take(_ use: OptionUse, _ context: inout RuleContext) throws(CommandError) {
        let parts = use.value.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        var mask = UInt32.max
        if parts.count == 2 { mask = try Self.mask(parts[1], use) }
        guard let address = context.resolver.address(parts[0]) else {
            throw .parameter(
                "getaddrinfo: Name or service not known\n", word: String(parts[0]),
                expected: "an IPv4 address or the name of a host")
        }
        network = IPv4Network(address, mask: mask)
    }

    func target() -> Target { .netmap(network) }
}

extension NameResolver {
    /// An address as it is typed, or the first one of a host.
    func address(_ text: some StringProtocol) -> IPv4Address? {
        IPv4Address(String(text)) ?? (text.isEmpty ? nil : addresses(host: String(text)).first)
    }
}

extension ExtensionParser {
    /// A prefix length or a dotted mask without holes.
    static func mask(_ text: some StringProtocol, _ use: OptionUse) throws(CommandError) -> UInt32 {
        if let length = CNumber.unsigned(text, max: 32) {
            return IPv4Network(.any, prefixLength: Int(length)).mask
        }
        if let mask = IPv4Address(String(text))?.rawValue,
            IPv4Network(.any, mask: mask).prefixLength != nil
        {
            return mask
        }
        throw .parameter(
            "\(name): bad value for option \"\(use.option)\", "
                + "neither a valid network mask nor valid CIDR (0-32).\n",
            word: String(text), expected: "a prefix length from 0 to 32, or a mask without holes")
    }
}

struct NetmapText: ExtensionText {
    var network: IPv4Network
    var extensionName: String { "NETMAP" }

    private var text: String { "\(network.address)/\(network.prefixLength ?? 32)" }
    var saved: String { " --to \(text)" }
    func listed(_ names: ListingNames) -> String { " to:\(text)" }
}
