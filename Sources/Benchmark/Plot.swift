// One figure as bars: a road's median, and over it a line from end to end of the median's interval.

struct Plot {
    private let rows: [Report.Row]
    private let reference: String
    private let control: String

    private static let width = 860.0
    private static let left = 230.0
    private static let right = 130.0
    private static let step = 26.0

    init(_ table: Report.Table, reference: String, control: String) {
        rows = table.rows.filter { $0.median != nil }
        self.reference = reference
        self.control = control
    }

    /// Empty where nothing was measured.
    var svg: String {
        let largest = rows.compactMap(\.median?.high).max() ?? 0
        guard largest > 0 else { return "" }
        let height = Double(rows.count) * Self.step
        let scale = (Self.width - Self.left - Self.right) / largest
        let bars = rows.enumerated().map { bar($1, top: Double($0) * Self.step, scale: scale) }
        let box = "0 0 \(fixed(Self.width, 0)) \(fixed(height, 0))"
        return "<svg viewBox=\"\(box)\" role=\"img\">\n\(bars.joined(separator: "\n"))\n</svg>"
    }

    private func bar(_ row: Report.Row, top: Double, scale: Double) -> String {
        guard let median = row.median else { return "" }
        let kind = [reference: "reference", control: "control"][row.road.name] ?? "bar"
        let middle = fixed(top + 11, 1)
        let text = fixed(top + 16, 1)
        let start = { (value: Double) in fixed(Self.left + value * scale, 1) }
        let label = number(median.value) + (row.ratio.map { " (\(fixed($0.value, 2)) ×)" } ?? "")
        return """
            <text x="0" y="\(text)">\(escaped(row.road.title))</text>
            <rect class="\(kind)" x="\(start(0))" y="\(fixed(top + 3, 1))" width="\(fixed(median.value * scale, 1))" height="16"/>
            <line class="whisker" x1="\(start(median.low))" x2="\(start(median.high))" y1="\(middle)" y2="\(middle)"/>
            <text x="\(fixed(Self.left + median.high * scale + 6, 1))" y="\(text)">\(escaped(label))</text>
            """
    }
}
