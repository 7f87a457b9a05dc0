// The `conntrack` command over the live table. A walk over the table goes in slices between rounds of
// the packet thread, so that packets never wait for a listing; text is made on this side.

import CLinux
import Conntrack
import Wire

extension Daemon {
    /// Slots visited between two rounds: some tens of microseconds.
    static let slice = 1024

    func conntrack(_ request: ControlRequest) -> ControlReply {
        switch ConntrackCommand(parsing: request.arguments) {
        case .finished(let outcome): return .done(CommandOutput(outcome))
        case .request(let wanted):
            do throws(PacketThreadFailure) {
                return try carryOut(wanted)
            } catch {
                return .done(
                    CommandOutput(error: wanted.warnings + "conntrack: \(error)\n", status: 1))
            }
        }
    }

    private func carryOut(_ request: ConntrackRequest) throws(PacketThreadFailure) -> ControlReply {
        var output = ""
        var count = 0
        switch request.action {
        case .list: (output, count) = try list(request)
        case .delete: (output, count) = try delete(request)
        case .get(let tuple):
            guard let record = try find(tuple, request.filter.zone) else {
                return .done(CommandOutput(ConntrackRequest.noSuchConnection))
            }
            var options = textOptions(request)
            options.references = 2
            (output, count) = (ConntrackText.line(record, options) + "\n", 1)
        case .flush:
            try packets.perform { node in node.connections.flush(now: Self.now()) }
        case .count:
            output = "\(try packets.perform { node in node.connections.count })\n"
        case .countExpectations: output = "0\n"
        case .statistics:
            output = ConntrackText.statistics(
                try packets.perform { node in node.connections.statistics })
        case .expectationStatistics: output = ConntrackText.expectationStatistics
        case .events: return .stream(try ConnectionEventStream(self, request))
        case .expectationEvents: return .stream(SilentStream(request))
        case .listTransient, .flushOtherFamily, .listExpectations, .flushExpectations: break
        }
        let conclusion = request.conclusion(count: count)
        return .done(
            CommandOutput(
                output: output, error: request.warnings + conclusion.error,
                status: UInt8(truncatingIfNeeded: conclusion.status)))
    }

    static func now() -> Timestamp { Timestamp(nanoseconds: sluice_monotonic()) }

    func textOptions(_ request: ConntrackRequest) -> ConntrackTextOptions {
        ConntrackTextOptions(
            output: request.output, now: Self.now(), wallClock: sluice_realtime(),
            secondsEastOfUTC: SystemCalls.secondsEastOfUTC())
    }

    private func list(
        _ request: ConntrackRequest
    ) throws(PacketThreadFailure) -> (text: String, count: Int) {
        let options = textOptions(request)
        return try walk(options) { node, cursor, now in
            var found: [ConnectionRecord] = []
            let next = node.connections.forEach(from: cursor, limit: Self.slice, now: now) {
                guard request.filter.matches($0) else { return }
                found.append($0)
                if request.zeroesCounters { node.connections.zeroCounters($0.connection) }
            }
            return (found, next)
        }
    }

    private func delete(
        _ request: ConntrackRequest
    ) throws(PacketThreadFailure) -> (text: String, count: Int) {
        let options = textOptions(request)
        return try walk(options) { node, cursor, now in
            var found: [ConnectionRecord] = []
            let next = node.connections.delete(from: cursor, limit: Self.slice, now: now) {
                guard request.filter.matches($0) else { return false }
                found.append($0)
                return true
            }.next
            return (found, next)
        }
    }

    private func walk(
        _ options: ConntrackTextOptions,
        _ visit: @escaping @Sendable (Node, UInt32, Timestamp) -> ([ConnectionRecord], UInt32?)
    ) throws(PacketThreadFailure) -> (text: String, count: Int) {
        var text = ""
        var count = 0
        var cursor: UInt32? = 0
        while let from = cursor {
            let (found, next) = try packets.perform { node in visit(node, from, Self.now()) }
            for record in found { text += ConntrackText.line(record, options) + "\n" }
            count += found.count
            cursor = next
        }
        return (text, count)
    }

    private func find(_ tuple: Tuple, _ zone: Zone) throws(PacketThreadFailure) -> ConnectionRecord?
    {
        try packets.perform { node in
            let now = Self.now()
            guard let (id, _) = node.connections.find(tuple, zone: zone, now: now) else {
                return nil
            }
            return node.connections.record(id, now: now)
        }
    }
}

extension CommandOutput {
    init(_ outcome: ConntrackOutcome) {
        self.init(
            output: outcome.output, error: outcome.error,
            status: UInt8(truncatingIfNeeded: outcome.status))
    }
}

/// `conntrack -E`.
final class ConnectionEventStream: ReplyStream {
    private let daemon: Daemon
    private let request: ConntrackRequest
    private let kinds: ConntrackRequest.EventKinds
    private let queue: EventQueue<ConnectionEvent>
    private var shown = 0
    /// Lost since the reader last caught up.
    private var unsaid: UInt64 = 0
    private var warnings: String

    init(_ daemon: Daemon, _ request: ConntrackRequest) throws(PacketThreadFailure) {
        self.daemon = daemon
        self.request = request
        warnings = request.warnings
        if case .events(let kinds) = request.action { self.kinds = kinds } else { kinds = .all }
        let queue = EventQueue<ConnectionEvent>(capacity: 16_384, wake: daemon.wake)
        self.queue = queue
        try daemon.packets.perform { node in node.listen(queue) }
    }

    func produce(limit: Int) -> (part: CommandOutput, ended: Bool) {
        var part = CommandOutput(error: warnings)
        warnings = ""
        let options = daemon.textOptions(request)
        while part.output.utf8.count < limit {
            let (events, lost) = queue.take(limit: 256)
            unsaid += lost
            guard !events.isEmpty else { break }
            for event in events
            where kinds.contains(event.kind) && request.filter.matches(event.record) {
                part.output += ConntrackText.line(event, options) + "\n"
                shown += 1
            }
        }
        if unsaid > 0, part.output.utf8.count < limit {
            part.error += "sluice: \(unsaid) events lost: the reader is too slow\n"
            unsaid = 0
        }
        return (part, false)
    }

    func finish() -> CommandOutput {
        let queue = queue
        // A packet thread that has ended tells nobody anything.
        try? daemon.packets.perform { node in node.stopListening(queue) }
        let conclusion = request.conclusion(count: shown)
        return CommandOutput(
            error: conclusion.error, status: UInt8(truncatingIfNeeded: conclusion.status))
    }
}

/// `conntrack -E expect`: there are no expectations, so nothing ever happens to one.
final class SilentStream: ReplyStream {
    private let request: ConntrackRequest
    init(_ request: ConntrackRequest) { self.request = request }
    func produce(limit: Int) -> (part: CommandOutput, ended: Bool) { (CommandOutput(), false) }
    func finish() -> CommandOutput {
        let conclusion = request.conclusion(count: 0)
        return CommandOutput(
            error: conclusion.error, status: UInt8(truncatingIfNeeded: conclusion.status))
    }
}
