// Addresses and interfaces as the rule header takes them.

import Wire

enum AddressText {
    /// `ADDR[/MASK][,ADDR[/MASK]…]`; a name may stand for several addresses.
    static func parseList(
        _ text: String, _ resolver: any NameResolver
    ) throws(CommandError) -> [IPv4Network] {
        var networks: [IPv4Network] = []
        for item in text.split(separator: ",", omittingEmptySubsequences: false) {
            let word = item.drop { $0 == " " }
            networks += try parse(String(word), resolver)
        }
        return networks
    }

    private static func parse(
        _ text: String, _ resolver: any NameResolver
    ) throws(CommandError) -> [IPv4Network] {
        let slash = text.lastIndex(of: "/")
        let mask =
            try slash.map { slash throws(CommandError) in
                try parseMask(String(text[text.index(after: slash)...]))
            } ?? .max
        let host = String(text[..<(slash ?? text.endIndex)])
        if mask == 0 { return [IPv4Network(.any, mask: 0)] }
        if let address = partial(host) { return [IPv4Network(address, mask: mask)] }
        let found = host.isEmpty ? [] : resolver.addresses(host: host)
        guard !found.isEmpty else {
            throw .parameter(
                "host/network `\(host)' not found", word: host,
                expected: "an IPv4 address or the name of a host or network")
        }
        // Two addresses of one host can be one network; two of the list stay two rules.
        return found.map { IPv4Network($0, mask: mask) }.reduce(into: []) { networks, network in
            if !networks.contains(network) { networks.append(network) }
        }
    }

    private static func parseMask(_ text: String) throws(CommandError) -> UInt32 {
        if let address = IPv4Address(text) { return address.rawValue }
        guard let length = CNumber.unsigned(text, max: 32) else {
            throw .parameter(
                "invalid mask `\(text)' specified", word: text,
                expected: "a prefix length from 0 to 32 or a dotted mask")
        }
        return IPv4Network(.any, prefixLength: Int(length)).mask
    }

    /// Dotted decimal with one to four parts; what is left out is zero, so 10/8 is 10.0.0.0/8.
    private static func partial(_ text: String) -> IPv4Address? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard (1...4).contains(parts.count) else { return nil }
        var value: UInt32 = 0
        for part in parts {
            guard let byte = CNumber.unsigned(part, max: 255) else { return nil }
            value = value << 8 | UInt32(byte)
        }
        return IPv4Address(rawValue: value << UInt32(8 * (4 - parts.count)))
    }

    /// `nil` for `+`, which any interface satisfies; a name that no interface can have draws a
    /// warning, as from iptables.
    static func parseInterface(
        _ text: String, inverted: Bool, warnings: inout String
    ) throws(CommandError) -> InterfaceMatch? {
        guard !text.isEmpty else {
            throw .parameter(
                "Empty interface is likely to be undesired", word: "",
                expected: "the name of an interface")
        }
        guard text.utf8.count <= 15 else {
            throw .parameter(
                "interface name `\(text)' must be shorter than IFNAMSIZ (15)", word: text,
                expected: "15 characters at most")
        }
        if let objection = text.lineObjection {
            throw .parameter("interface name " + objection, word: text)
        }
        if text.contains("/") || text.contains(" ") {
            warnings += "Warning: weird character in interface `\(text)' "
            warnings += "('/' and ' ' are not allowed by the kernel).\n"
        }
        if text == "+", !inverted { return nil }
        let wildcard = text.hasSuffix("+")
        return InterfaceMatch(
            name: wildcard ? String(text.dropLast()) : text, wildcard: wildcard,
            inverted: inverted)
    }
}
