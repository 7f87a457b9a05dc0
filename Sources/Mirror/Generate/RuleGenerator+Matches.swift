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
        .init("iprange") { generator, _ in generator.iprange() },
        .init("length") { generator, _ in
            "-m length\(generator.not()) --length "
                + generator.random.pick(["40", "0:60", "28:100", "500:", "1000:1500", ":52"])
        },
        .init("ttl") { generator, _ in
            "-m ttl "
                + generator.random.pick([
                    "--ttl-eq 64", "! --ttl-eq 63", "--ttl-lt 64", "--ttl-gt 63",
                ])
        },
        .init("tos") { generator, _ in
            "-m tos\(generator.not()) --tos "
                + generator.random.pick(["0x10", "0x08/0x3f", "0", "Minimize-Delay", "0xb8/0xfc"])
        },
        .init("dscp") { generator, _ in
            "-m dscp\(generator.not()) "
                + generator.random.pick([
                    "--dscp 0", "--dscp 0x2e", "--dscp-class EF", "--dscp-class CS1",
                ])
        },
        .init("mac") { generator, site in
            guard site.within([.prerouting, .input, .forward]) else { return nil }
            return "-m mac\(generator.not()) --mac-source \(generator.mac())"
        },
        .init("owner") { generator, site in
            guard site.within([.output, .postrouting]) else { return nil }
            let option = generator.random.pick(["--uid-owner", "--uid-owner", "--gid-owner"])
            return "-m owner\(generator.not()) \(option) "
                + generator.random.pick(["0", "33", "1000", "1-100", "500-2000"])
        },
        .init("physdev") { generator, site in
            guard site.within([.input, .forward, .prerouting]) else { return nil }
            return "-m physdev\(generator.not(50)) "
                + generator.random.pick(["--physdev-in eth0", "--physdev-is-in"])
        },
        .init("pkttype") { generator, _ in
            "-m pkttype\(generator.not()) --pkt-type "
                + generator.random.pick(["unicast", "broadcast", "multicast"])
        },
        .init("rpfilter") { generator, site in
            guard site.table == .raw || site.table == .mangle, site.within([.prerouting]) else {
                return nil
            }
            return "-m rpfilter"
                + ["--loose", "--validmark", "--accept-local", "--invert"]
                .filter { _ in generator.random.chance(40) }.map { " " + $0 }.joined()
        },
        .init("sctp") { $1.protocol == "sctp" ? "-m sctp" + $0.sides() : nil },
        .init("dccp") { $1.protocol == "dccp" ? "-m dccp" + $0.sides() : nil },
        .init("esp") { generator, site in
            site.protocol == "esp" ? "-m esp --espspi 0:0x7fffffff" : nil
        },
        .init("ah") { generator, site in
            site.protocol == "ah" ? "-m ah --ahspi 0:0x7fffffff" : nil
        },
        .init("recent") { generator, _ in generator.recent() },
        // Rates so slow that no token comes back during a case.
        .init("limit") { generator, _ in
            "-m limit --limit \(generator.random.pick(["1/min", "6/min", "10/hour", "1/day"]))"
                + " --limit-burst \(generator.random.number(1...20))"
        },
        .init("hashlimit") { generator, _ in generator.hashlimit() },
        .init("connlimit", tracks: true) { generator, _ in
            "-m connlimit \(generator.random.pick(["--connlimit-above", "--connlimit-upto"]))"
                + " \(generator.random.number(0...4))"
                + " --connlimit-mask \(generator.random.pick([32, 24, 8, 0]))"
                + " \(generator.random.pick(["--connlimit-saddr", "--connlimit-daddr"]))"
        },
        .init("connmark", tracks: true) { generator, _ in
            "-m connmark\(generator.not()) --mark \(generator.mark())"
                + (generator.random.chance(40) ? "/0xff" : "")
        },
    ]

    private mutating func iprange() -> String {
        let side = random.pick(["--src-range", "--dst-range"])
        let first = world.address(&random).rawValue
        let last = min(
            first.addingReportingOverflow(UInt32(random.pick([0, 1, 5, 70_000]))).0, .max)
        return "-m iprange\(not()) \(side) \(IPv4Address(rawValue: first))-"
            + "\(IPv4Address(rawValue: max(first, last)))"
    }

    private mutating func mac() -> String {
        let mac = random.pick(world.links.flatMap(\.hosts)).mac.rawValue
        return (0..<6).map { byte in
            let digits = hexadecimal(UInt32(mac >> (40 - 8 * UInt64(byte)) & 255))
            return digits.count == 1 ? "0" + digits : digits
        }.joined(separator: ":")
    }

    private mutating func recent() -> String {
        var words = "-m recent --name \(random.pick(["alpha", "beta"]))\(not())"
        words += " " + random.pick(["--set", "--rcheck", "--update", "--remove"])
        if words.hasSuffix("check") || words.hasSuffix("update") {
            if random.chance(50) { words += " --seconds 600" }
            if random.chance(50) { words += " --hitcount \(random.number(1...6))" }
            if random.chance(20) { words += " --rttl" }
        }
        if random.chance(25) { words += " --rdest" }
        if random.chance(15) { words += " --mask 255.255.0.0" }
        return words
    }

    private mutating func hashlimit() -> String {
        let modes = ["srcip", "dstip", "srcport", "dstport"].filter { _ in random.chance(45) }
        var words = "-m hashlimit \(random.pick(["--hashlimit-upto", "--hashlimit-above"]))"
        words += " \(random.pick(["1/min", "6/min", "10/hour"]))"
        words += " --hashlimit-burst \(random.number(1...15))"
        if !modes.isEmpty { words += " --hashlimit-mode \(modes.joined(separator: ","))" }
        if random.chance(20) { words += " --hashlimit-srcmask 24" }
        return words + " --hashlimit-name limit\(random.number(0...9999))"
    }

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

    /// Random choices only where much is left to chance: the kernel's have to be asked for after every packet.
    private mutating func statistic() -> String {
        if world.leavesMuchToChance, random.chance(60) {
            return "-m statistic --mode random\(not()) --probability "
                + random.pick(["0.25", "0.33333333349", "0.5", "0.75"])
        }
        if random.chance(20) {
            return "-m statistic --mode nth\(random.pick(["", " !"])) --every 1 --packet 0"
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
