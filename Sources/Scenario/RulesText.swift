// A case's rules: what iptables-save prints, read and printed by the same engine as everywhere else, with
// names that are the same on every machine.

public import Ruleset

public enum RulesText {
    static let environment = CommandEnvironment(resolver: StandardNames(), date: "")

    /// Reads the rules, counters included, and checks that they can be carried out.
    ///
    /// - Parameters:
    ///   - name: what messages call the text.
    ///   - resolver: knows the names that the text may use; `nil` for those of every machine alike.
    /// - Throws: with line and column within the text where they are known.
    public static func parse(
        _ text: String, name: String, resolver: (any NameResolver)? = nil
    ) throws(CaseError) -> Ruleset {
        let bytes = CommandEnvironment.FileContents.bytes(Array(text.utf8))
        let reading = CommandEnvironment(
            resolver: resolver ?? environment.resolver, date: "", readFile: { _ in bytes })
        let outcome = IPTablesCommand.run(
            .restore, arguments: ["-c", name], ruleset: Ruleset(), environment: reading)
        guard outcome.status == 0 else { throw refusal(outcome.standardError, name: name) }
        let ruleset = outcome.ruleset ?? Ruleset()
        do { _ = try CompiledRuleset(ruleset) } catch { throw CaseError("\(error)") }
        return ruleset
    }

    /// The engine's last line has the place: `sluice: NAME, line 3, column 5: …`.
    private static func refusal(_ text: String, name: String) -> CaseError {
        var lines = text.split(separator: "\n").map(String.init)
        let prefix = "sluice: \(name), line "
        guard let last = lines.lastIndex(where: { $0.hasPrefix(prefix) }) else {
            return CaseError(lines.joined(separator: "; "))
        }
        var rest = lines.remove(at: last).dropFirst(prefix.count)
        let line = takeNumber(&rest)
        var column: Int?
        if rest.hasPrefix(", column ") {
            rest = rest.dropFirst(", column ".count)
            column = takeNumber(&rest)
        }
        let sentence = rest.drop { $0 == ":" || $0 == " " }
        let original = lines.isEmpty ? "" : " (\(lines[0]))"
        return CaseError(line: line, column: column, sentence + original)
    }

    private static func takeNumber(_ text: inout Substring) -> Int? {
        let digits = text.prefix { $0.isNumber }
        text = text.dropFirst(digits.count)
        return Int(digits)
    }

    /// What `iptables-save`, or `iptables-save -c`, prints, without its comments.
    public static func saved(_ ruleset: Ruleset, counters: Bool = true) -> String {
        let outcome = IPTablesCommand.run(
            .save, arguments: counters ? ["-c"] : [], ruleset: ruleset, environment: environment)
        return outcome.standardOutput.split(separator: "\n", omittingEmptySubsequences: false)
            .filter { !$0.hasPrefix("#") }.joined(separator: "\n")
    }

    /// `iptables -t TABLE -L -n -v -x` of every table there is.
    static func listed(_ ruleset: Ruleset) -> String {
        ruleset.tables.map { table in
            let outcome = IPTablesCommand.run(
                .iptables, arguments: ["-t", table.name.rawValue, "-L", "-n", "-v", "-x"],
                ruleset: ruleset, environment: environment)
            return "# table \(table.name.rawValue)\n" + outcome.standardOutput
        }.joined(separator: "\n")
    }
}
