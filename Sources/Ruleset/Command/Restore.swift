// `iptables-restore`: a rules file, table by table. A table is read to its COMMIT, then carried out
// on a copy, and the copy takes the table's place only if nothing was refused. Tables committed
// before the faulty one stay, as with iptables-nft.

import Wire

struct RestoreOptions {
    var noFlush = false
    var counters = false
    var test = false
    var verbose = false
    /// Only this table's lines are read, the others are skipped.
    var table: String?
    var fileName = "standard input"
}

struct Restore {
    /// Something to be done at COMMIT.
    private enum Step {
        case policy(chain: String, policy: String, counters: Counters?)
        case command(RuleCommand)
    }

    private struct PlacedStep {
        var step: Step
        var line: Int
        var words: [RestoreWord]
    }

    let program: String
    let options: RestoreOptions
    let resolver: any NameResolver
    private(set) var ruleset: Ruleset
    private(set) var output = ""
    private(set) var errors = ""
    private(set) var status: Int32 = 0

    private var table: TableName?
    private var skipping = false
    private var steps: [PlacedStep] = []
    private var stopped = false

    init(
        _ ruleset: Ruleset, program: String, options: RestoreOptions, resolver: any NameResolver
    ) {
        self.ruleset = ruleset
        self.program = program
        self.options = options
        self.resolver = resolver
    }

    mutating func run(_ text: String) {
        var number = 0
        // By bytes: to a String a carriage return and the end of a line are one character.
        var lines = text.utf8
            .split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
            .map { Substring($0) }
        if lines.last?.isEmpty == true { lines.removeLast() }
        for line in lines where !stopped {
            number += 1
            do { try read(line, number) } catch { fail(error, line: number, words: nil) }
        }
        guard !stopped, table != nil || skipping else { return }
        errors += "\(program): COMMIT expected at line \(number + 1)\n"
        status = 1
    }

    private mutating func read(_ line: Substring, _ number: Int) throws(CommandError) {
        if line.isEmpty { return }
        if line.hasPrefix("#") {
            if options.verbose { output += line + "\n" }
            return
        }
        if line == "COMMIT", table != nil || skipping { return commit(number) }
        if skipping { return }
        guard let table else {
            guard line.hasPrefix("*") else { return lostLine(line, number) }
            return try begin(line, number)
        }
        if line.hasPrefix(":") {
            try readPolicy(line, number)
        } else {
            try readRule(line, number, table)
        }
    }

    private mutating func lostLine(_ line: Substring, _ number: Int) {
        errors += "\(program): line \(number) failed\n"
        note(number, 1, "\"\(line.prefix(40))\": expected *TABLE before any rule")
        (status, stopped) = (1, true)
    }

    private mutating func begin(_ line: Substring, _ number: Int) throws(CommandError) {
        let words = try RestoreLine.words(line.dropFirst(), column: 2)
        guard let name = words.first?.text else {
            throw .parameter(
                "\(program): line \(number) table name invalid", word: "*",
                expected: "raw, mangle, nat or filter")
        }
        if let only = options.table, only != name {
            skipping = true
            return
        }
        guard let found = TableName(rawValue: name) else {
            throw .parameter(
                "\(program): line \(number) table name '\(name)' invalid", word: name,
                expected: "raw, mangle, nat or filter")
        }
        table = found
        steps = []
    }

    /// `:CHAIN POLICY [PACKETS:BYTES]`.
    private mutating func readPolicy(_ line: Substring, _ number: Int) throws(CommandError) {
        let words = try RestoreLine.words(line.dropFirst(), column: 2)
        guard let chain = words.first?.text else {
            throw .parameter(
                "\(program): line \(number) chain name invalid", word: ":", expected: "a chain")
        }
        if BuiltinChain(rawValue: chain) == nil { try CommandParser.checkNewName(chain) }
        guard words.count > 1 else {
            throw .parameter(
                "\(program): line \(number) policy invalid", word: chain,
                expected: "a policy or - behind the chain")
        }
        var counters: Counters?
        if options.counters {
            counters = RestoreLine.policyCounters(words.count > 2 ? words[2].text : nil)
            guard counters != nil else {
                throw .parameter(
                    "invalid policy counters for chain '\(chain)'",
                    word: words.count > 2 ? words[2].text : chain, expected: "[PACKETS:BYTES]")
            }
        }
        let step = Step.policy(chain: chain, policy: words[1].text, counters: counters)
        steps.append(PlacedStep(step: step, line: number, words: words))
    }

