// How to say each match. A new one is one line, and its words a function below where they are many.

import Wire

extension RuleGenerator {
    static let matches: [ExtensionGenerator] = [
        .init("tcp") { $1.protocol == "tcp" ? $0.tcp() : nil },
        .init("udp") { $1.protocol == "udp" ? "-m udp" + $0.sides() : nil },
        .init("icmp") { $1.protocol == "icmp" ? $0.icmp() : nil },
        .init("multiport") { $1.isTCPOrUDP ? $0.multiport() : nil },
        .init("comment") { generator, _ in
            "-m comment --comment \(generator.random.pick(["seen", "\"two words\"", "x-y"]))"
        },
        .init("conntrack", tracks: true) { generator, _ in generator.conntrack() },
        .init("state", tracks: true) { generator, _ in
            "-m state\(generator.not()) --state \(generator.states(virtual: false))"
        },
        .init("statistic") { generator, _ in generator.statistic() },
        .init("mark") { generator, _ in
            "-m mark\(generator.not()) --mark \(generator.mark())"
                + (generator.random.chance(40) ? "/0xff" : "")
        },
        .init("addrtype") { $0.addrtype($1) },
    ]

    private mutating func sides() -> String {
        switch random.number(0...5) {
        case 0, 1: "\(not()) --sport \(ports())"
        case 2...4: "\(not()) --dport \(ports())"
        default: " --sport \(ports())\(not()) --dport \(ports())"
        }
    }

    private mutating func tcp() -> String {
        let flags = [
            "--syn", "--tcp-flags SYN,RST,ACK,FIN SYN", "--tcp-flags ALL ACK",
            "--tcp-flags RST RST",
            "--tcp-flags FIN FIN", "--tcp-flags ALL NONE", "--tcp-flags SYN,ACK SYN,ACK",
            "--tcp-option 2", "--tcp-option 5", "--tcp-option 8",
        ]
        return random.chance(55)
            ? "-m tcp" + sides() : "-m tcp\(not()) \(random.pick(flags))"
    }

    private mutating func icmp() -> String {
        let types = [
            "8", "0", "any", "3", "3/4", "3/1", "11", "echo-request", "destination-unreachable",
            "13", "12", "5",
        ]
        return "-m icmp\(not()) --icmp-type \(random.pick(types))"
    }

    private mutating func multiport() -> String {
        let list =
            (0..<random.number(1...4)).map { _ in "\(world.port(&random))" }
            .joined(separator: ",") + (random.chance(30) ? ",600:8080" : "")
        return "-m multiport\(not()) \(random.pick(["--sports", "--dports", "--ports"])) \(list)"
    }

    private mutating func states(virtual: Bool) -> String {
        var all = ["INVALID", "NEW", "RELATED", "ESTABLISHED", "UNTRACKED"]
        if virtual { all += ["SNAT", "DNAT"] }
        all.shuffle(using: &random)
        return all.prefix(random.number(1...2)).joined(separator: ",")
    }

    private mutating func conntrack() -> String {
        let test: String
        switch random.number(0...13) {
        case 0...5: test = "--ctstate \(states(virtual: true))"
        case 6, 7:
            test = "--ctstatus \(random.pick(["ASSURED", "SEEN_REPLY", "NONE", "CONFIRMED"]))"
        case 8: return "-m conntrack --ctdir \(random.pick(["ORIGINAL", "REPLY"]))"
        case 9: test = "--ctproto \(random.pick(["tcp", "udp", "1"]))"
        case 10, 11:
            let tuple = random.pick(["--ctorigsrc", "--ctorigdst", "--ctreplsrc", "--ctrepldst"])
            test = "\(tuple) \(network(contiguous: true))"
        case 12:
            let port = random.pick([
                "--ctorigsrcport", "--ctorigdstport", "--ctreplsrcport", "--ctrepldstport",
            ])
            test = "\(port) \(ports())"
        // Far from every time-out, so that the moment does not matter.
        default: test = "--ctexpire \(random.pick(["1000:", "0:1000"]))"
        }
        return "-m conntrack\(not()) \(test)"
    }

    /// Random choices only where chance has no say: the kernel's cannot be known.
    private mutating func statistic() -> String {
        if random.chance(20) {
            return "-m statistic --mode random --probability \(random.pick(["1", "0"]))"
        }
        let every = random.number(1...5)
        return "-m statistic --mode nth\(not()) --every \(every) --packet "
            + "\(random.number(0...every - 1))"
    }

    private mutating func addrtype(_ site: RuleSite) -> String {
        let types = ["LOCAL", "UNICAST", "BROADCAST", "BLACKHOLE", "UNREACHABLE", "PROHIBIT"]
        var words = "-m addrtype\(not()) \(random.pick(["--src-type", "--dst-type"]))"
        words += " \(random.pick(types))"
        if random.chance(20) { words += ",MULTICAST" }
        if random.chance(20) {
            if site.within([.prerouting, .input]) { words += " --limit-iface-in" }
            if site.within([.output, .postrouting]) { words += " --limit-iface-out" }
        }
        return words
    }
}
