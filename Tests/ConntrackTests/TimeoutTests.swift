// How long entries live: in the table to the nanosecond by moving its clock, on the kernel with settings
// of a few seconds, by waiting until they are gone.

import CLinux
import Foundation
import Testing
import Wire

@testable import Conntrack

/// One way to an entry and the setting that says how long it lives.
private struct Life: Sendable, CustomTestStringConvertible {
    /// A setting without its prefix, which stands for the whole case.
    var setting: String
    var script: String
    var testDescription: String { setting }

    /// What is open, with both windows known.
    static let opening = """
        > S 100 : NEW SYN_SENT {tcp_timeout_syn_sent} unreplied
        < SA 900 ack 101 : ESTABLISHED SYN_RECV {tcp_timeout_syn_recv}
        > A 101 ack 901 : ESTABLISHED ESTABLISHED {tcp_timeout_established} assured
        """

    static let all: [Life] = [
        Life(setting: "tcp_timeout_syn_sent", script: "> S 100 : NEW SYN_SENT {} unreplied"),
        Life(
            setting: "tcp_timeout_syn_recv",
            script: """
                > S 100 : NEW SYN_SENT {tcp_timeout_syn_sent} unreplied
                < SA 900 ack 101 : ESTABLISHED SYN_RECV {}
                """),
        Life(setting: "tcp_timeout_established", script: opening),
        Life(
            setting: "tcp_timeout_fin_wait",
            script: opening + "\n> FA 101 ack 901 : ESTABLISHED FIN_WAIT {} assured"),
        Life(
            setting: "tcp_timeout_close_wait",
            script: opening + """

                > FA 101 ack 901 : ESTABLISHED FIN_WAIT {tcp_timeout_fin_wait} assured
                < A 901 ack 102 : ESTABLISHED CLOSE_WAIT {} assured
                """),
        Life(
            setting: "tcp_timeout_last_ack",
            script: opening + """

                > FA 101 ack 901 : ESTABLISHED FIN_WAIT {tcp_timeout_fin_wait} assured
                < FA 901 ack 102 : ESTABLISHED LAST_ACK {} assured
                """),
        Life(
            setting: "tcp_timeout_time_wait",
            script: opening + """

                > FA 101 ack 901 : ESTABLISHED FIN_WAIT {tcp_timeout_fin_wait} assured
                < FA 901 ack 102 : ESTABLISHED LAST_ACK {tcp_timeout_last_ack} assured
                > A 102 ack 902 : ESTABLISHED TIME_WAIT {} assured
                """),
        Life(
            setting: "tcp_timeout_close",
            script: opening + "\n< R 901 : ESTABLISHED CLOSE {} assured"),
        Life(
            setting: "tcp_timeout_unacknowledged",
            script: opening + "\n> AP 101 ack 901 data 5 : ESTABLISHED ESTABLISHED {} assured"),
        Life(
            setting: "tcp_timeout_max_retrans",
            script: opening + "\n< A 901 ack 101 win 0 : ESTABLISHED ESTABLISHED {} assured"),
    ]

    /// The script with every setting's seconds in its place.
    func script(_ seconds: (String) -> UInt32) -> String {
        var text = script.replacing("{}", with: "\(seconds(setting))")
        for life in Self.all {
            text = text.replacing("{\(life.setting)}", with: "\(seconds(life.setting))")
        }
        return text
    }
}

@Suite("Timeouts", .serialized)
struct TimeoutTests {
    /// Whether the entry of a tuple is there until `seconds` after `start` and not a moment longer.
    private func expectEnd(
        _ table: ConnectionTable, _ tuple: Tuple, _ life: UInt32, after start: Timestamp,
        _ note: String
    ) {
        let end = start.nanoseconds + UInt64(life) * 1_000_000_000
        if life > 0 {
            let before = Timestamp(nanoseconds: end - 1)
            table.expire(now: before, limit: .max)
            #expect(table.find(tuple, now: before) != nil, "\(note): ended before \(life) s")
        }
        let at = Timestamp(nanoseconds: end)
        #expect(table.find(tuple, now: at) == nil, "\(note): lives after \(life) s")
        table.expire(now: at, limit: .max)
        #expect(table.count == 0, "\(note)")
    }

