// Rulesets as `iptables-restore` text: tables, user chains without circles, rules whose matches are about
// the world's addresses and ports. What an extension can say stands in the tables of
// `RuleGenerator+Matches` and `RuleGenerator+Targets`.

import Ruleset
import Wire

/// Where a rule stands: what decides which matches and targets may be said.
struct RuleSite {
    var table: TableName
    /// The hooks from which the rule can be reached.
    var hooks: Set<BuiltinChain>
    /// The word behind `-p`, if it is one that extensions ask for.
    var `protocol` = ""
    /// The matches that the rule has already.
    var used: Set<String> = []

    func within(_ allowed: Set<BuiltinChain>) -> Bool { hooks.isSubset(of: allowed) }
    var isTCPOrUDP: Bool { `protocol` == "tcp" || `protocol` == "udp" }
}

struct RuleGenerator {
    let world: World
    var random: SeededRandom
    /// Whether the rules may hold what makes the node track connections.
    let tracks: Bool
    /// Extensions that this ruleset prefers, so that each case has a face of its own.
    private var favourites: Set<String> = []

    private struct UserChain {
        var name: String
        var hooks: Set<BuiltinChain>
    }

    init(_ world: World, seed: UInt64) {
        self.world = world
        random = SeededRandom(seed: seed)
        tracks = random.chance(80)
        let names = (Self.supportedMatches + Self.supportedTargets).map(\.name)
        favourites = Set((0..<5).map { _ in random.pick(names) })
    }

    /// The text of a whole ruleset.
    mutating func ruleset() -> String {
        var text = ""
        for (table, percent) in [
            (TableName.raw, 35), (.mangle, 50), (.nat, tracks ? 75 : 20), (.filter, 85),
        ] where random.chance(percent) {
            text += self.table(table)
        }
        return text
    }

    private mutating func table(_ name: TableName) -> String {
        let chains = userChains(name)
        var text = "*\(name.rawValue)\n"
        for base in name.baseChains {
            let drops = name == .filter && random.chance(5)
            text += ":\(base.rawValue) \(drops ? "DROP" : "ACCEPT") [0:0]\n"
        }
        for chain in chains { text += ":\(chain.name) - [0:0]\n" }
        for base in name.baseChains {
            for _ in 0..<random.number(0...5) {
                text += rule(base.rawValue, RuleSite(table: name, hooks: [base]), chains[...])
            }
        }
        for (index, chain) in chains.enumerated() {
            // Only later chains are called, so that there is no circle.
            for _ in 0..<random.number(1...4) {
                text += rule(
                    chain.name, RuleSite(table: name, hooks: chain.hooks), chains[(index + 1)...])
            }
        }
        return text + "COMMIT\n"
    }

    /// A chain is for one hook, for two, or for all: the fewer, the more its rules may say.
    private mutating func userChains(_ table: TableName) -> [UserChain] {
        (0..<random.number(0...3)).map { number in
            let all = table.baseChains
            var hooks = Set(all)
            switch random.number(0...2) {
            case 0: hooks = [random.pick(all)]
            case 1: hooks = [random.pick(all), random.pick(all)]
            default: break
            }
            return UserChain(name: "chain\(number)", hooks: hooks)
        }
    }

    // MARK: One rule

    private mutating func rule(
        _ chain: String, _ site: RuleSite, _ chains: ArraySlice<UserChain>
    ) -> String {
        var site = site
        var words = "-A \(chain)" + general(&site)
        // A rule about everything now and then; most look at two or three things.
        for _ in 0..<random.weighted([(3, 0), (4, 1), (3, 2), (1, 3)]) {
            guard let (name, text) = match(site) else { continue }
            site.used.insert(name)
            words += " " + text
        }
        return words + target(site, chains, isNarrow: words.contains(" -m ")) + "\n"
    }

    private mutating func general(_ site: inout RuleSite) -> String {
        var words = ""
        if random.chance(18) { words += "\(not()) -s \(network())" }
        if random.chance(18) { words += "\(not()) -d \(network())" }
        let ingress: Set<BuiltinChain> = [.prerouting, .input, .forward]
        let egress: Set<BuiltinChain> = [.forward, .output, .postrouting]
        if site.within(ingress), random.chance(15) {
            words += "\(not()) -i \(world.linkName(&random))"
        }
        if site.within(egress), random.chance(15) {
            words += "\(not()) -o \(world.linkName(&random))"
        }
        switch random.number(0...19) {
        case 0...7: break
        case 8...12: site.protocol = "tcp"
        case 13...16: site.protocol = "udp"
        case 17: site.protocol = "icmp"
        case 18: site.protocol = random.pick(["icmp", "icmp", "sctp", "dccp", "esp", "ah"])
        default: words += random.pick([" ! -p tcp", " -p 47", " ! -p icmp", " -p all"])
        }
        if world.leavesMuchToChance, !words.contains(" -p "), random.chance(25) {
            site.protocol = random.pick(["dccp", "esp", "ah"])
        }
        if !site.protocol.isEmpty { words += " -p \(site.protocol)" }
        if random.chance(3) { words += "\(not()) -f" }
        return words
    }

