// What a ruleset leaves to chance, read from its text.

import KernelPath
import Ruleset
import Wire

struct RandomChoices {
    /// Rules with `--mode random`.
    var randomRules: [RuleAddress] = []
    /// The ports that NAT may choose from: the classes (nf_nat_core.c) and the ranges that rules name. Empty
    /// without a table nat.
    private(set) var portRanges: [ClosedRange<UInt16>] = []

    var drawsPorts: Bool { !portRanges.isEmpty }

    init(_ rules: String) {
        var table = ""
        var numbers: [Substring: Int] = [:]
        var ranges: Set<ClosedRange<UInt16>> = []
        for line in rules.split(separator: "\n") {
            if line.hasPrefix("*") {
                table = String(line.dropFirst())
                numbers = [:]
                if table == "nat" { portRanges = [1...511, 600...1023, 1024...65_535] }
            }
            // A saved rule may begin with its counters.
            let words = line.split(separator: " ").drop { $0.hasPrefix("[") }
            guard words.first == "-A", let chain = words.dropFirst().first else { continue }
            numbers[chain, default: 0] += 1
            if line.contains("--mode random") {
                randomRules.append(
                    RuleAddress(table: table, chain: String(chain), number: numbers[chain] ?? 0))
            }
            if table == "nat" { ranges.formUnion(words.compactMap(Self.portRange)) }
        }
        portRanges += ranges.sorted { $0.lowerBound < $1.lowerBound }
    }

    /// How far behind the beginning of a range the port may lie, for each range that it may come from. ICMP
    /// identifiers are all of one range.
    func offsets(of port: UInt16, _ transport: TransportKind) -> [UInt16] {
        guard !portRanges.isEmpty else { return [] }
        return (transport == .icmp ? [port] : [])
            + portRanges.filter { $0.contains(port) }.map { port - $0.lowerBound }
    }

    /// That of `10.0.0.1:4000-5000` and of `4000-5000`.
    private static func portRange(_ word: Substring) -> ClosedRange<UInt16>? {
        let ports = word.split(separator: ":").last?.split(separator: "-") ?? []
        guard ports.count == 2, let first = UInt16(ports[0]) else { return nil }
        // A base may stand behind the last one.
        let last = UInt16(ports[1].prefix { $0.isNumber }) ?? 65_535
        return first...max(first, last)
    }
}

extension RuleAddress {
    /// Every rule, in the order of a compiled ruleset's counters.
    static func all(of ruleset: Ruleset) -> [RuleAddress] {
        TableName.allCases.flatMap { name in
            (ruleset.tables.first { $0.name == name }?.chains ?? []).flatMap { chain in
                chain.rules.indices.map {
                    RuleAddress(table: name.rawValue, chain: chain.name, number: $0 + 1)
                }
            }
        }
    }
}
