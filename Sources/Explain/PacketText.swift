// Packets in words: one line that says who speaks to whom, in the manner of tcpdump.

import Hooks
import Wire

extension PacketView {
    /// `tcp 192.0.2.2:40000 > 192.0.2.1:8080 S`
    public var summary: String {
        switch transport {
        case .tcp:
            "tcp \(end(.source)) > \(end(.destination)) \(tcpFlags.letters)"
        case .udp: "udp \(end(.source)) > \(end(.destination))"
        case .icmp:
            "icmp \(source) > \(destination) \(icmpName)"
        case .fragment:
            "fragment \(source) > \(destination) of datagram \(identification) at \(fragmentOffset)"
        case .truncated:
            "\(protocolName) \(source) > \(destination), header truncated"
        case .other: "\(protocolName) \(source) > \(destination)"
        }
    }

    /// One end as `address:port`, or the address alone where there are no ports.
    public func end(_ end: PacketEnd) -> String {
        let address = end == .source ? source : destination
        switch transport {
        case .tcp, .udp: return "\(address):\(end == .source ? sourcePort : destinationPort)"
        default: return "\(address)"
        }
    }

    var protocolName: String {
        switch `protocol` {
        case .tcp: "tcp"
        case .udp: "udp"
        case .icmp: "icmp"
        default: "protocol \(`protocol`.rawValue)"
        }
    }

    /// RFC 792's names of what people meet; others by number.
    private var icmpName: String {
        switch icmpType {
        case 0: "echo reply, id \(icmpIdentifier)"
        case 3: "destination unreachable, code \(icmpCode)"
        case 5: "redirect"
        case 8: "echo request, id \(icmpIdentifier)"
        case 11: "time exceeded, code \(icmpCode)"
        default: "type \(icmpType), code \(icmpCode)"
        }
    }
}

extension TCPFlags {
    /// tcpdump's letters; `none` where no flag is set.
    public var letters: String {
        let names: [(TCPFlags, String)] = [
            (.syn, "S"), (.fin, "F"), (.rst, "R"), (.psh, "P"), (.urg, "U"), (.ece, "E"),
            (.cwr, "W"), (.ack, "."),
        ]
        let text = names.filter { contains($0.0) }.map(\.1).joined()
        return text.isEmpty ? "none" : text
    }
}

extension Answer {
    var summary: String {
        switch self {
        case .icmp(let type, let code, let information):
            information == 0
                ? "ICMP type \(type), code \(code)"
                : "ICMP type \(type), code \(code), information \(information)"
        case .tcpReset: "a TCP reset"
        }
    }
}
