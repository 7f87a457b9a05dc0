// What a benchmark found out, as data. It has no opinion: rows come in the order of the roads, whoever wins.

/// One kind of number that a measurement yields: a table of the report.
public struct Figure: Codable, Hashable, Sendable {
    public var name: String
    public var title: String
    public var unit: String
    public var isBetterHigher: Bool

    public init(_ name: String, _ title: String, unit: String, isBetterHigher: Bool = true) {
        self.name = name
        self.title = title
        self.unit = unit
        self.isBetterHigher = isBetterHigher
    }
}

/// A way for packets through the node, or around it.
public struct RoadDescription: Codable, Hashable, Sendable {
    public var name: String
    public var title: String

    public init(name: String, title: String) {
        self.name = name
        self.title = title
    }
}

/// Where and how it was measured.
public struct Circumstances: Codable, Hashable, Sendable {
    public var date: String
    public var version: String
    public var command: String
    public var kernel: String
    public var processor: String
    public var processors: Int
    /// Of the last 1, 5 and 15 minutes, before the start.
    public var load: [Double]
    /// Sentences: which CPU does what, the offload settings of the interfaces, what else one must know.
    public var notes: [String]

    public init(
        date: String, version: String, command: String, kernel: String, processor: String,
        processors: Int, load: [Double], notes: [String]
    ) {
        self.date = date
        self.version = version
        self.command = command
        self.kernel = kernel
        self.processor = processor
        self.processors = processors
        self.load = load
        self.notes = notes
    }

    /// Whether something else was running when it began.
    public var isBusy: Bool { load.first ?? 0 > 0.5 }
}

public struct Report: Codable, Hashable, Sendable {
    /// A road's result for one figure.
    public struct Row: Codable, Hashable, Sendable {
        public var road: RoadDescription
        /// By round; what failed is missing.
        public var values: [Int: Double]
        public var median: Median?
        /// To the reference road, of the pairs of each round; `nil` for the reference itself and the control.
        public var ratio: Median?
        /// The control, which goes past the node, hardly did better.
        public var isGeneratorLimited: Bool
        /// Why there is no value, or not one for each round.
        public var remark: String?
    }

    public struct Table: Codable, Hashable, Sendable {
        public var figure: Figure
        public var rows: [Row]
    }

    public var circumstances: Circumstances
    /// The road that the others are compared with.
    public var reference: String
    /// The road around the node: what the load alone can do.
    public var control: String
    public var rounds: Int
    public var tables: [Table]
}
