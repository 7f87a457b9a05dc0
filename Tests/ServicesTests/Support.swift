// What the tests of this module share: where data lies, and short ways from manifests to rules.

import Foundation
import Ruleset
import Services
import Testing
import Wire

enum Place {
    static let tests = URL(filePath: #filePath).deletingLastPathComponent()
    static let fixtures = tests.appending(path: "Fixtures")
    static let shared: URL = {
        if let set = ProcessInfo.processInfo.environment["SLUICE_SHARED"] {
            return URL(filePath: set)
        }
        return tests.appending(path: "../../../shared").standardizedFileURL
    }()

    static func text(_ url: URL) throws -> String { try String(contentsOf: url, encoding: .utf8) }
}

/// Rules as text, chain by chain, so that the order of chains does not matter.
struct ChainText: Equatable {
    var chains: [String: [String]] = [:]

    init(_ ruleset: Ruleset) {
        let resolver = SystemNameResolver()
        for table in ruleset.tables {
            for chain in table.chains {
                chains["\(table.name.rawValue) \(chain.name)"] = chain.rules.map {
                    $0.saved(chain: chain.name, counters: false, resolver: resolver)
                }
            }
        }
    }

    /// As `expect`, where an empty chain is as good as none.
    func expectRules(_ other: ChainText, at location: SourceLocation = #_sourceLocation) {
        var (ours, theirs) = (self, other)
        ours.chains = ours.chains.filter { !$0.value.isEmpty }
        theirs.chains = theirs.chains.filter { !$0.value.isEmpty }
        ours.expect(theirs, at: location)
    }

    /// Records which chains differ, and how.
    func expect(_ other: ChainText, at location: SourceLocation = #_sourceLocation) {
        for name in Set(chains.keys).union(other.chains.keys).sorted() {
            #expect(chains[name] == other.chains[name], "\(name)", sourceLocation: location)
        }
    }
}

enum Rules {
    /// What iptables-restore makes of a text.
    static func restored(_ text: String) throws -> Ruleset {
        let outcome = IPTablesCommand.run(
            .restore, arguments: [], standardInput: Array(text.utf8), ruleset: Ruleset(),
            environment: CommandEnvironment(
                resolver: SystemNameResolver(), date: "Sat Nov 21 02:32:44 2026"))
        try #require(outcome.status == 0, "\(outcome.standardError)")
        return outcome.ruleset ?? Ruleset()
    }
}

extension ServiceObjects {
    init(yaml text: String, file: String = "test.yaml") throws {
        self.init()
        _ = try apply(try Manifest(text, file: file).objects)
    }
}
