// What a match or a target must say about itself to be typed and printed. Each lives in a file of
// `Extensions/`; `ExtensionTable` is the only list of them. An extension refuses what it cannot
// honour and never accepts a word only to forget it.

import Wire

/// One option of an extension, without its dashes.
struct OptionSpec {
    enum Checks {
        /// The extension looks at repetition and `!` itself, as the older ones of iptables do.
        case own
        case guided(invertible: Bool, mandatory: Bool)
    }

    var name: String
    /// Spellings of the same option share it.
    var id: Int
    var takesArgument: Bool
    var checks: Checks
    var excludes: [Int]
    var requires: [Int]

    init(
        _ name: String, _ id: Int, takesArgument: Bool = true, invertible: Bool = false,
        mandatory: Bool = false, excludes: [Int] = [], requires: [Int] = []
    ) {
        self.name = name
        self.id = id
        self.takesArgument = takesArgument
        self.checks = .guided(invertible: invertible, mandatory: mandatory)
        self.excludes = excludes
        self.requires = requires
    }

    static func unguided(_ name: String, _ id: Int, takesArgument: Bool = true) -> OptionSpec {
        var spec = OptionSpec(name, id, takesArgument: takesArgument)
        spec.checks = .own
        return spec
    }
}

/// One option as it was typed.
struct OptionUse {
    var spec: OptionSpec
    var value: String
    var inverted: Bool
    var option: String { "--" + spec.name }
}

/// What an extension may look at while it reads its options.
struct RuleContext {
    var resolver: any NameResolver
    /// `-p` as far as it has been read.
    var `protocol`: Invertible<IPProtocol>?
    /// Words behind the current one, for the option that takes two.
    var following: ArraySlice<String>
    /// How many of `following` were taken.
    var taken = 0
    /// Not errors, yet said on standard error.
    var warnings = ""

    /// The protocol's name, under which services are looked up.
    var transport: String? { `protocol`.flatMap { resolver.name(protocolNumber: $0.value) } }

    mutating func nextWord() -> String? {
        guard let word = following.first else { return nil }
        following.removeFirst()
        taken += 1
        return word
    }
}

protocol ExtensionParser: SendableMetatype {
    static var name: String { get }
    static var options: [OptionSpec] { get }
    init()
    mutating func take(_ use: OptionUse, _ context: inout RuleContext) throws(CommandError)
    /// After the last option, before the checks that every extension shares.
    func check(_ context: RuleContext) throws(CommandError)
}

extension ExtensionParser {
    func check(_ context: RuleContext) throws(CommandError) {}

    static func badInteger(_ use: OptionUse) -> CommandError {
        .parameter(
            "\(name): bad integer value for option \"\(use.option)\", or out of range.\n",
            word: use.value, expected: "a number up to 0xffffffff, or number/mask")
    }

    static func outOfRange(_ use: OptionUse, _ low: String, _ high: String) -> CommandError {
        .parameter(
            "\(name): bad value for option \"\(use.option)\", or out of range (\(low)-\(high)).\n",
            word: use.value, expected: "a number from \(low) to \(high)")
    }
}

protocol MatchParser: ExtensionParser {
    func match() -> Match
}

protocol TargetParser: ExtensionParser {
    func target() -> Target
}

/// How the parameters of a match or a target are printed; both begin with a blank where not empty.
protocol ExtensionText {
    /// The name behind `-m` or `-j`.
    var extensionName: String { get }
    /// As `-S` and `iptables-save` print it, without `-m NAME`.
    var saved: String { get }
    /// As `-L` prints it.
    func listed(_ names: ListingNames) -> String
}

/// Whether `-L` shows names or numbers.
struct ListingNames {
    var numeric: Bool
    var resolver: any NameResolver
    /// The protocol of the rule being listed, under which services have their names.
    var transport: String?

    func port(_ port: Port, transport: String?) -> String {
        if !numeric, let name = resolver.service(port: port, transport: transport) { return name }
        return port.description
    }

    func network(_ address: IPv4Address, mask: UInt32) -> String {
        if mask == 0 { return numeric ? "0.0.0.0/0" : "anywhere" }
        let name = numeric ? nil : resolver.host(address: address)
        return (name ?? address.description) + maskSuffix(mask)
    }
}

/// `/24`, `/255.0.255.0`, or nothing for a single address.
func maskSuffix(_ mask: UInt32) -> String {
    if mask == .max { return "" }
    let network = IPv4Network(.any, mask: mask)
    return "/" + (network.prefixLength.map(String.init) ?? IPv4Address(rawValue: mask).description)
}

/// The list of everything that can stand behind `-m` and `-j`.
enum ExtensionTable {
    static let matches: [any MatchParser.Type] = [
        TCPMatchParser.self, UDPMatchParser.self, ICMPMatchParser.self, MultiportParser.self,
        CommentParser.self, ConntrackParser.self, StateParser.self, StatisticParser.self,
        MarkMatchParser.self, AddrtypeParser.self,
        IPRangeParser.self, LengthParser.self, TTLMatchParser.self, TOSMatchParser.self,
        DSCPMatchParser.self, MACParser.self, OwnerParser.self, PhysdevParser.self,
        PkttypeParser.self, RpfilterParser.self, SCTPParser.self, DCCPParser.self,
        ESPParser.self, AHParser.self, LimitParser.self, ConnmarkMatchParser.self,
        ConnlimitParser.self, RecentParser.self, HashlimitParser.self,
    ]
    static let targets: [any TargetParser.Type] = [
        DNATParser.self, SNATParser.self, MasqueradeParser.self, RedirectParser.self,
        MarkTargetParser.self, RejectParser.self, LogParser.self,
        TTLTargetParser.self, TOSTargetParser.self, DSCPTargetParser.self,
        ChecksumTargetParser.self, ClassifyParser.self, TCPMSSParser.self,
        ConnmarkTargetParser.self, CTParser.self, NotrackParser.self, NetmapParser.self,
        NFLogParser.self, TraceParser.self,
    ]

    static func match(_ name: String) -> (any MatchParser.Type)? {
        matches.first { $0.name == name }
    }

    static func target(_ name: String) -> (any TargetParser.Type)? {
        targets.first { $0.name == name }
    }

    static var supportedMatches: String { matches.map { $0.name }.sorted().joined(separator: ", ") }
    static var supportedTargets: String {
        (["ACCEPT", "DROP", "RETURN"] + targets.map { $0.name }).sorted().joined(separator: ", ")
    }

    /// Targets that iptables has and Sluice does not: they are refused by name, and no chain may
    /// take the name.
    static let foreignTargets: Set<String> = [
        "AUDIT", "CLUSTERIP", "CONNSECMARK", "ECN", "HL", "HMARK", "IDLETIMER",
        "LED", "NFQUEUE", "QUEUE",
        "RATEEST", "SECMARK", "SET", "SYNPROXY", "TCPOPTSTRIP", "TEE", "TPROXY",
        "ULOG",
    ]

    /// Whether a chain of that name could not be told from a target.
    static func isTarget(_ name: String) -> Bool {
        ["ACCEPT", "DROP", "RETURN", ""].contains(name) || foreignTargets.contains(name)
            || target(name) != nil
    }
}
