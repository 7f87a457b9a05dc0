import Foundation
import Testing

@testable import Benchmark

@Suite("The report") struct ReportTests {
    private let roads = [
        RoadDescription(name: "direct", title: "no node"),
        RoadDescription(name: "iptables", title: "kernel, iptables"),
        RoadDescription(name: "fast", title: "Sluice <fast> & \"sure\""),
        RoadDescription(name: "slow", title: "Sluice | slow"),
        RoadDescription(name: "absent", title: "not here"),
    ]
    private let rate = Figure("pps64", "Frames of 64 bytes", unit: "Mpps")
    private let delay = Figure("delay", "Delay", unit: "µs", isBetterHigher: false)

    private func report() -> Report {
        var results = Results(roads: roads, reference: "iptables", control: "direct")
        for round in 0..<7 {
            let drift = 1 + Double(round) / 10
            results.record(rate, road: "direct", round: round, 2 * drift)
            results.record(rate, road: "iptables", round: round, 0.5 * drift)
            results.record(rate, road: "fast", round: round, 1.95 * drift)
            results.record(rate, road: "slow", round: round, 0.25 * drift)
            results.record(rate, road: "absent", round: round, failure: "not installed: <testpmd>")
            results.record(delay, road: "iptables", round: round, 100)
            if round < 3 { results.record(delay, road: "slow", round: round, 250) }
        }
        results.record(delay, road: "slow", round: 3, failure: "no answer")
        return results.report(
            Circumstances(
                date: "2026-01-02 03:04 UTC", version: "sluice 1", command: "sluice bench --quick",
                kernel: "6.18", processor: "a CPU <script>", processors: 2, load: [1.25, 1, 0.5],
                notes: ["CPU 0 makes the *frames*."]))
    }

    private func row(_ figure: Figure, _ road: String) throws -> Report.Row {
        let table = try #require(report().tables.first { $0.figure == figure })
        return try #require(table.rows.first { $0.road.name == road })
    }

    @Test("compares within a round: what drifts for all alike does not move the ratio")
    func pairs() throws {
        let slow = try row(rate, "slow")
        let ratio = try #require(slow.ratio)
        #expect(abs(ratio.value - 0.5) < 1e-9 && abs(ratio.high - ratio.low) < 1e-9)
        #expect(ratio.count == 7)
        #expect(try row(rate, "iptables").ratio == nil)
        #expect(try row(rate, "direct").ratio == nil)
        #expect(try row(delay, "slow").ratio?.value == 2.5)
        #expect(try row(delay, "slow").ratio?.count == 3)
    }

    @Test("marks a road that does nearly as well as the load alone, and no other")
    func limited() throws {
        #expect(try row(rate, "fast").isGeneratorLimited)
        #expect(try !row(rate, "slow").isGeneratorLimited)
        #expect(try !row(rate, "direct").isGeneratorLimited)
        // Less is better: a delay near the control's is no limit.
        #expect(try !row(delay, "slow").isGeneratorLimited)
    }

    @Test(
        "a road that cannot run is a row that says why; one that failed now and then says so, too")
    func failures() throws {
        #expect(try row(rate, "absent").median == nil)
        #expect(try row(rate, "absent").remark == "not installed: <testpmd>")
        #expect(try row(delay, "slow").remark == "in 3 of 7 rounds only: no answer")
    }

    @Test("as JSON it is read back as it was")
    func json() throws {
        let report = report()
        #expect(try Report(json: report.json) == report)
    }

    @Test("as Markdown it has a row for each road, in their order, and cells keep their borders")
    func markdown() {
        let lines = report().markdown.split(separator: "\n").map(String.init)
        let first = lines.drop { !$0.hasPrefix("| road") }.dropFirst(2).prefix(5)
        #expect(
            Array(first) == [
                "| no node | 2.60 |  |  |  |",
                "| kernel, iptables | 0.65 |  |  |  |",
                "| Sluice <fast> & \"sure\" | 2.54 | 3.90 | 3.90 – 3.90 | generator-limited |",
                "| Sluice \\| slow | 0.33 | 0.50 | 0.50 – 0.50 |  |",
                "| not here | – |  |  | not installed: <testpmd> |",
            ])
        #expect(lines.contains { $0.contains("98.4 %") })
        #expect(lines.contains { $0.contains("`sluice bench --quick`") })
        #expect(lines.contains { $0.contains("1.25 1.00 0.50 (busy") })
    }

    @Test("as a page it escapes what it is told, loads nothing, and shows each median as a bar")
    func html() throws {
        let page = report().html
        #expect(!page.contains("<script") && !page.contains("<testpmd>"))
        #expect(page.contains("a CPU &lt;script&gt;"))
        #expect(page.contains("Sluice &lt;fast&gt; &amp; &quot;sure&quot;"))
        #expect(page.contains("CPU 0 makes the <em>frames</em>."))
        for word in ["http:", "https:", "src=", "href=", "url(", "@import", "<link"] {
            #expect(!page.contains(word), "\(word)")
        }
        #expect(page.contains("prefers-color-scheme: dark"))
        // Four roads have frames, two have delays.
        #expect(page.components(separatedBy: "<rect").count - 1 == 6)
        // Every element that is opened is closed.
        for tag in ["svg", "table", "section", "tr", "td", "ul", "li"] {
            let opened =
                page.components(separatedBy: "<\(tag)>").count
                + page.components(separatedBy: "<\(tag) ").count - 2
            #expect(opened == page.components(separatedBy: "</\(tag)>").count - 1, "\(tag)")
        }
    }

    @Test("numbers are written with the digits that matter")
    func numbers() {
        #expect(number(1_234_567) == "1,234,567")
        #expect(number(999.6) == "1,000")
        #expect(number(12.345) == "12.3")
        #expect(number(0.0049) == "0.00")
        #expect(number(-1234) == "-1,234")
        #expect(fixed(1.005, 1) == "1.0")
        #expect(fixed(.infinity, 2) == "–")
    }
}
