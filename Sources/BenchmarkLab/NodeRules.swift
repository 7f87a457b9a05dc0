// What the node does on every road: it translates both ends, and asks for the state of connections.

import Wire

/// Rules for one service or for many.
struct NodeRules: Sendable {
    /// Services in front of the one that is measured.
    var others: Int

    /// UDP and TCP on these ports of the node go to the server.
    static let ports: ClosedRange<UInt16> = 5000...5999
    private static let outside = "n0"
    private static let inside = "n1"

    init(services: Int) {
        precondition(services > 0, "there is a service to measure")
        others = services - 1
    }

    /// Addresses of the other services: 10.96.0.0/12, as a cluster has them.
    private static func address(_ number: Int) -> IPv4Address {
        IPv4Address(rawValue: 10 << 24 | 96 << 16 | UInt32(number + 1))
    }

    /// What iptables-save would print.
    var iptables: String {
        let ports = "\(Self.ports.lowerBound):\(Self.ports.upperBound)"
        let server = BenchmarkNetwork.server
        var lines = [
            "*nat", ":PREROUTING ACCEPT [0:0]", ":INPUT ACCEPT [0:0]", ":OUTPUT ACCEPT [0:0]",
            ":POSTROUTING ACCEPT [0:0]", ":SERVICES - [0:0]",
            "-A PREROUTING -i \(Self.outside) -j SERVICES",
        ]
        lines += (0..<others).map {
            "-A SERVICES -d \(Self.address($0))/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination \(server):80"
        }
        for name in ["tcp", "udp"] {
            lines.append(
                "-A SERVICES -d \(BenchmarkNetwork.nodeOutside)/32 -p \(name) -m \(name) --dport \(ports) "
                    + "-j DNAT --to-destination \(server)")
        }
        lines += [
            "-A POSTROUTING -o \(Self.inside) -j MASQUERADE", "COMMIT", "*filter",
            ":INPUT ACCEPT [0:0]", ":FORWARD DROP [0:0]", ":OUTPUT ACCEPT [0:0]",
            "-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
            "-A FORWARD -i \(Self.outside) -m conntrack --ctstate NEW -j ACCEPT", "COMMIT",
        ]
        return lines.map { $0 + "\n" }.joined()
    }

    /// The same for nft, with a map in place of a chain of services.
    var nftables: String {
        let server = BenchmarkNetwork.server
        var elements = (0..<others).map { "\(Self.address($0)) . tcp . 80 : \(server)" }
        for name in ["tcp", "udp"] {
            elements.append(
                "\(BenchmarkNetwork.nodeOutside) . \(name) . "
                    + "\(Self.ports.lowerBound)-\(Self.ports.upperBound) : \(server)")
        }
        return """
            table ip bench {
              map services {
                type ipv4_addr . inet_proto . inet_service : ipv4_addr
                flags interval
                elements = { \(elements.joined(separator: ", ")) }
              }
              chain prerouting {
                type nat hook prerouting priority dstnat; policy accept;
                iifname "\(Self.outside)" dnat to ip daddr . meta l4proto . th dport map @services
              }
              chain postrouting {
                type nat hook postrouting priority srcnat; policy accept;
                oifname "\(Self.inside)" masquerade
              }
              chain forward {
                type filter hook forward priority filter; policy drop;
                ct state vmap { established : accept, related : accept }
                iifname "\(Self.outside)" ct state new accept
              }
            }

            """
    }
}
