// Docs/Differences.md says of every difference which test pins it. A test that was renamed or removed must not
// leave its difference without one.

import Foundation
import Testing

@Suite("The page of differences")
struct DifferencesTests {
    private static let checkout = URL(filePath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent()

    /// The names of all tests and suites, by the strings behind `@Test(` and `@Suite(`.
    private static func names() throws -> Set<String> {
        let tests = checkout.appending(path: "Tests")
        let files = try FileManager.default.subpathsOfDirectory(atPath: tests.path)
            .filter { $0.hasSuffix(".swift") }
        let name = /@(?:Test|Suite)\(\s*"([^"]*)"/
        return try Set(
            files.flatMap { file in
                let text = try String(contentsOf: tests.appending(path: file), encoding: .utf8)
                return text.matches(of: name).map { String($0.1) }
            })
    }

    private static func page() throws -> [Substring] {
        try String(contentsOf: checkout.appending(path: "Docs/Differences.md"), encoding: .utf8)
            .split(separator: "\n", omittingEmptySubsequences: false)
    }

    private static func quoted(_ text: some StringProtocol) -> [String] {
        String(text).matches(of: /"([^"]*)"/).map { String($0.1) }
    }

    @Test("names a test that exists in every row")
    func rows() throws {
        let names = try Self.names()
        // The line under the heads of the columns divides them from the rows.
        let table = try Self.page().drop { !$0.hasPrefix("|---") }.prefix { $0.hasPrefix("|") }
        #expect(table.count > 20)
        for row in table.dropFirst() {
            let cells = row.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
            #expect(cells.count == 5, "\(row)")
            let pins = Self.quoted(cells.last ?? "")
            #expect(!pins.isEmpty, "no test: \(row)")
            for pin in pins { #expect(names.contains(pin), "there is no test \"\(pin)\": \(row)") }
        }
    }

    @Test("names tests that exist under every list")
    func lists() throws {
        let names = try Self.names()
        let sections = try Self.page().split { $0.hasPrefix("## ") }.dropFirst()
        #expect(sections.count == 4)
        for section in sections {
            let text = section.joined(separator: " ")
            let parts = text.split(separator: "Pinned by ", maxSplits: 1)
            let pins = parts.count == 2 ? Self.quoted(parts[1]) : []
            #expect(!pins.isEmpty, "no test: \(text.prefix(80))")
            for pin in pins { #expect(names.contains(pin), "there is no test \"\(pin)\"") }
        }
    }
}
