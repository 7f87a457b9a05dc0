// Rule files of real programs, loaded by the real iptables-restore in a namespace and by the engine:
// every listing of every table and the saved text must be equal to the byte. What the engine refuses
// it must refuse by a name that stands here.

import Foundation
import Ruleset
import Testing

@Suite(
    "Rule files of real programs, as iptables lists them",
    .enabled(if: RealIPTables.available, "needs root and iptables v1.8.9 (nf_tables)"),
    .enabled(if: Place.hasShared("rulesets"), "the shared rulesets are not here"))
struct RealRulesetsKernelTests {
    /// Refused by name: it hands packets to sockets of the kernel's that Sluice cannot look up.
    static let refusedNames = ["target \"TPROXY\""]

    static let files: [String] = ["rulesets", "kube-proxy-cases"].flatMap { root in
        let list = FileManager.default.enumerator(atPath: Place.shared.appending(path: root).path)
        return (list?.compactMap { $0 as? String } ?? [])
            .filter { $0.hasSuffix(".iptables") }.map { root + "/" + $0 }
    }.sorted()

    /// What a person and a script ask for after a restore; the counters of the file count with `-c`.
    private static func listings(after restore: String) -> [String] {
        var lines = [restore]
        for table in ["filter", "nat", "mangle", "raw"] {
            lines += ["-S", "-v -S", "-L -n -v -x --line-numbers", "-L -n"].map {
                "iptables -t \(table) \($0)"
            }
        }
        return lines + ["iptables-save", "iptables-save -c"]
    }

    private static func scenario(_ restore: String, _ text: String) -> FixtureScenario {
        FixtureScenario(
            name: restore,
            commands: listings(after: restore).map {
                FixtureCommand(line: $0, input: $0 == restore ? text : "")
            })
    }

    @Test("or as the one sentence that names what is not supported", arguments: files)
    func sameText(_ file: String) throws {
        let text = try String(contentsOf: Place.shared.appending(path: file), encoding: .utf8)
        for restore in ["iptables-restore", "iptables-restore -c"] {
            let scenario = Self.scenario(restore, text)
            let expected = try RealIPTables.run(scenario)
            var engine = Engine()
            let restored = try engine.run(scenario.commands[0])
            if expected[0].status != 0 {
                #expect(restored.status != 0, "iptables refuses it: \(expected[0].error)")
                continue
            }
            guard restored.status == 0 else {
                let isNamed = Self.refusedNames.contains { restored.error.contains($0) }
                #expect(isNamed, "\(file): \(restored.error)")
                continue
            }
            for (command, expected) in zip(scenario.commands, expected).dropFirst() {
                let found = try engine.run(command)
                #expect(
                    found.dateless == expected.dateless,
                    """
                    \(file): $ \(restore); \(command.line)
                    --- iptables [\(expected.status)]
                    \(expected.output)\(expected.error)
                    --- engine [\(found.status)]
                    \(found.output)\(found.error)
                    """)
            }
        }
    }
}
