// A lab's page (Docs/labs): prose for the learner, and between it what is typed and what comes of it.
// The page is the test's script: a block fenced as `console` is a terminal in which every line that
// begins with a namespace and `$` is typed, and the lines below are what it prints.
//
// Words behind `console` say more about a block:
//     sluice, kernel   only on that twin
//     any-order        chance decides which lines come in which order: what counts is which ones come
// A here-document that begins with <<'EOF' belongs to its command.
// A line `...` stands for any number of lines. A command that ends in `&` goes on while the next one is
// typed, again and again until the first has ended.

import Foundation
import Lab

struct LabPage {
    struct Step {
        var namespace: String
        var line: String
        /// What the page says it prints.
        var output: [String]
        var isUnordered: Bool
        /// The only twin it is typed on.
        var only: Twin?
        /// Where its output stands in the page.
        var range: Range<Int>

        func runs(on twin: Twin) -> Bool { only == nil || only == twin }
        var staysInBackground: Bool { line.hasSuffix("&") }
        /// Asking again changes nothing, and what is asked for may still be under way.
        var isQuestion: Bool {
            let words = line.split(separator: " ").drop { $0 == "sudo" }
            return ["conntrack", "ss", "grep", "cat"].contains(words.first ?? "")
                || line.hasPrefix("sluice lab log")
        }
    }

    let lab: String
    let file: URL
    var lines: [String]
    let steps: [Step]

    static let directory = URL(filePath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent().appending(path: "Docs/labs")

    /// - Parameter page: below Docs/labs; the lab's own where none is named.
    init(_ lab: String, page: String? = nil) throws {
        self.lab = lab
        file = Self.directory.appending(path: page ?? "\(lab).md").standardized
        lines = try String(contentsOf: file, encoding: .utf8)
            .split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        steps = Self.steps(lines, Set(try Topology.named(lab).namespaces))
    }

    private static func steps(_ lines: [String], _ namespaces: Set<String>) -> [Step] {
        var steps: [Step] = []
        var block: [Substring]?
        var index = 0
        while index < lines.count {
            let line = lines[index]
            index += 1
            if line.hasPrefix("```") {
                let words = line.dropFirst(3).split(separator: " ")
                block = block == nil && words.first == "console" ? words : nil
            } else if let words = block, let (namespace, first) = prompt(line, namespaces) {
                var command = first
                while command.hasSuffix("\\"), index < lines.count {
                    command += "\n" + lines[index]
                    index += 1
                }
                if command.contains("<<'EOF'") {
                    let end = lines[index...].firstIndex(of: "EOF") ?? lines.endIndex - 1
                    command += "\n" + lines[index...end].joined(separator: "\n")
                    index = end + 1
                }
                let start = index
                while index < lines.count, !lines[index].hasPrefix("```"),
                    prompt(lines[index], namespaces) == nil
                {
                    index += 1
                }
                steps.append(
                    Step(
                        namespace: namespace, line: command,
                        output: Array(lines[start..<index]),
                        isUnordered: words.contains("any-order"),
                        only: words.lazy.compactMap { Twin(rawValue: String($0)) }.first,
                        range: start..<index))
            }
        }
        return steps
    }

    private static func prompt(_ line: String, _ namespaces: Set<String>) -> (String, String)? {
        guard let match = line.wholeMatch(of: #/([a-z0-9_-]+)\$ (.*)/#) else { return nil }
        let namespace = String(match.1)
        return namespaces.contains(namespace) ? (namespace, String(match.2)) : nil
    }

    /// Puts what was printed in the place of what the page says otherwise, and writes the page.
    mutating func write(_ outputs: [(step: Step, printed: [String])]) throws {
        let changes = outputs.filter { !$0.step.agrees(with: $0.printed) }
        // From the end, so that the places of the others stay.
        for (step, printed) in changes.sorted(by: {
            $0.step.range.lowerBound > $1.step.range.lowerBound
        }) {
            let unpadded = printed.map { String($0.reversed().drop { $0 == " " }.reversed()) }
            lines.replaceSubrange(step.range, with: unpadded)
        }
        try lines.joined(separator: "\n").write(to: file, atomically: true, encoding: .utf8)
    }
}

extension LabPage.Step {
    /// Whether that is what the page says, but for what chance decides.
    func agrees(with printed: [String]) -> Bool {
        isUnordered
            ? Self.kinds(output) == Self.kinds(printed)
            : Self.matches(Normalise.page(output)[...], Normalise.page(printed)[...])
    }

    /// Whether nothing came that the page does not know: chance may bring the rest.
    func mayAgree(after printed: [String]) -> Bool {
        isUnordered && Self.kinds(printed).isSubset(of: Self.kinds(output))
    }

    private static func kinds(_ lines: [String]) -> Set<String> {
        Set(Normalise.page(lines).map(unnumbered))
    }

    /// Without the number that a loop puts before its line.
    private static func unnumbered(_ line: String) -> String {
        String(line.trimmingPrefix(#/ *\d+:? /#))
    }

    private static func matches(_ page: ArraySlice<String>, _ printed: ArraySlice<String>) -> Bool {
        guard let first = page.first else { return printed.isEmpty }
        guard first != "..." else {
            return (printed.startIndex...printed.endIndex).contains {
                matches(page.dropFirst(), printed[$0...])
            }
        }
        return printed.first == first && matches(page.dropFirst(), printed.dropFirst())
    }
}
