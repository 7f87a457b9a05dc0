// A TCP script through an engine, Sluice's table or the kernel: each segment is sent, and what rules saw
// of it and what the tracker holds afterwards is put down in the script's own terms.

import CLinux
import Foundation
import Wire

@testable import Conntrack

/// Something that tracks scripted segments of one conversation.
protocol TCPScriptEngine {
    mutating func set(_ setting: NamedSetting<ConntrackSettings>, _ value: String) throws
    mutating func send(_ segment: TCPScript.Segment) throws -> TCPScript.Observation
}

extension TCPScript {
    /// What an engine showed after a segment.
    struct Observation: Equatable {
        var sees: CTState?
        var entry: Entry
        /// Whole seconds that may have gone by since the engine set the timeout.
        var late: UInt32 = 0
    }

    /// Complaints about what did not come as the script says; none is good.
    func run(_ engine: inout some TCPScriptEngine) throws -> [String] {
        var complaints: [String] = []
        for (line, step) in steps {
            switch step {
            case .set(let setting, let value): try engine.set(setting, value)
            case .segment(let segment, let outcome):
                let seen = try engine.send(segment)
                complaints += Self.compare(seen, outcome).map { "line \(line): \($0)" }
            }
        }
        return complaints
    }

    private static func compare(_ seen: Observation, _ wanted: Outcome) -> [String] {
        var complaints: [String] = []
        if seen.sees != wanted.sees {
            complaints.append(
                "rules see \(seen.sees.map { "\($0)" } ?? "nothing"), not \(wanted.sees)")
        }
        switch (seen.entry, wanted.entry) {
        case (.gone, .gone): break
        case (
            .state(let state, let left, let marks, let client, let server),
            .state(
                let wantedState, let timeout, let wantedMarks, let wantedClient, let wantedServer)
        ):
            if state != wantedState { complaints.append("state \(state), not \(wantedState)") }
            if left > timeout || left + seen.late < timeout {
                complaints.append("timeout \(left), not \(timeout)")
            }
            if marks != wantedMarks {
                complaints.append("\(marks.description), not \(wantedMarks.description)")
            }
            if let wantedClient, client != wantedClient {
                complaints.append("client \(client!), not \(wantedClient)")
            }
            if let wantedServer, server != wantedServer {
                complaints.append("server \(server!), not \(wantedServer)")
            }
        default:
            complaints.append("\(seen.entry), not \(wanted.entry)")
        }
        return complaints
    }
}

extension TCPScript.Entry: CustomStringConvertible {
    var description: String {
        switch self {
        case .gone: "gone"
        case .state(let state, let timeout, let marks, let client, let server):
            "\(state) \(timeout) \(marks.description)"
                + [client.map { " client\($0)" }, server.map { " server\($0)" }]
                .compactMap { $0 }.joined()
        }
    }
}

extension TCPScript.Marks: CustomStringConvertible {
    var description: String {
        (contains(.unreplied) ? "unreplied" : "replied") + (contains(.assured) ? " assured" : "")
    }
}

extension TCPScript.EndMarks: CustomStringConvertible {
    var description: String {
        let names: [(TCPEndFlags, String)] = [
            (.windowScale, "scale=\(scale)"), (.sackPermitted, "sack"),
            (.closeInitiator, "closing"), (.beLiberal, "liberal"),
            (.dataUnacknowledged, "unacked"), (.highestAckKnown, "acked"),
        ]
        return "(" + names.filter { flags.contains($0.0) }.map(\.1).joined(separator: ",") + ")"
    }
}

extension TCPScript.Segment {
    func frame(_ flow: Flow) -> Frame {
        var frame = Frame.tcp(
            from == .client ? flow : flow.back, flags, seq: sequence, ack: acknowledgement,
            window: window, options: options, data: data)
        // The checksum's second byte.
        if checksumIsWrong { frame.bytes[51] ^= 1 }
        return frame
    }
}

extension TCPScript.Marks {
    init(_ status: ConnectionStatus) {
        self = []
        if !status.contains(.seenReply) { insert(.unreplied) }
        if status.contains(.assured) { insert(.assured) }
    }
}

extension Flow {
    var tuple: Tuple { Tuple(from.0, from.1, to.0, to.1, .tcp) }
}

/// Sluice's table under a clock that stands still.
struct TableEngine: TCPScriptEngine {
    let table = ConnectionTable(capacity: 16, seed: 1)
    let flow = Flow()
    let now = seconds(1000)

    func set(_ setting: NamedSetting<ConntrackSettings>, _ value: String) throws {
        try setting.write(value, to: &table.settings)
    }

    func send(_ segment: TCPScript.Segment) -> TCPScript.Observation {
        let frame = segment.frame(flow)
        let peeked = table.peek(frame, at: now)
        let tracked = table.pass(frame, at: now)
        // A dry run tells the same.
        let sees = peeked.state == tracked.state ? tracked.state : nil
        guard let (id, direction) = table.find(flow.tuple, now: now),
            let record = table.record(id, now: now), let state = record.tcpState
        else { return TCPScript.Observation(sees: sees, entry: .gone) }
        let tcp = table.storage[id.index].tcp
        return TCPScript.Observation(
            sees: sees,
            entry: .state(
                state, timeout: record.timeout.rawValue, TCPScript.Marks(record.status),
                client: TCPScript.EndMarks(tcp[direction]),
                server: TCPScript.EndMarks(tcp[direction.opposite])))
    }
}

extension TCPScript.EndMarks {
    init(_ end: TCPEnd) { self.init(flags: end.flags, scale: end.scale) }
}

/// The kernel's table.
struct KernelEngine: TCPScriptEngine {
    let kernel: KernelTracker
    /// A conversation of its own.
    let flow: Flow

    func set(_ setting: NamedSetting<ConntrackSettings>, _ value: String) throws {
        try kernel.set(setting.name, value)
    }

    func send(_ segment: TCPScript.Segment) throws -> TCPScript.Observation {
        let start = sluice_tick_clock()
        let seen = try kernel.send(
            segment.frame(flow), on: segment.from == .client ? .left : .right)
        let entry = try kernel.entry(flow.tuple)
        // A tick may have passed at once, and the kernel rounds down.
        let late = 1 + UInt32((sluice_tick_clock() - start) / 1_000_000_000)
        guard let entry, let state = entry.tcpState else {
            return TCPScript.Observation(sees: seen.state, entry: .gone)
        }
        let isOriginal = entry.original == flow.tuple
        return TCPScript.Observation(
            sees: seen.state,
            entry: .state(
                state, timeout: entry.timeout, TCPScript.Marks(entry.status),
                client: isOriginal ? entry.originalEnd : entry.replyEnd,
                server: isOriginal ? entry.replyEnd : entry.originalEnd),
            late: late)
    }
}
