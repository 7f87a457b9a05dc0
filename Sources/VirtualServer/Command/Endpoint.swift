// HOST[:PORT] as ipvsadm reads it (`parse_service`), and numbers as strtol does.

import Ruleset
import Wire

struct Endpoint: Hashable {
    var address = IPv4Address.any
    var port = Port(0)
    var hasPort = false
    /// An IPv6 address: its value is of no use here.
    var isIPv6 = false

    init() {}

    /// `nil` where it is none, or where the service's name is unknown.
    init?(parsing text: String, _ transport: String?, _ resolver: any NameResolver) {
        if text.utf8.allSatisfy({ 48...57 ~= $0 }) { return nil }
        var host = Substring(text)
        var portText: Substring?
        if host.first == "[" {
            guard let end = host.firstIndex(of: "]") else { return nil }
            let behind = host[host.index(after: end)...]
            guard behind.first == ":" else { return nil }
            portText = behind.dropFirst()
            host = host[host.index(after: host.startIndex)..<end]
        }
        if Self.isIPv6(host) {
            isIPv6 = true
        } else {
            if let colon = host.lastIndex(of: ":") {
                portText = host[host.index(after: colon)...]
                host = host[..<colon]
            }
            guard let found = Self.aton(host) ?? resolver.addresses(host: String(host)).first
            else { return nil }
            address = found
        }
        guard let portText else { return }
        hasPort = true
        if let number = CLong.parse(String(portText), 0...65_535) {
            port = Port(UInt16(number))
        } else if let transport,
            let named = resolver.port(service: String(portText), transport: transport)
        {
            port = named
        } else {
            return nil
        }
    }

    /// inet_pton(3) for AF_INET6: eight groups, of which `::` stands for some, and the last two may be an IPv4
    /// address.
    private static func isIPv6(_ text: Substring) -> Bool {
        guard let gap = text.firstRange(of: "::") else {
            return groups(text, mayEndInIPv4: true) == 8
        }
        let before = text[..<gap.lowerBound]
        let behind = text[gap.upperBound...]
        guard let first = before.isEmpty ? 0 : groups(before, mayEndInIPv4: false),
            let second = behind.isEmpty ? 0 : groups(behind, mayEndInIPv4: true)
        else { return false }
        return first + second < 8
    }

    /// How many groups of 16 bits stand here; `nil` where something else does.
    private static func groups(_ text: Substring, mayEndInIPv4: Bool) -> Int? {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        var count = parts.count
        for (index, part) in parts.enumerated() {
            if mayEndInIPv4, index == parts.count - 1, IPv4Address(part) != nil {
                count += 1
            } else if !(1...4).contains(part.utf8.count) || !part.utf8.allSatisfy(isHex) {
                return nil
            }
        }
        return count
    }

    private static func isHex(_ byte: UInt8) -> Bool {
        48...57 ~= byte || 65...70 ~= byte || 97...102 ~= byte
    }

    /// inet_aton(3): one to four parts, each decimal, octal or hexadecimal, the last one filling what is left.
    static func aton(_ text: some StringProtocol) -> IPv4Address? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard (1...4).contains(parts.count) else { return nil }
        var value: UInt32 = 0
        for (index, part) in parts.enumerated() {
            guard let number = number(part) else { return nil }
            let isLast = index == parts.count - 1
            let bits = isLast ? UInt32(8 * (5 - parts.count)) : 8
            guard UInt64(number) < 1 << UInt64(bits) else { return nil }
            value |= isLast ? number : number << UInt32(24 - 8 * index)
        }
        return IPv4Address(rawValue: value)
    }

    private static func number(_ part: some StringProtocol) -> UInt32? {
        let text = part.lowercased()
        guard let first = text.utf8.first, 48...57 ~= first else { return nil }
        if text.hasPrefix("0x") { return UInt32(text.dropFirst(2), radix: 16) }
        return UInt32(text, radix: text.utf8.count > 1 && first == 48 ? 8 : 10)
    }
}

/// Decimal numbers: blanks and a sign in front are taken, anything behind is not.
enum CLong {
    static func parse(_ text: String, _ range: ClosedRange<Int>) -> Int? {
        let digits = text.drop { $0 == " " || $0 == "\t" || $0 == "\n" }
        guard let last = digits.utf8.last, 48...57 ~= last, let number = Int(digits) else {
            return nil
        }
        return range.contains(number) ? number : nil
    }
}
