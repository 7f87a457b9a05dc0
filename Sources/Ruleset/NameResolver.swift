// Names of ports, protocols, hosts, networks and users. The engine asks only through this protocol, so that
// it stays deterministic: the same command, rules and resolver give the same bytes.

import Wire

public protocol NameResolver: Sendable {
    /// `transport` is "tcp", "udp" … or `nil` for any.
    func port(service: String, transport: String?) -> Port?
    func service(port: Port, transport: String?) -> String?
    func number(protocolName: String) -> IPProtocol?
    func name(protocolNumber: IPProtocol) -> String?
    /// Every address of a host or, failing that, of a named network; empty where there is none.
    func addresses(host: String) -> [IPv4Address]
    /// The name of a host or, failing that, of a network.
    func host(address: IPv4Address) -> String?
    func userID(named: String) -> UInt32?
    func userName(_ userID: UInt32) -> String?
    func groupID(named: String) -> UInt32?
    func groupName(_ groupID: UInt32) -> String?
}

/// A resolver that knows no names: numbers only.
public struct NumericResolver: NameResolver {
    public init() {}
    public func port(service: String, transport: String?) -> Port? { nil }
    public func service(port: Port, transport: String?) -> String? { nil }
    public func number(protocolName: String) -> IPProtocol? { nil }
    public func name(protocolNumber: IPProtocol) -> String? { nil }
    public func addresses(host: String) -> [IPv4Address] { [] }
    public func host(address: IPv4Address) -> String? { nil }
    public func userID(named: String) -> UInt32? { nil }
    public func userName(_ userID: UInt32) -> String? { nil }
    public func groupID(named: String) -> UInt32? { nil }
    public func groupName(_ groupID: UInt32) -> String? { nil }
}

/// Protocols that iptables knows by itself, in its order of preference. They come before /etc/protocols, which
/// would be read anew for every rule.
enum KnownProtocols {
    private static let names: [(name: String, number: UInt8)] = [
        ("tcp", 6), ("sctp", 132), ("udp", 17), ("udplite", 136), ("icmp", 1), ("ipv6-icmp", 58),
        ("icmpv6", 58), ("esp", 50), ("ah", 51), ("mobility-header", 135), ("ipv6-mh", 135),
        ("mh", 135), ("all", 0),
    ]

    static func number(_ name: String) -> IPProtocol? {
        names.first { $0.name == name }.map { IPProtocol(rawValue: $0.number) }
    }

    /// `nil` also for 0, which a rule that looks at no protocol has.
    static func name(_ number: IPProtocol) -> String? {
        number.rawValue == 0 ? nil : names.first { $0.number == number.rawValue }?.name
    }
}

extension NameResolver {
    /// A protocol as `-p` takes it: a number, "all", or a name in any case.
    func parseProtocol(_ text: String) -> IPProtocol? {
        if let number = CNumber.unsigned(text, max: 255) {
            return IPProtocol(rawValue: UInt8(number))
        }
        let lowered = text.lowercased()
        return KnownProtocols.number(lowered) ?? number(protocolName: lowered)
    }

    /// A protocol as rules are printed: its name where it has one.
    func protocolText(_ number: IPProtocol) -> String {
        KnownProtocols.name(number) ?? name(protocolNumber: number) ?? String(number.rawValue)
    }

    /// A port as a number (C notation, so `0x50` too) or as a service.
    func parsePort(_ text: String, transport: String?) -> Port? {
        if let number = CNumber.unsigned(text, max: 65535) { return Port(UInt16(number)) }
        return port(service: text, transport: transport)
    }
}
