// The names of protocols, the same on every machine: what a case means and what a replay prints must not
// depend on the files in /etc. Services, hosts and users have no names here.

import Ruleset
import Wire

/// The protocols of Debian's /etc/protocols, first names only.
struct StandardNames: NameResolver {
    func port(service: String, transport: String?) -> Port? { nil }
    func service(port: Port, transport: String?) -> String? { nil }
    func addresses(host: String) -> [IPv4Address] { [] }
    func host(address: IPv4Address) -> String? { nil }
    func userID(named: String) -> UInt32? { nil }
    func userName(_ userID: UInt32) -> String? { nil }
    func groupID(named: String) -> UInt32? { nil }
    func groupName(_ groupID: UInt32) -> String? { nil }

    func number(protocolName: String) -> IPProtocol? { Self.numbers[protocolName] }

    func name(protocolNumber: IPProtocol) -> String? {
        // 0 has two names, and iptables calls it "all" anyway.
        protocolNumber.rawValue == 0 ? nil : Self.names[protocolNumber]
    }

    private static let table: [(String, UInt8)] = [
        ("ip", 0), ("hopopt", 0), ("icmp", 1), ("igmp", 2), ("ggp", 3), ("ipencap", 4), ("st", 5),
        ("tcp", 6), ("egp", 8), ("igp", 9), ("pup", 12), ("udp", 17), ("hmp", 20), ("xns-idp", 22),
        ("rdp", 27), ("iso-tp4", 29), ("dccp", 33), ("xtp", 36), ("ddp", 37), ("idpr-cmtp", 38),
        ("ipv6", 41), ("ipv6-route", 43), ("ipv6-frag", 44), ("idrp", 45), ("rsvp", 46),
        ("gre", 47), ("esp", 50), ("ah", 51), ("skip", 57), ("ipv6-icmp", 58), ("ipv6-nonxt", 59),
        ("ipv6-opts", 60), ("rspf", 73), ("vmtp", 81), ("eigrp", 88), ("ospf", 89), ("ax.25", 93),
        ("ipip", 94), ("etherip", 97), ("encap", 98), ("pim", 103), ("ipcomp", 108),
        ("vrrp", 112), ("l2tp", 115), ("isis", 124), ("sctp", 132), ("fc", 133),
        ("mobility-header", 135), ("udplite", 136), ("mpls-in-ip", 137), ("manet", 138),
        ("hip", 139), ("shim6", 140), ("wesp", 141), ("rohc", 142), ("ethernet", 143),
    ]

    private static let numbers = Dictionary(
        uniqueKeysWithValues: table.map { ($0.0, IPProtocol(rawValue: $0.1)) })
    private static let names = Dictionary(
        table.map { (IPProtocol(rawValue: $0.1), $0.0) }, uniquingKeysWith: { first, _ in first })
}
