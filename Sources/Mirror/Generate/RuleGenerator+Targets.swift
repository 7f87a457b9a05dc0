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
            return "MASQUERADE" + generator.toPorts(site)
        },
        .init("REDIRECT", tracks: true) { generator, site in
            guard site.table == .nat, site.within([.prerouting, .output]) else { return nil }
            return "REDIRECT" + generator.toPorts(site)
        },
        .init("MARK") { generator, _ in generator.markTarget() },
        .init("REJECT") { generator, site in
            guard site.table == .filter, generator.random.chance(40) else { return nil }
            return generator.reject(site)
        },
        .init("LOG") { generator, _ in
            "LOG --log-prefix \"seen: \" --log-level \(generator.random.number(0...7))"
        },
    ]

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
        return "DNAT --to-destination \(to)" + (random.chance(10) ? " --persistent" : "")
    }

    private mutating func snat(_ site: RuleSite) -> String {
        var to = "\(random.pick(random.chance(80) ? world.ownAddresses : world.services))"
        // A range whose every port is wide enough apart from the clients' to be told from chance.
        if site.isTCPOrUDP, random.chance(25) { to += ":\(random.pick([2000, 50_000, 700]))" }
        return "SNAT --to-source \(to)" + (random.chance(10) ? " --persistent" : "")
    }

    private mutating func toPorts(_ site: RuleSite) -> String {
        site.isTCPOrUDP && random.chance(40) ? " --to-ports \(world.port(&random))" : ""
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
