// Values as they come in, round by round, and the report that is made of them.

/// Collects what roads achieve.
public struct Results: Sendable {
    /// How near to the control a road is limited by the load, not by itself.
    static let limitedFrom = 0.9

    private let roads: [RoadDescription]
    private let reference: String
    private let control: String
    private var figures: [Figure] = []
    private var values: [Key: [Int: Double]] = [:]
    private var failures: [Key: String] = [:]
    private var rounds = 0

    private struct Key: Hashable {
        var figure: String
        var road: String
    }

    /// - Parameters:
    ///   - reference: the name of the road that ratios are to.
    ///   - control: the name of the road around the node.
    public init(roads: [RoadDescription], reference: String, control: String) {
        self.roads = roads
        self.reference = reference
        self.control = control
    }

    public mutating func record(_ figure: Figure, road: String, round: Int, _ value: Double) {
        note(figure, round)
        values[Key(figure: figure.name, road: road), default: [:]][round] = value
    }

    /// What a road could not do, and why. The last reason is kept.
    public mutating func record(_ figure: Figure, road: String, round: Int, failure: String) {
        note(figure, round)
        failures[Key(figure: figure.name, road: road)] = failure
    }

    private mutating func note(_ figure: Figure, _ round: Int) {
        if !figures.contains(figure) { figures.append(figure) }
        rounds = max(rounds, round + 1)
    }

    public func report(_ circumstances: Circumstances) -> Report {
        Report(
            circumstances: circumstances, reference: reference, control: control, rounds: rounds,
            tables: figures.map(table))
    }

    private func table(_ figure: Figure) -> Report.Table {
        let limit = Median(of: runs(figure, control).values.map { $0 })?.value
        return Report.Table(figure: figure, rows: roads.map { row(figure, $0, limit: limit) })
    }

    private func runs(_ figure: Figure, _ road: String) -> [Int: Double] {
        values[Key(figure: figure.name, road: road)] ?? [:]
    }

    private func row(_ figure: Figure, _ road: RoadDescription, limit: Double?) -> Report.Row {
        let own = runs(figure, road.name)
        let compared = [reference, control].contains(road.name) ? [:] : runs(figure, reference)
        let ratios = own.compactMap { round, value in
            compared[round].flatMap { $0 > 0 ? value / $0 : nil }
        }
        let median = Median(of: own.values.map { $0 })
        var isLimited = false
        if figure.isBetterHigher, road.name != control, let median, let limit {
            isLimited = median.value >= Self.limitedFrom * limit
        }
        return Report.Row(
            road: road, values: own, median: median, ratio: Median(of: ratios),
            isGeneratorLimited: isLimited,
            remark: remark(own.count, failures[Key(figure: figure.name, road: road.name)]))
    }

    private func remark(_ count: Int, _ failure: String?) -> String? {
        guard let failure else { return nil }
        return count == 0 ? failure : "in \(count) of \(rounds) rounds only: \(failure)"
    }
}
