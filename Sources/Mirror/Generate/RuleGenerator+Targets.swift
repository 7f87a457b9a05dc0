// How to say each target. A new one is one line, and its words a function below where they are many.

import Ruleset
import Wire

extension RuleGenerator {
    static let targets: [ExtensionGenerator] = [
        .init("DNAT", tracks: true) { generator, site in
            site.table == .nat && site.within([.prerouting, .output]) ? generator.dnat(site) : nil
        },
        .init("SNAT", tracks: true) { generator, site in
            site.table == .nat && site.within([.input, .postrouting]) ? generator.snat(site) : nil
        },
        .init("MASQUERADE", tracks: true) { generator, site in
            guard site.table == .nat, site.within([.postrouting]) else { return nil }
            return "MASQUERADE" + generator.toPorts(site) + generator.drawing()
        },
        .init("REDIRECT", tracks: true) { generator, site in
            guard site.table == .nat, site.within([.prerouting, .output]) else { return nil }
            return "REDIRECT" + generator.toPorts(site)
                + (generator.drawsPorts() ? " --random" : "")
        },
        .init("MARK") { generator, _ in generator.markTarget() },
        .init("REJECT") { generator, site in
            guard site.table == .filter, generator.random.chance(40) else { return nil }
            return generator.reject(site)
        },
        .init("LOG") { generator, _ in
            "LOG --log-prefix \"seen: \" --log-level \(generator.random.number(0...7))"
        },
        .init("NETMAP", tracks: true) { generator, site in
            guard site.table == .nat else { return nil }
            let network = generator.random.pick(["10.2.0.0/24", "10.1.0.0/30", "10.96.0.0/16"])
            return "NETMAP --to \(network)"
        },
        .init("CT", tracks: true) { generator, site in
            guard site.table == .raw else { return nil }
            return "CT "
                + generator.random.pick([
                    "--notrack", "--zone 1", "--zone-orig 2", "--zone-reply 3", "--zone mark",
                    "--ctevents destroy,assured", "--ctevents new",
                ])
        },
        .init("NOTRACK") { _, site in site.table == .raw ? "NOTRACK" : nil },
        .init("CONNMARK", tracks: true) { generator, _ in generator.connmarkTarget() },
        .init("TCPMSS") { generator, site in
            // It insists on a match for SYN, which may stand behind it.
            guard site.table == .mangle, site.protocol == "tcp", !site.used.contains("tcp") else {
                return nil
            }
            let clamps =
                site.within([.forward, .output, .postrouting]) && generator.random.chance(50)
            return (clamps ? "TCPMSS --clamp-mss-to-pmtu" : "TCPMSS --set-mss 1000")
                + " -m tcp --tcp-flags SYN,RST SYN"
        },
        .init("TTL") { generator, site in
            guard site.table == .mangle else { return nil }
            return "TTL "
                + generator.random.pick([
                    "--ttl-set 64", "--ttl-set 3", "--ttl-inc 1", "--ttl-dec 1", "--ttl-inc 200",
                ])
        },
        .init("TOS") { generator, site in
            guard site.table == .mangle else { return nil }
            return "TOS "
                + generator.random.pick([
                    "--set-tos 0x10", "--set-tos 0x08/0x3f", "--and-tos 0x0f", "--or-tos 0x10",
                    "--xor-tos 0x3",
                ])
        },
        .init("DSCP") { generator, site in
            guard site.table == .mangle else { return nil }
            return "DSCP "
                + generator.random.pick(["--set-dscp 0", "--set-dscp 0x2e", "--set-dscp-class CS1"])
        },
        .init("NFLOG") { generator, _ in
            "NFLOG --nflog-group \(generator.random.number(100...103)) --nflog-prefix seen"
        },
        .init("TRACE") { $1.table == .raw && $0.random.chance(20) ? "TRACE" : nil },
        .init("CHECKSUM") { _, site in site.table == .mangle ? "CHECKSUM --checksum-fill" : nil },
        .init("CLASSIFY") { generator, site in
            guard site.table == .mangle, site.within([.forward, .output, .postrouting]) else {
                return nil
            }
            return "CLASSIFY --set-class 1:\(generator.random.number(1...9))"
        },
    ]

    private mutating func connmarkTarget() -> String {
        switch random.number(0...7) {
        case 0: "CONNMARK --set-xmark \(mark())/0xff"
        case 1: "CONNMARK --set-mark \(mark())"
        case 2, 3: "CONNMARK --save-mark"
        case 4, 5: "CONNMARK --restore-mark"
        case 6: "CONNMARK --save-mark --nfmask 0xff --ctmask 0xff"
        default:
            random.pick([
                "CONNMARK --and-mark 0xf", "CONNMARK --or-mark 0x10", "CONNMARK --xor-mark 0x1",
            ])
        }
    }

    private mutating func dnat(_ site: RuleSite) -> String {
        let hosts = world.endpoints.map(\.address)
        var to = "\(random.pick(random.chance(85) ? hosts : world.ownAddresses))"
        if random.chance(10) {
            let base = random.pick(world.links).hosts[0].address
            to = "\(base)-\(base)"
        }
        if site.isTCPOrUDP, random.chance(60) {
            to += ":\(world.port(&random))"
            if random.chance(15) { to = ":" + to.split(separator: ":")[1] }
        }
        if site.isTCPOrUDP, drawsPorts() { to = "\(to.prefix { $0 != ":" }):8000-8100" }
        return "DNAT --to-destination \(to)" + (random.chance(10) ? " --persistent" : "")
            + (drawsPorts() ? " --random" : "")
    }

    private mutating func snat(_ site: RuleSite) -> String {
        var to = "\(random.pick(random.chance(80) ? world.ownAddresses : world.services))"
        // A range whose every port is wide enough apart from the clients' to be told from chance.
        if site.isTCPOrUDP, random.chance(25) { to += ":\(random.pick([2000, 50_000, 700]))" }
        if site.isTCPOrUDP, drawsPorts() { to = "\(to.prefix { $0 != ":" }):20000-20100" }
        return "SNAT --to-source \(to)" + (random.chance(10) ? " --persistent" : "") + drawing()
    }

    private mutating func toPorts(_ site: RuleSite) -> String {
        site.isTCPOrUDP && random.chance(40) ? " --to-ports \(world.port(&random))" : ""
    }

    private mutating func drawsPorts() -> Bool { world.leavesMuchToChance && random.chance(30) }

    private mutating func drawing() -> String {
        drawsPorts() ? random.pick([" --random", " --random-fully"]) : ""
    }

    private mutating func markTarget() -> String {
        let option = random.pick([
            "--set-xmark", "--set-mark", "--and-mark", "--or-mark", "--xor-mark",
        ])
        let masked = (option == "--set-xmark" || option == "--set-mark") && random.chance(40)
        return "MARK \(option) \(mark())" + (masked ? "/0xff" : "")
    }

    private mutating func reject(_ site: RuleSite) -> String {
        if site.protocol == "tcp", random.chance(50) { return "REJECT --reject-with tcp-reset" }
        let types = RejectType.allCases.filter { $0 != .tcpReset }
        return "REJECT --reject-with \(random.pick(types).rawValue)"
    }
}