    private mutating func match(_ site: RuleSite) -> (name: String, text: String)? {
        // Some cannot stand here; a few tries find one that can. The protocol's own match comes first.
        for attempt in 0..<6 {
            let own = Self.supportedMatches.first { $0.name == site.protocol }
            let generator =
                if attempt == 0, let own, random.chance(world.leavesMuchToChance ? 80 : 40) {
                    own
                } else {
                    choose(Self.supportedMatches)
                }
            if site.used.contains(generator.name) { continue }
            if let text = generator.make(&self, site) { return (generator.name, text) }
        }
        return nil
    }

    private mutating func target(
        _ site: RuleSite, _ chains: ArraySlice<UserChain>, isNarrow: Bool
    ) -> String {
        let callable = chains.filter { site.hooks.isSubset(of: $0.hooks) }
        switch random.number(0...99) {
        case 0...9: return ""
        case 10...24:
            if let chain = callable.randomElement(using: &random) { return " -j \(chain.name)" }
        case 25...28:
            if let chain = callable.randomElement(using: &random) { return " -g \(chain.name)" }
        case 29...36: return " -j RETURN"
        case 37...46: return " -j ACCEPT"
        case 47, 48:
            // Traffic must flow: what drops looks twice. The nat table refuses to.
            if site.table != .nat, isNarrow { return " -j DROP" }
        default: break
        }
        // What a table is for comes first: nat translates.
        for attempt in 0..<6 {
            let translates = attempt < 3 && site.table == .nat && tracks
            let generator =
                translates ? random.pick(Self.translations) : choose(Self.supportedTargets)
            if let text = generator.make(&self, site) { return " -j " + text }
        }
        return ""
    }

    /// What Sluice's grammar knows of the tables.
    private static let supportedMatches = matches.filter {
        SupportedExtensions.matches.contains($0.name)
    }
    private static let supportedTargets = targets.filter {
        SupportedExtensions.targets.contains($0.name)
    }

    private static let translations = supportedTargets.filter {
        ["DNAT", "SNAT", "MASQUERADE", "REDIRECT", "NETMAP"].contains($0.name)
    }

    private mutating func choose(_ generators: [ExtensionGenerator]) -> ExtensionGenerator {
        var choice = random.pick(generators)
        for _ in 0..<4 {
            let suits = tracks || !choice.tracks
            if suits, favourites.contains(choice.name) || random.chance(50) { break }
            choice = random.pick(generators)
        }
        // Something that tracks is no choice where nothing may.
        while !tracks, choice.tracks { choice = random.pick(generators) }
        return choice
    }

    // MARK: Words that several extensions share

    mutating func not(_ percent: Int = 15) -> String { random.chance(percent) ? " !" : "" }

    /// An address under a mask, contiguous or not.
    mutating func network(contiguous: Bool = false) -> String {
        let address = world.address(&random)
        switch random.number(0...9) {
        case 0...4: return "\(address)"
        case 5, 6: return "\(address)/24"
        case 7: return "\(address)/16"
        case 8: return "\(address)/8"
        default: return "\(address)/\(contiguous ? "31" : "255.0.0.255")"
        }
    }

    /// A port, or a range around one.
    mutating func ports() -> String {
        let port = world.port(&random)
        switch random.number(0...9) {
        case 0...5: return "\(port)"
        case 6, 7: return "\(port - 10):\(port + 10)"
        case 8: return ":\(port)"
        default: return "\(port):"
        }
    }

    mutating func value(_ values: [UInt32]) -> String { "0x\(hexadecimal(random.pick(values)))" }
    mutating func mark() -> String { value(world.marks) }
}

/// How to say one extension. One line in a table each; `make` answers `nil` where it may not stand.
struct ExtensionGenerator: Sendable {
    /// As behind `-m` or `-j`.
    var name: String
    /// Whether the node tracks connections because of it.
    var tracks: Bool
    var make: @Sendable (inout RuleGenerator, RuleSite) -> String?

    init(
        _ name: String, tracks: Bool = false,
        _ make: @escaping @Sendable (inout RuleGenerator, RuleSite) -> String?
    ) {
        self.name = name
        self.tracks = tracks
        self.make = make
    }
}
