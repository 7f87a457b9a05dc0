// What `conntrack -h` prints: Sluice's own words, which name what Sluice does and nothing else.

extension ConntrackParser {
    var usage: String { conntrackUsage }

    /// `-h -p PROTOCOL`.
    var protocolUsage: String {
        switch request.filter.protocol {
        case .tcp?: portUsage("TCP") + "  --state STATE              e.g. ESTABLISHED\n"
        case .udp?: portUsage("UDP")
        case .icmp?: icmpUsage
        default: ""
        }
    }
}

private let conntrackUsage = """
    \(ConntrackText.program)

    Usage: conntrack -L [TABLE] [FILTER …] [-z] [-o FORMAT[,…]]   list
           conntrack -G -s ADDRESS -d ADDRESS -p PROTOCOL …       show one
           conntrack -D [FILTER …]                                delete
           conntrack -E [FILTER …] [-e EVENT[,…]] [-o FORMAT[,…]] show events
           conntrack -F | -C | -S                                 flush, count, statistics
           conntrack -h [-p PROTOCOL] | -V

    Tables: conntrack; expect, dying and unconfirmed, which are empty
    Formats: extended, timestamp, id, ktimestamp, save
    Events: NEW, UPDATES, DESTROY, ALL

    Filters:
      -s, -d, --orig-src, --orig-dst ADDRESS[/LENGTH]   the original direction
      --mask-src, --mask-dst MASK                       the same mask, apart
      -r, -q, --reply-src, --reply-dst ADDRESS          the reply direction
      -n, -g, -j, --src-nat, --dst-nat, --any-nat [ADDRESS[:PORT]]
      -p, --protonum PROTOCOL      its own options: conntrack -h -p PROTOCOL
      -f, --family FAMILY          ipv4 or ipv6
      -u, --status STATUS[,…]      e.g. ASSURED, UNREPLIED
      -m, --mark MARK[/MASK]
      -w, --zone, --orig-zone, --reply-zone ZONE


    """

private func portUsage(_ name: String) -> String {
    """
    \(name):
      --sport, --orig-port-src PORT
      --dport, --orig-port-dst PORT
      --reply-port-src PORT
      --reply-port-dst PORT

    """
}

private let icmpUsage = """
    ICMP:
      --icmp-type NUMBER
      --icmp-code NUMBER
      --icmp-id NUMBER

    """
