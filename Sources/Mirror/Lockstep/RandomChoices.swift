// What a ruleset leaves to chance, read from its text.

import KernelPath
import Wire

struct RandomChoices {
    /// Rules with `--mode random`.
    var randomRules: [RuleAddress] = []
    /// Where the ports begin that NAT may choose from: the classes (nf_nat_core.c), all ICMP identifiers,
    /// and the ranges that rules name. Empty without a table nat.
    var portBases: [UInt16] = []

    init(_ rules: String) {
        var table = ""
        var numbers: [Substring: Int] = [:]
        var ranges: Set<UInt16> = []
        for line in rules.split(separator: "\n") {
            if line.hasPrefix("*") {
                table = String(line.dropFirst())
                numbers = [:]
                if table == "nat" { portBases = [1, 600, 1024, 0] }
            }
            // A saved rule may begin with its counters.
            let words = line.split(separator: " ").drop { $0.hasPrefix("[") }
            guard words.first == "-A", let chain = words.dropFirst().first else { continue }
            numbers[chain, default: 0] += 1
            if line.contains("--mode random") {
                randomRules.append(
                    RuleAddress(table: table, chain: String(chain), number: numbers[chain] ?? 0))
            }
            if table == "nat" { ranges.formUnion(words.compactMap(Self.lowestPort)) }
        }
        portBases += ranges.sorted()
    }

    /// 4000 of `10.0.0.1:4000-5000` and of `4000-5000`.
    private static func lowestPort(_ word: Substring) -> UInt16? {
        let ports = word.split(separator: ":").last?.split(separator: "-") ?? []
        return ports.count == 2 ? UInt16(ports[0]) : nil
    }
}