    @Test("what a scenario leaves behind lives as long as it says", arguments: Scenario.all)
    func scenario(scenario: Scenario) throws {
        let script = try TCPScript(parsing: scenario.text)
        var engine = TableEngine()
        #expect(try script.run(&engine) == [])
        guard case .segment(_, let outcome)? = script.steps.last?.step,
            case .state(_, let timeout, _, _, _) = outcome.entry
        else {
            #expect(engine.table.find(engine.flow.tuple, now: engine.now) == nil)
            engine.table.expire(now: engine.now)
            return #expect(engine.table.count == 0)
        }
        expectEnd(engine.table, engine.flow.tuple, timeout, after: engine.now, scenario.name)
    }

    @Test("each TCP timeout is the setting of its state", arguments: Life.all)
    fileprivate func tcp(life: Life) throws {
        // Distinct, and none shorter than what it is a limit for.
        let lives: [String: UInt32] = Dictionary(
            uniqueKeysWithValues: Life.all.enumerated().map { ($1.setting, UInt32(20 + $0)) })
        func seconds(_ setting: String) -> UInt32 {
            switch setting {
            case "tcp_timeout_established": 1000
            default: lives[setting] ?? 0
            }
        }
        var engine = TableEngine()
        for life in Life.all {
            let name = ConntrackSettings.prefix + life.setting
            let setting = try #require(ConntrackSettings.named.first { $0.name == name })
            try engine.set(setting, "\(seconds(life.setting))")
        }
        let script = try TCPScript(parsing: life.script(seconds))
        #expect(try script.run(&engine) == [])
        expectEnd(
            engine.table, engine.flow.tuple, seconds(life.setting), after: engine.now,
            life.setting)
    }

    @Test("UDP: unanswered, answered, and a stream from two seconds on")
    func udp() {
        var settings = ConntrackSettings()
        settings.udpTimeout = Seconds(7)
        settings.udpTimeoutStream = Seconds(11)
        let flow = Flow(40_000, to: 53)
        let tuple = Tuple(Frame.udp(flow).view)!
        func table(_ frames: [(Double, Bool)]) -> ConnectionTable {
            let table = ConnectionTable(capacity: 4, settings: settings, seed: 1)
            for (time, isAnswer) in frames {
                table.pass(.udp(isAnswer ? flow.back : flow), at: seconds(time))
            }
            return table
        }
        expectEnd(table([(0, false)]), tuple, 7, after: seconds(0), "a question")
        expectEnd(table([(0, false), (3, false)]), tuple, 7, after: seconds(3), "two questions")
        expectEnd(table([(0, false), (1, true)]), tuple, 7, after: seconds(1), "an answer")
        // The answer itself comes before the flow counts as answered.
        expectEnd(table([(0, false), (3, true)]), tuple, 7, after: seconds(3), "a late answer")
        let early = table([(0, false), (1, true), (2, false)])
        #expect(early.status(early.find(tuple, now: seconds(2))!.0).contains(.assured) == false)
        expectEnd(early, tuple, 7, after: seconds(2), "two seconds are not more than two")
        let stream = table([(0, false), (1, true), (2.000_000_001, false)])
        #expect(stream.status(stream.find(tuple, now: seconds(3))!.0).contains(.assured))
        expectEnd(stream, tuple, 11, after: seconds(2.000_000_001), "a stream")
    }

    @Test("ICMP and everything else: one timeout, from the last packet on")
    func others() {
        var settings = ConntrackSettings()
        settings.icmpTimeout = Seconds(7)
        settings.genericTimeout = Seconds(11)
        let ping = Frame.icmp(client, server, type: 8, id: 1)
        let pong = Frame.icmp(server, client, type: 0, id: 1)
        let other = IPProtocol(rawValue: 89)
        let hello = Frame(client, server, other, [1, 2, 3, 4], checksumAt: nil)
        let answer = Frame(server, client, other, [1, 2, 3, 4], checksumAt: nil)
        for (question, reply, life) in [(ping, pong, UInt32(7)), (hello, answer, 11)] {
            let tuple = Tuple(question.view)!
            let asked = ConnectionTable(capacity: 4, settings: settings, seed: 1)
            asked.pass(question, at: seconds(0))
            expectEnd(asked, tuple, life, after: seconds(0), "unanswered")
            let answered = ConnectionTable(capacity: 4, settings: settings, seed: 1)
            answered.pass(question, at: seconds(0))
            answered.pass(reply, at: seconds(5))
            let (id, _) = answered.find(tuple, now: seconds(5))!
            // Neither is ever assured.
            #expect(!answered.status(id).contains(.assured))
            expectEnd(answered, tuple, life, after: seconds(5), "answered")
        }
    }

