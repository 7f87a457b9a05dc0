// A ruleset as lines and words, as far as making it smaller needs: which words belong together. It knows
// nothing of what they mean.

/// The text of `iptables-save`, taken apart.
struct RuleText {
    struct Table {
        var name: String
        /// `:CHAIN POLICY [0:0]`, whole lines.
        var chains: [String]
        var rules: [Rule]
    }

    /// A rule as groups of words that stay or go together: `! -s 10.0.0.1`, `-m tcp --dport 80`, `-j DROP`.
    struct Rule {
        var chain: String
        var groups: [[String]]

        var text: String {
            (["-A", chain] + groups.joined()).joined(separator: " ")
        }
    }

    var tables: [Table] = []

    init(_ text: String) {
        for line in text.split(separator: "\n") {
            if line.hasPrefix("*") {
                tables.append(Table(name: String(line.dropFirst()), chains: [], rules: []))
            } else if line.hasPrefix(":"), !tables.isEmpty {
                tables[tables.count - 1].chains.append(String(line))
            } else if line.hasPrefix("-A "), !tables.isEmpty {
                tables[tables.count - 1].rules.append(Rule(words: Self.words(line)))
            }
        }
    }

    var text: String {
        tables.map { table in
            (["*" + table.name] + table.chains + table.rules.map(\.text) + ["COMMIT"])
                .map { $0 + "\n" }.joined()
        }.joined()
    }

    /// The words of a line; quoted ones keep their quotes.
    private static func words(_ line: Substring) -> [String] {
        var words: [String] = []
        var word = ""
        var quoted = false
        for character in line {
            if character == "\"" { quoted.toggle() }
            if character == " ", !quoted {
                if !word.isEmpty { words.append(word) }
                word = ""
            } else {
                word.append(character)
            }
        }
        return word.isEmpty ? words : words + [word]
    }
}

extension RuleText.Rule {
    /// - Parameter words: beginning with `-A CHAIN`.
    init(words: [String]) {
        chain = words.count > 1 ? words[1] : ""
        groups = []
        var inverted = false
        for word in words.dropFirst(2) {
            let opens = word.count == 2 && word.hasPrefix("-")
            if word == "!" {
                inverted = true
            } else if opens || groups.isEmpty {
                groups.append(inverted ? ["!", word] : [word])
                inverted = false
            } else {
                if inverted { groups[groups.count - 1].append("!") }
                groups[groups.count - 1].append(word)
                inverted = false
            }
        }
    }
}

/// One way of making rules smaller: how many things could go, and how one goes.
struct RuleSimplification: Sendable {
    var count: @Sendable (RuleText) -> Int
    var remove: @Sendable (inout RuleText, Int) -> Void
}

extension RuleText {
    /// The large parts first.
    static var simplifications: [RuleSimplification] {
        [tables, rules, chains, groups, policies]
    }

    private static let tables = RuleSimplification(
        count: { $0.tables.count }, remove: { $0.tables.remove(at: $1) })

    private static let rules = RuleSimplification(
        count: { $0.tables.reduce(0) { $0 + $1.rules.count } },
        remove: { text, index in
            let (table, rule) = text.place(of: index) { $0.rules.count }
            text.tables[table].rules.remove(at: rule)
        })

    /// A user chain without rules of its own, with the jumps to it.
    private static let chains = RuleSimplification(
        count: { $0.tables.reduce(0) { $0 + $1.chains.count } },
        remove: { text, index in
            let (table, chain) = text.place(of: index) { $0.chains.count }
            let line = text.tables[table].chains[chain]
            guard line.split(separator: " ").dropFirst().first == "-" else { return }
            let name = String(line.dropFirst().prefix { $0 != " " })
            text.tables[table].chains.remove(at: chain)
            text.tables[table].rules.removeAll { rule in
                rule.chain == name
                    || rule.groups.contains { ["-j", "-g"].contains($0[0]) && $0.last == name }
            }
        })

    private static let groups = RuleSimplification(
        count: { $0.tables.reduce(0) { $0 + $1.groupCount } },
        remove: { text, index in
            var (table, left) = text.place(of: index) { $0.groupCount }
            for rule in text.tables[table].rules.indices {
                let count = text.tables[table].rules[rule].groups.count
                if left < count {
                    text.tables[table].rules[rule].groups.remove(at: left)
                    return
                }
                left -= count
            }
        })

    private static let policies = RuleSimplification(
        count: { $0.tables.reduce(0) { $0 + $1.chains.count } },
        remove: { text, index in
            let (table, chain) = text.place(of: index) { $0.chains.count }
            let line = text.tables[table].chains[chain]
            text.tables[table].chains[chain] = line.split(separator: " ")
                .map { $0 == "DROP" ? "ACCEPT" : String($0) }.joined(separator: " ")
        })

    /// In which table the thing of that number stands, and where.
    private func place(of index: Int, _ count: (Table) -> Int) -> (table: Int, position: Int) {
        var left = index
        for (number, table) in tables.enumerated() {
            if left < count(table) { return (number, left) }
            left -= count(table)
        }
        preconditionFailure("a number below the count of all tables")
    }
}

extension RuleText.Table {
    fileprivate var groupCount: Int { rules.reduce(0) { $0 + $1.groups.count } }
}
