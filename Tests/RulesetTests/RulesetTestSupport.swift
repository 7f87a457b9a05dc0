// What the tests of this module share: where data lies, and short ways to run a command.

import Foundation
import Ruleset
import Testing

enum Place {
    static let tests = URL(filePath: #filePath).deletingLastPathComponent()
    static let fixtures = tests.appending(path: "Fixtures")
    static let shared: URL = {
        if let set = ProcessInfo.processInfo.environment["SLUICE_SHARED"] {
            return URL(filePath: set)
        }
        return tests.appending(path: "../../../shared").standardizedFileURL
    }()

    static func hasShared(_ path: String) -> Bool {
        FileManager.default.fileExists(atPath: shared.appending(path: path).path)
    }
}

/// The engine with a ruleset that it keeps, as a shell keeps a namespace.
struct Engine {
    static let date = "Sat Nov 21 02:32:44 2026"
    var ruleset = Ruleset()
    var environment = CommandEnvironment(resolver: SystemNameResolver(), date: Engine.date)

    @discardableResult
    mutating func run(
        _ program: IPTablesProgram, _ arguments: [String], input: String = ""
    ) -> CommandOutcome {
        let outcome = IPTablesCommand.run(
            program, arguments: arguments, standardInput: Array(input.utf8), ruleset: ruleset,
            environment: environment)
        if let changed = outcome.ruleset { ruleset = changed }
        return outcome
    }

    /// `iptables ` and words that a shell would split in the same way.
    @discardableResult
    mutating func iptables(_ line: String) -> CommandOutcome {
        run(.iptables, ShellWords.split(line))
    }

    var saved: String {
        var copy = self
        return copy.run(.save, []).standardOutput
    }
}

enum ShellWords {
    /// Blanks, single and double quotes and backslashes, as much as the fixtures need.
    static func split(_ line: String) -> [String] {
        var words: [String] = []
        var current: String?
        var quote: Character?
        var escaped = false
        for character in line {
            if escaped {
                current = (current ?? "") + String(character)
                escaped = false
            } else if character == "\\", quote != "'" {
                escaped = true
            } else if let open = quote {
                if character == open { quote = nil } else { current?.append(character) }
            } else if character == "\"" || character == "'" {
                quote = character
                current = current ?? ""
            } else if character == " " {
                if let word = current { words.append(word) }
                current = nil
            } else {
                current = (current ?? "") + String(character)
            }
        }
        if let word = current { words.append(word) }
        return words
    }
}
