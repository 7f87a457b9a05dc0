// README says what rules may name.

import Foundation
import Ruleset
import Testing

@Suite("README")
struct ReadmeTests {
    @Test("lists every match and every target, and no others")
    func extensions() throws {
        let checkout = URL(filePath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        let text = try String(contentsOf: checkout.appending(path: "README.md"), encoding: .utf8)
        /// The names in the paragraph that begins with `head`.
        func names(_ head: String) throws -> Set<String> {
            let start = try #require(text.range(of: "\n" + head + ": "))
            let paragraph = text[start.upperBound...].prefix { $0 != "." }
            return Set(
                paragraph.replacing(/\([^)]*\)/, with: "")
                    .split { ",\n ".contains($0) }.map(String.init))
        }
        #expect(try names("Matches") == Set(SupportedExtensions.matches))
        let others: Set = ["ACCEPT", "DROP", "RETURN", "jumps", "and", "gotos"]
        #expect(try names("Targets") == Set(SupportedExtensions.targets).union(others))
    }
}
