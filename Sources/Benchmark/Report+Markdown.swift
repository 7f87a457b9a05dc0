// The report as text: tables of Markdown, which a terminal shows as they are.

extension Report {
    public var markdown: String {
        let head = circumstances.lines.map { "- \($0)\n" }.joined()
        return head + "\n" + explanation + "\n" + tables.map(markdown).joined()
    }

    /// How to read the tables.
    var explanation: String {
        // A row that was not measured in every round says so itself.
        let confidence = tables.flatMap(\.rows).compactMap(\.ratio?.confidence).max() ?? 0
        let sure =
            confidence > 0
            ? ", which holds the true median in \(percent(confidence)) of such runs"
            : rounds == 1 ? ", of which one round says nothing" : ""
        return """
            Medians; rounds: \(rounds), each with every road in turn. A ratio is the median of the rounds' own ratios \
            to *\(title(of: reference))*, with its interval\(sure). *\(title(of: control))* is the load by itself: a \
            row that comes to nine tenths of it is marked *generator-limited*.

            """
    }

    func title(of road: String) -> String {
        tables.first?.rows.first { $0.road.name == road }?.road.title ?? road
    }

    private func markdown(_ table: Table) -> String {
        var lines = [
            "**\(table.figure.title)**, \(table.figure.unit), \(table.figure.direction)", "",
            "| road | median | ratio | interval | |", "|---|---|---|---|---|",
        ]
        lines += table.rows.map { "| \($0.cells.map(Self.inCell).joined(separator: " | ")) |" }
        return lines.joined(separator: "\n") + "\n\n"
    }

    private static func inCell(_ text: String) -> String {
        String(text.map { $0.isNewline ? " " : $0 }).split(
            separator: "|", omittingEmptySubsequences: false
        )
        .joined(separator: "\\|")
    }
}

extension Figure {
    var direction: String { isBetterHigher ? "more is better" : "less is better" }
}

extension Report.Row {
    /// The road, its median, its ratio, the ratio's interval, what there is to say.
    var cells: [String] {
        [
            road.title, median.map { number($0.value) } ?? "–",
            ratio.map { fixed($0.value, 2) } ?? "",
            ratio.map { "\(fixed($0.low, 2)) – \(fixed($0.high, 2))" } ?? "",
            remarks,
        ]
    }

    var remarks: String {
        [isGeneratorLimited ? "generator-limited" : nil, remark].compactMap { $0 }
            .joined(separator: "; ")
    }
}

extension Circumstances {
    var lines: [String] {
        let busy = isBusy ? " (busy: look at the ratios, and not too closely)" : ""
        return [
            "\(date), \(version)", "`\(command)`",
            "Linux \(kernel), \(processors) × \(processor), load before the start "
                + load.map { fixed($0, 2) }.joined(separator: " ") + busy,
        ] + notes
    }
}

func percent(_ part: Double) -> String { "\(fixed(part * 100, 1)) %" }

/// With three significant digits at least, thousands set apart.
func number(_ value: Double) -> String {
    let size = value.magnitude
    if size < 100 { return fixed(value, size < 10 ? 2 : 1) }
    var digits = fixed(value, 0)
    var groups: [String] = []
    while digits.count > 3, digits.dropLast(3) != "-" {
        groups.insert(String(digits.suffix(3)), at: 0)
        digits.removeLast(3)
    }
    return ([digits] + groups).joined(separator: ",")
}

/// A decimal number with so many places. Anything not finite has none.
func fixed(_ value: Double, _ places: Int) -> String {
    guard value.isFinite, value.magnitude < 1e15 else { return "–" }
    let scale = (0..<places).reduce(1.0) { sum, _ in sum * 10 }
    let scaled = Int64((value.magnitude * scale).rounded())
    let whole = scaled / Int64(scale)
    let rest = String(scaled % Int64(scale))
    let sign = value < 0 && scaled > 0 ? "-" : ""
    let zeros = String(repeating: "0", count: max(0, places - rest.count))
    return sign + String(whole) + (places > 0 ? "." + zeros + rest : "")
}
