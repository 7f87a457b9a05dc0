// A whole case through an offline node, and everything that came of it as files. The same case and seed give
// the same bytes on every machine: no clock, no names of this machine, no order that depends on hashing.

public import Dataplane
import Explain
import FoundationEssentials
import Wire

public struct Replay {
    /// What became of one packet.
    public struct Step: Sendable {
        /// As it was injected.
        public var packet: CasePacket
        public var outcome: Outcome
    }

    public let subject: Case
    public private(set) var steps: [Step] = []
    public let state: FinalState
    public let counters: DataplaneCounters
    /// What LOG rules wrote.
    public let logLines: [String]
    /// Everything the node sent or received, in order.
    private(set) var emissions: [(emission: Emission, time: Timestamp)] = []
    /// What NFLOG rules copied, by group, in order.
    private(set) var copies: [UInt16: [(bytes: [UInt8], time: Timestamp)]] = [:]
    /// `iptables -L -n -v -x` of every table.
    let listing: String
    /// One line of JSON per traced packet.
    private(set) var traceLines: [String] = []

    /// Runs the case to its end.
    ///
    /// - Throws: what is wrong with the case.
    public init(
        _ subject: Case, options: OfflineNode.Options = OfflineNode.Options()
    ) throws(CaseError) {
        let node = try OfflineNode(subject, options: options)
        let record = Record()
        node.onEmission = { record.emissions.append(($0, $1)) }
        node.onPacketLog = { record.copies[$0, default: []].append(($1, $2)) }
        node.onTrace = { record.traceLines.append(TraceLine($0, $1).json) }
        var steps: [Step] = []
        for packet in subject.packets {
            let resolved = packet.answers.map { packet.answering(steps[$0].outcome) } ?? packet
            steps.append(Step(packet: resolved, outcome: try node.inject(resolved)))
        }
        self.subject = subject
        self.steps = steps
        state = node.finish()
        counters = node.dataplane.counters
        logLines = node.logLines
        listing = RulesText.listed(node.rulesWithCounters)
        emissions = record.emissions
        copies = record.copies
        traceLines = record.traceLines
    }

    /// What the node tells while it runs.
    private final class Record {
        var emissions: [(Emission, Timestamp)] = []
        var copies: [UInt16: [([UInt8], Timestamp)]] = [:]
        var traceLines: [String] = []
    }
}

/// A traced packet for programs: one object a line.
private struct TraceLine: Encodable {
    /// Nanoseconds on the case's clock.
    var time: UInt64
    var origin: String
    var refused: String?
    var steps: [TraceStep]

    init(_ record: TraceRecord, _ words: TraceText) {
        time = record.time.nanoseconds
        origin = "\(record.origin)"
        refused = record.refused?.description
        steps = words.steps(record.trace)
    }

    var json: String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        // Numbers and strings only: encoding them cannot fail.
        guard let data = try? encoder.encode(self) else { return "{}" }
        return String(decoding: data, as: UTF8.self)
    }
}
