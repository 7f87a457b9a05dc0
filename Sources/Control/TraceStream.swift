// `sluice trace`: packets that match a filter, step by step, as they pass. Tracing never slows the
// packet path down to its reader: what the reader has no room for is lost, counted and said.

import CLinux
import Dataplane
import Explain
import FoundationEssentials
import Hooks
import PacketIO
import Ruleset
import Wire

/// What the client asks for, the only argument of the command `trace`.
public struct TraceRequest: Codable, Hashable, Sendable {
    /// A libpcap filter expression; the empty one matches every packet.
    public var filter: String
    public var count: Int?
    public var json: Bool

    public init(filter: String, count: Int?, json: Bool) {
        self.filter = filter
        self.count = count
        self.json = json
    }
}

/// One client's interest, on the packet thread.
struct TraceSubscription {
    var filter: PacketFilter
    var queue: EventQueue<TraceRecord>
}

final class TraceStream: ReplyStream {
    private let daemon: Daemon
    private let request: TraceRequest
    private let queue: EventQueue<TraceRecord>
    private var shown = 0
    private var lost: UInt64 = 0
    private var unsaid: UInt64 = 0

    init(_ daemon: Daemon, _ request: TraceRequest, _ queue: EventQueue<TraceRecord>) {
        self.daemon = daemon
        self.request = request
        self.queue = queue
    }

    func produce(limit: Int) -> (part: CommandOutput, ended: Bool) {
        var part = CommandOutput()
        let words = daemon.traceText()
        while part.output.utf8.count < limit {
            let (records, lost) = queue.take(limit: remaining)
            unsaid += lost
            for record in records {
                part.output += daemon.text(of: record, words, json: request.json)
                shown += 1
            }
            if shown == request.count {
                daemon.stopTracing(queue)
                return (part, true)
            }
            guard records.isEmpty else { continue }
            // The reader has caught up: one sentence for all that it missed.
            if unsaid > 0 { part.error = loss() }
            break
        }
        return (part, false)
    }

    private var remaining: Int { min(32, (request.count ?? .max) - shown) }

    private func loss() -> String {
        defer { unsaid = 0 }
        lost += unsaid
        return "sluice: \(unsaid) packets lost from this trace: its reader is too slow\n"
    }

    func finish() -> CommandOutput {
        daemon.stopTracing(queue)
        lost += unsaid
        return CommandOutput(error: "sluice: \(shown) packets shown, \(lost) lost\n")
    }
}

/// A traced packet for programs: one object a line.
private struct TraceLine: Encodable {
    /// Nanoseconds since 1970.
    var time: UInt64
    var origin: String
    var refused: String?
    var steps: [TraceStep]
}

extension Daemon {
    func trace(_ request: ControlRequest) -> ControlReply {
        guard let argument = request.arguments.first,
            let wanted = try? JSONDecoder().decode(TraceRequest.self, from: Data(argument.utf8))
        else { return .done(.refused("trace: expected a request as the sluice client sends it")) }
        do {
            let filter = Handover(try PacketFilter(wanted.filter))
            let queue = EventQueue<TraceRecord>(capacity: 256, wake: wake)
            try packets.perform { node in
                node.startTracing(TraceSubscription(filter: filter.value, queue: queue))
            }
            return .stream(TraceStream(self, wanted, queue))
        } catch {
            return .done(.refused("\(error)"))
        }
    }

    func stopTracing(_ queue: EventQueue<TraceRecord>) {
        // A packet thread that has ended traces nothing.
        try? packets.perform { node in node.stopTracing(queue) }
    }

    func text(of record: TraceRecord, _ words: TraceText, json: Bool) -> String {
        if json {
            let line = TraceLine(
                time: sluice_realtime() - (sluice_monotonic() - record.time.nanoseconds),
                origin: "\(record.origin)",
                refused: record.refused?.description, steps: words.steps(record.trace))
            return jsonLine(line)
        }
        if let reason = record.refused { return "a frame was dropped: \(reason)\n\n" }
        return words.lines(record.trace).map { $0 + "\n" }.joined() + "\n"
    }

    func jsonLine(_ value: some Encodable) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        guard let data = try? encoder.encode(value) else { return "" }
        return String(decoding: data, as: UTF8.self) + "\n"
    }
}

extension Node {
    func startTracing(_ subscription: TraceSubscription) {
        traces.append(subscription)
        refreshTracing()
    }

    func stopTracing(_ queue: EventQueue<TraceRecord>) {
        traces.removeAll { $0.queue === queue }
        refreshTracing()
    }

    /// Without subscriptions a packet pays for nothing but a comparison with `nil`.
    private func refreshTracing() {
        guard !traces.isEmpty else {
            dataplane.traceFilter = nil
            dataplane.onTrace = nil
            return
        }
        let subscriptions = traces
        var matched: [EventQueue<TraceRecord>] = []
        dataplane.traceFilter = { frame, metadata in
            matched = subscriptions.filter {
                $0.filter.matches(frame, wireLength: metadata.wireLength)
            }.map(\.queue)
            return !matched.isEmpty
        }
        dataplane.onTrace = { record in
            for queue in matched { queue.offer(record) }
        }
    }
}