    private mutating func readRule(
        _ line: Substring, _ number: Int, _ table: TableName
    ) throws(CommandError) {
        var rest = line
        var arguments: [String] = []
        var counterWords: [RestoreWord] = []
        if line.hasPrefix("[") {
            let found = try RestoreLine.counters(line, number: number)
            rest = found.rest
            if options.counters {
                arguments = ["-c", found.packets, found.bytes]
                counterWords = arguments.map { RestoreWord(text: $0, column: 1) }
            }
        }
        let column = line.distance(from: line.startIndex, to: rest.startIndex) + 1
        let words = try RestoreLine.words(rest, column: column)
        arguments += words.map(\.text)
        var parser = CommandParser(arguments, resolver: resolver, fileTable: table)
        do {
            guard let command = try parser.parse() else {
                return answer(parser.answer ?? "", number)
            }
            errors += command.warnings
            steps.append(
                PlacedStep(step: .command(command), line: number, words: counterWords + words))
        } catch {
            fail(error, line: number, words: counterWords + words)
        }
    }

    /// `-V` or `-h` on a line of its own: nothing more is read.
    private mutating func answer(_ kind: String, _ number: Int) {
        if kind == "version" { output += "\(program) v1.8.9 (nf_tables)\n" }
        stopped = true
    }

    // MARK: COMMIT

    private mutating func commit(_ number: Int) {
        defer { (table, skipping, steps) = (nil, false, []) }
        guard let table else { return }
        var runner = CommandRunner(ruleset, table: table, resolver: resolver)
        if !options.noFlush { runner.editor = TableEditor(table, nil) }
        for placed in steps {
            do { try perform(placed, &runner) } catch {
                // iptables-nft blames the COMMIT for a target that is missing (tried); the place of
                // the word itself stands in the line behind.
                let blamed = error.form == .operation ? placed.line : number
                return fail(error, line: placed.line, words: placed.words, blamed: blamed)
            }
        }
        output += runner.output
        runner.editor.refuseLoops()
        let refusals = runner.editor.refusals
        guard refusals.isEmpty else { return refuse(refusals) }
        if !options.test { ruleset = runner.result }
    }

    private func perform(
        _ placed: PlacedStep, _ runner: inout CommandRunner
    ) throws(CommandError) {
        switch placed.step {
        case .command(let command): try runner.run(command, line: placed.line)
        case .policy(let chain, let policy, let counters):
            guard runner.editor.chains[chain]?.policy != nil else {
                return try runner.editor.declare(chain)
            }
            try runner.editor.set(
                policy: policy == "-" ? "ACCEPT" : policy, of: chain, counters: counters)
        }
    }

    private mutating func refuse(_ refusals: [KernelRefusal]) {
        errors += "\(program) v1.8.9 (nf_tables): \n"
        for refusal in refusals { errors += "line \(refusal.line): \(refusal.text)\n" }
        for refusal in refusals { note(refusal.line, nil, refusal.reason) }
        (status, stopped) = (4, true)
    }

    private mutating func fail(
        _ error: CommandError, line: Int, words: [RestoreWord]?, blamed: Int? = nil
    ) {
        errors += error.text(program: program, line: blamed ?? line)
        (status, stopped) = (error.status, true)
        var column: Int?
        if let words, !words.isEmpty {
            let byWord = error.word.flatMap { word in
                words.last { $0.text == word } ?? words.last { $0.text.contains(word) }
            }
            let byPlace = error.argument.flatMap { words.indices.contains($0) ? words[$0] : nil }
            column = (byPlace ?? byWord)?.column
        }
        note(line, column ?? 1, error.explanation ?? "\"\(error.word ?? "")\" cannot be done here")
    }

    /// Sluice's own line: where it was, and what would have been right.
    private mutating func note(_ line: Int, _ column: Int?, _ text: String) {
        let place = column.map { ", column \($0)" } ?? ""
        errors += "sluice: \(options.fileName), line \(line)\(place): \(text)\n"
    }
}

extension CommandError {
    /// As iptables says it.
    func text(program: String, line: Int?) -> String {
        let hint = "Try `\(program) -h' or '\(program) --help' for more information.\n"
        let place = line.map { "Error occurred at line: \($0)\n" } ?? ""
        switch form {
        case .parameter: return "\(program) v1.8.9 (nf_tables): \(text)\n" + place + hint
        case .bare: return text.isEmpty ? hint : "\(text)\n" + place + hint
        case .versioned: return "\(program) v1.8.9 (nf_tables): \(text)\n" + place
        case .operation:
            return line.map { "\(program): line \($0) failed: \(text).\n" }
                ?? "\(program): \(text).\n"
        }
    }

    /// As Sluice adds to it.
    var explanation: String? {
        if let note { return note }
        guard let expected else { return nil }
        return (word.map { "\"\($0)\": " } ?? "") + "expected \(expected)"
    }
}
