// One rule per line with what iptables made of it.

import Foundation
import Ruleset
import Testing

private struct UpstreamCase: Decodable {
    var table: String
    var chain: String
    var rule: String
    var upstream: String
    var save: String?

    enum CodingKeys: String, CodingKey {
        case table, chain, rule, upstream
        case save = "upstream_save"
    }
}

@Suite("Rules with the answer that iptables gave")
struct UpstreamCasesTests {
    @Test(
        "every rule prints as iptables prints it, or is refused and changes nothing",
        .enabled(
            if: Place.hasShared("iptables-cases/cases.jsonl"), "the shared cases are not here"))
    func cases() throws {
        let file = Place.shared.appending(path: "iptables-cases/cases.jsonl")
        let text = try String(contentsOf: file, encoding: .utf8)
        var (accepted, refused) = (0, 0)
        for line in text.split(separator: "\n") {
            let each = try JSONDecoder().decode(UpstreamCase.self, from: Data(line.utf8))
            var engine = Engine()
            let words = ["-t", each.table, "-A", each.chain] + ShellWords.split(each.rule)
            let outcome = engine.run(.iptables, words)
            if each.upstream == "OK" {
                accepted += 1
                #expect(outcome.status == 0, "\(each.rule): \(outcome.standardError)")
                let list = engine.run(.iptables, ["-t", each.table, "-S"]).standardOutput
                let rules = list.split(separator: "\n").filter { $0.hasPrefix("-A") }
                #expect(rules.map(String.init) == [each.save ?? ""])
            } else {
                refused += 1
                #expect(outcome.status != 0, "\(each.rule) was accepted")
                #expect(outcome.ruleset == nil)
                #expect(!outcome.standardError.isEmpty)
            }
        }
        print("rules accepted: \(accepted), refused: \(refused)")
        #expect(accepted + refused == 585)
    }
}
