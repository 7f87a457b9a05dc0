// How protocols and their tuples are named in conntrack's text.

import Wire

enum ProtocolText {
    /// The protocols that the library knows by name.
    static func name(_ protocol: IPProtocol) -> String? {
        switch `protocol` {
        case .icmp: "icmp"
        case .tcp: "tcp"
        case .udp: "udp"
        case .gre: "gre"
        case .dccp: "dccp"
        case .sctp: "sctp"
        case .udplite: "udplite"
        default: nil
        }
    }

    /// Addresses and what the protocol has for ports, with a space behind.
    static func tuple(_ tuple: Tuple) -> String {
        let addresses = "src=\(tuple.source) dst=\(tuple.destination) "
        switch tuple.protocol {
        case .icmp:
            return addresses
                + "type=\(tuple.icmpType) code=\(tuple.icmpCode) id=\(tuple.sourcePort) "
        case .gre:
            return addresses
                + "srckey=0x\(String(tuple.sourcePort.rawValue, radix: 16)) "
                + "dstkey=0x\(String(tuple.destinationPort.rawValue, radix: 16)) "
        case .tcp, .udp, .dccp, .sctp, .udplite:
            return addresses + "sport=\(tuple.sourcePort) dport=\(tuple.destinationPort) "
        default:
            return addresses
        }
    }

    /// A protocol as `-p` takes it: a name of the library's, a name from /etc/protocols, a number.
    static func parse(_ word: String) -> IPProtocol? {
        if let number = named[word.lowercased()] { return IPProtocol(rawValue: number) }
        return UInt8(word).map { IPProtocol(rawValue: $0) }
    }

    /// The names of /etc/protocols that people track; the rest go by number.
    private static let named: [String: UInt8] = [
        "icmp": 1, "igmp": 2, "ipencap": 4, "tcp": 6, "egp": 8, "igp": 9, "udp": 17, "dccp": 33,
        "ipv6": 41, "rsvp": 46, "gre": 47, "esp": 50, "ah": 51, "ospf": 89, "ipip": 94, "pim": 103,
        "vrrp": 112, "l2tp": 115, "sctp": 132, "udplite": 136,
    ]
}

/// The calendar in the form of C's `ctime`, without the line's end.
enum CalendarText {
    /// - Parameter seconds: since 1970, in the wanted time zone.
    static func ctime(_ seconds: Int) -> String {
        let days = Int((Double(seconds) / 86_400).rounded(.down))
        let rest = seconds - days * 86_400
        let (year, month, day) = date(days)
        let weekdays = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]
        let months = [
            "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
        ]
        let time = [rest / 3600, rest / 60 % 60, rest % 60].map {
            ConntrackText.zeroes(before: "\($0)", width: 2) + "\($0)"
        }.joined(separator: ":")
        let weekday = weekdays[((days % 7) + 7) % 7]
        let padding = day < 10 ? " " : ""
        return "\(weekday) \(months[month - 1]) \(padding)\(day) \(time) \(year)"
    }

    /// Days since 1970 to the Gregorian calendar (Hinnant, "chrono-compatible low-level date
    /// algorithms"): years begin in March, so that the leap day is a year's last.
    private static func date(_ days: Int) -> (year: Int, month: Int, day: Int) {
        let shifted = days + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra =
            (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
        let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day)
    }
}