    // MARK: The kernel

    /// Asks until it is so; a minute is far more than any of the timeouts here.
    private func waitUntil(_ condition: () throws -> Bool) throws {
        let start = sluice_tick_clock()
        while try !condition() {
            try #require(sluice_tick_clock() - start < 60_000_000_000)
            usleep(20_000)
        }
    }

    /// Every TCP state and every protocol at once, each with a setting of one to four seconds.
    @Test(
        "the kernel's entries end by the same settings", .enabled(if: canAskKernel, needsKernel))
    func kernel() throws {
        let kernel = try KernelTracker()
        let lives: [String: UInt32] = [
            "tcp_timeout_syn_sent": 2, "tcp_timeout_syn_recv": 3, "tcp_timeout_established": 4,
            "tcp_timeout_fin_wait": 1, "tcp_timeout_close_wait": 2, "tcp_timeout_last_ack": 3,
            "tcp_timeout_time_wait": 1, "tcp_timeout_close": 2, "tcp_timeout_unacknowledged": 3,
            "tcp_timeout_max_retrans": 2, "udp_timeout": 3, "icmp_timeout": 1,
            "generic_timeout": 2,
        ]
        for (name, life) in lives { try kernel.set(ConntrackSettings.prefix + name, "\(life)") }
        for (index, life) in Life.all.enumerated() {
            // Held up for so long that an entry ended on its way, a conversation is held again.
            for attempt in 0..<10 {
                let flow = Flow(UInt16(1000 + 10 * index + attempt))
                var engine = KernelEngine(kernel: kernel, flow: flow)
                let start = sluice_tick_clock()
                let script = try TCPScript(parsing: life.script { lives[$0] ?? 0 })
                let complaints = try script.run(&engine)
                guard sluice_tick_clock() - start < 500_000_000 else { continue }
                #expect(complaints == [], "\(life.setting)")
                break
            }
        }
        _ = try kernel.send(.udp(Flow(2000, to: 53)), on: .left)
        _ = try kernel.send(.icmp(client, server, type: 8, id: 9), on: .left)
        let other = Frame(client, server, IPProtocol(rawValue: 89), [1, 2, 3, 4], checksumAt: nil)
        _ = try kernel.send(other, on: .left)
        // The one that is to stay.
        try kernel.set(ConntrackSettings.prefix + "udp_timeout", "1000")
        _ = try kernel.send(.udp(Flow(2001, to: 53)), on: .left)
        try waitUntil { try kernel.entries().count <= 1 }
        #expect(try kernel.entries().map(\.original.sourcePort) == [Port(2001)])
    }

    @Test(
        "on the kernel too an answered UDP flow is a stream after two seconds",
        .enabled(if: canAskKernel, needsKernel), .timeLimit(.minutes(2)))
    func kernelStream() throws {
        let kernel = try KernelTracker()
        try kernel.set(ConntrackSettings.prefix + "udp_timeout_stream", "1")
        let flow = Flow(2000, to: 53)
        let tuple = try #require(Tuple(Frame.udp(flow).view))
        let start = sluice_tick_clock()
        _ = try kernel.send(.udp(flow), on: .left)
        _ = try kernel.send(.udp(flow.back), on: .right)
        // Until the packet that makes it one.
        while true {
            _ = try kernel.send(.udp(flow), on: .left)
            let entry = try #require(try kernel.entry(tuple))
            if entry.status.contains(.assured) {
                #expect(entry.timeout <= 1)
                break
            }
            #expect(entry.timeout > 1)
            usleep(20_000)
        }
        // Two seconds, but for the tick that was under way.
        #expect(sluice_tick_clock() - start > 1_900_000_000)
        try waitUntil { try kernel.entry(tuple) == nil }
    }
}
