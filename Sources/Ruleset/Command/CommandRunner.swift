// Carries `RuleCommand`s out on tables and prints what they print.

import Wire

struct CommandRunner {
    let resolver: any NameResolver
    var ruleset: Ruleset
    var editor: TableEditor
    var output = ""

    init(_ ruleset: Ruleset, table: TableName, resolver: any NameResolver) {
        self.resolver = resolver
        self.ruleset = ruleset
        editor = TableEditor(table, ruleset.tables.first { $0.name == table })
    }

    /// The ruleset with the table as it stands now.
    var result: Ruleset {
        var result = ruleset
        guard editor.exists else {
            result.tables.removeAll { $0.name == editor.name }
            return result
        }
        if let place = result.tables.firstIndex(where: { $0.name == editor.name }) {
            result.tables[place] = editor.table
        } else {
            result.tables.append(editor.table)
        }
        return result
    }

    mutating func run(_ command: RuleCommand, line: Int) throws(CommandError) {
        if command.kind.takesRule {
            for rule in command.rules { try run(command, rule, line: line) }
            return
        }
        let chain = command.chain ?? ""
        switch command.kind {
        case .deleteNumber: try editor.delete(command.number ?? 0, in: chain)
        case .list, .listRules: try list(command)
        case .flush:
            try eachChain(command, "Flushing") { table, chain throws(CommandError) in
                try table.flush(chain)
            }
        case .zero:
            try eachChain(command, "Zeroing") { table, chain throws(CommandError) in
                try table.zero(chain)
            }
        case .zeroNumber: try editor.zero(chain, rule: command.number)
        case .newChain: try editor.create(chain)
        case .deleteChain: try deleteChains(command, line: line)
        case .renameChain: try editor.rename(chain, to: command.newName)
        case .policy: try editor.set(policy: command.policy, of: chain)
        case .append, .delete, .check, .insert, .replace: break
        }
    }

    private mutating func run(
        _ command: RuleCommand, _ typed: Rule, line: Int
    ) throws(CommandError) {
        let chain = command.chain ?? ""
        var rule = typed
        try editor.checkTarget(of: rule)
        switch command.kind {
        case .append, .insert:
            rule.id = ruleset.makeRuleID()
            let place = command.kind == .append ? nil : (command.number ?? 1) - 1
            try editor.insert(rule, into: chain, at: place, line: line)
        case .replace:
            rule.id = ruleset.makeRuleID()
            try editor.replace(command.number ?? 0, in: chain, with: rule, line: line)
        case .delete:
            try editor.delete(try editor.index(of: rule, in: chain) + 1, in: chain)
        default: _ = try editor.index(of: rule, in: chain)
        }
        if command.verbose {
            let names = ListingNames(numeric: true, resolver: resolver)
            output += ListingFormat(names: names, verbose: true, echo: true).row(rule, number: 0)
        }
    }

    private mutating func eachChain(
        _ command: RuleCommand, _ word: String,
        _ change: (inout TableEditor, String) throws(CommandError) -> Void
    ) throws(CommandError) {
        let names = command.chain.map { [$0] } ?? editor.table.chains.map(\.name)
        for name in names {
            try change(&editor, name)
            if command.verbose { output += "\(word) chain `\(name)'\n" }
        }
    }

    private mutating func deleteChains(
        _ command: RuleCommand, line: Int
    ) throws(CommandError) {
        let names =
            command.chain.map { [$0] }
            ?? editor.table.chains.filter { $0.policy == nil }.map(\.name)
        for name in names {
            try editor.remove(name, line: line)
            if command.verbose { output += "Deleting chain `\(name)'\n" }
        }
    }

    // MARK: Listing

    private mutating func list(_ command: RuleCommand) throws(CommandError) {
        var chains = editor.table.chains
        if let name = command.chain {
            chains = chains.filter { $0.name == name }
            guard !chains.isEmpty else {
                throw CommandError(
                    .versioned, status: 1,
                    "chain `\(name)' in table `\(editor.name.rawValue)' is incompatible, "
                        + "use 'nft' tool.", word: name,
                    expected: "a chain of table \(editor.name.rawValue): there is no \(name)")
            }
        }
        output += command.kind == .list ? listing(chains, command) : saved(chains, command)
        guard command.alsoZero else { return }
        for chain in chains {
            try editor.zero(chain.name)
            if command.verbose { output += "Zeroing chain `\(chain.name)'\n" }
        }
    }

    private func saved(_ chains: [Chain], _ command: RuleCommand) -> String {
        func rule(_ rule: Rule, _ chain: Chain) -> String {
            rule.saved(chain: chain.name, counters: command.verbose, resolver: resolver) + "\n"
        }
        if let number = command.number {
            guard let chain = chains.first, number <= chain.rules.count else { return "" }
            return rule(chain.rules[number - 1], chain)
        }
        var text = ""
        for chain in chains {
            text +=
                chain.policy.map { "-P \(chain.name) \($0.rawValue)" } ?? "-N \(chain.name)"
            if command.verbose, chain.policy != nil {
                text += " -c \(chain.counters.packets) \(chain.counters.bytes)"
            }
            text += "\n"
        }
        for chain in chains {
            for each in chain.rules { text += rule(each, chain) }
        }
        return text
    }

    private func listing(_ chains: [Chain], _ command: RuleCommand) -> String {
        let format = ListingFormat(
            names: ListingNames(numeric: command.numeric, resolver: resolver),
            verbose: command.verbose, exact: command.exact, lineNumbers: command.lineNumbers)
        if let number = command.number {
            guard let chain = chains.first, number <= chain.rules.count else { return "" }
            return format.row(chain.rules[number - 1], number: number)
        }
        return chains.map { chain in
            var text = title(chain, format) + format.header
            for (index, rule) in chain.rules.enumerated() {
                text += format.row(rule, number: index + 1)
            }
            return text
        }.joined(separator: "\n")
    }

    private func title(_ chain: Chain, _ format: ListingFormat) -> String {
        guard let policy = chain.policy else {
            return "Chain \(chain.name) (\(editor.references[chain.name] ?? 0) references)\n"
        }
        var text = "Chain \(chain.name) (policy \(policy.rawValue)"
        if format.verbose {
            let packets = format.counter(chain.counters.packets).drop { $0 == " " }
            let bytes = format.counter(chain.counters.bytes).drop { $0 == " " }
            text += " \(packets)packets, \(bytes)bytes"
        }
        return text + ")\n"
    }
}
