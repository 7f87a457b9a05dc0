// Which rules of a ruleset were hit, over all cases that it was run in.

/// The rules of one ruleset, in their order, with the packets that hit them.
public struct RuleReach: Hashable, Sendable {
    public struct Entry: Hashable, Sendable {
        public var table: String
        /// As `iptables -S` prints it.
        public var rule: String
        public var packets: UInt64
    }

    public private(set) var entries: [Entry] = []

    public init() {}

    /// How many of the rules were hit.
    public var hits: Int { entries.count { $0.packets > 0 } }

    /// Adds the counters of `iptables-save -c`, of a case whose rules began with none.
    mutating func record(_ saved: String) {
        var table = ""
        var reach = RuleReach()
        for line in saved.split(separator: "\n") {
            if line.hasPrefix("*") { table = String(line.dropFirst()) }
            guard line.hasPrefix("["), let end = line.firstIndex(of: "]"),
                let packets = UInt64(line.dropFirst().prefix { $0 != ":" })
            else { continue }
            let rule = line[end...].dropFirst(2)
            reach.entries.append(Entry(table: table, rule: String(rule), packets: packets))
        }
        merge(reach)
    }

    /// - Precondition: both are about the same rules, or one about none.
    mutating func merge(_ other: RuleReach) {
        if entries.isEmpty {
            entries = other.entries
            return
        }
        for index in other.entries.indices {
            entries[index].packets += other.entries[index].packets
        }
    }

    /// How many were hit, and one line for each that was not.
    public var text: String {
        "rules hit: \(hits) of \(entries.count)\n"
            + entries.filter { $0.packets == 0 }.map { "not hit: \($0.table) \($0.rule)\n" }
            .joined()
    }
}
