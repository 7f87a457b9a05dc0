// The door to the command engine: `iptables`, `iptables-save` and `iptables-restore` as one pure
// function from words and rules to bytes, a status and new rules. It reads no file, no clock and no
// environment; the caller does, and fills the live counters in before.

import Wire

public enum IPTablesProgram: String, Sendable, CaseIterable {
    case iptables
    case save = "iptables-save"
    case restore = "iptables-restore"
}

/// What a program may ask of the world.
public struct CommandEnvironment: Sendable {
    public var resolver: any NameResolver
    /// For the comments of iptables-save, as `ctime` prints it: `Sat Nov 21 02:32:44 2026`.
    public var date: String
    /// The bytes of a rules file, or why there are none ("No such file or directory").
    public var readFile: @Sendable (String) -> FileContents

    public enum FileContents: Sendable {
        case bytes([UInt8])
        case unreadable(String)
    }

    public init(
        resolver: any NameResolver, date: String,
        readFile: @escaping @Sendable (String) -> FileContents = { _ in
            .unreadable("No such file or directory")
        }
    ) {
        self.resolver = resolver
        self.date = date
        self.readFile = readFile
    }
}

public struct CommandOutcome: Sendable {
    public var standardOutput = ""
    public var standardError = ""
    public var status: Int32 = 0
    /// The new rules, where anything changed.
    public var ruleset: Ruleset?
    /// `iptables-save -f FILE`: where standard output is to go.
    public var outputFile: String?
}

public enum IPTablesCommand {
    public static let version = "v1.8.9 (nf_tables)"

    /// - Parameters:
    ///   - arguments: without the name of the program.
    ///   - standardInput: read by iptables-restore where no file is named.
    public static func run(
        _ program: IPTablesProgram, arguments: [String], standardInput: [UInt8] = [],
        ruleset: Ruleset, environment: CommandEnvironment
    ) -> CommandOutcome {
        switch program {
        case .iptables: iptables(arguments, ruleset, environment)
        case .save: SaveProgram.run(arguments, ruleset, environment)
        case .restore: RestoreProgram.run(arguments, standardInput, ruleset, environment)
        }
    }

    private static func iptables(
        _ arguments: [String], _ ruleset: Ruleset, _ environment: CommandEnvironment
    ) -> CommandOutcome {
        var outcome = CommandOutcome()
        var parser = CommandParser(arguments, resolver: environment.resolver)
        do {
            guard let command = try parser.parse() else {
                outcome.standardOutput = "iptables \(version)\n"
                if parser.answer == "help" { outcome.standardOutput += Help.iptables }
                return outcome
            }
            outcome.standardError = command.warnings
            var runner = CommandRunner(
                ruleset, table: command.table, resolver: environment.resolver)
            try runner.run(command, line: 0)
            runner.editor.refuseLoops()
            outcome.standardOutput = runner.output
            let refusals = runner.editor.refusals
            if refusals.isEmpty {
                let result = runner.result
                if result != ruleset { outcome.ruleset = result }
            } else {
                refuse(refusals, &outcome)
            }
        } catch {
            if outcome.standardError.isEmpty { outcome.standardError = parser.warnings }
            fail(error, &outcome)
        }
        return outcome
    }

    private static func refuse(_ refusals: [KernelRefusal], _ outcome: inout CommandOutcome) {
        outcome.status = 4
        outcome.standardError += "iptables \(version): "
        for refusal in refusals { outcome.standardError += " \(refusal.text)\n" }
        for refusal in refusals { outcome.standardError += "sluice: \(refusal.reason)\n" }
    }

    private static func fail(_ error: CommandError, _ outcome: inout CommandOutcome) {
        outcome.status = error.status
        var text = error.text(program: "iptables", line: nil)
        if error.text == "Bad policy name" {
            text = "iptables: Bad policy name. Run `dmesg' for more information.\n"
        }
        outcome.standardError += text
        guard let explanation = error.explanation else { return }
        let place = error.argument.map { "argument \($0 + 1), " } ?? ""
        outcome.standardError += "sluice: \(place)\(explanation)\n"
    }
}

enum Help {
    static let iptables = """

        Usage: iptables [-t TABLE] -A|-C|-D CHAIN RULE
               iptables [-t TABLE] -I CHAIN [NUMBER] RULE
               iptables [-t TABLE] -R CHAIN NUMBER RULE
               iptables [-t TABLE] -D CHAIN NUMBER
               iptables [-t TABLE] -L|-S [CHAIN [NUMBER]] [-n] [-v] [-x] [--line-numbers]
               iptables [-t TABLE] -F|-X [CHAIN]
               iptables [-t TABLE] -Z [CHAIN [NUMBER]]
               iptables [-t TABLE] -N CHAIN
               iptables [-t TABLE] -E OLD NEW
               iptables [-t TABLE] -P CHAIN ACCEPT|DROP

        Tables: raw, mangle, nat, filter.
        Rule: [!] -p PROTOCOL, [!] -s, -d ADDRESS[/MASK][,…], [!] -i, -o INTERFACE, [!] -f,
              -m MATCH …, -j TARGET …, -g CHAIN, -c PACKETS BYTES
        Matches: \(ExtensionTable.supportedMatches)
        Targets: \(ExtensionTable.supportedTargets)

        """
}
