// Connections that somebody else carries: deadlines, counters and windows come home when they are needed.

import Testing
import Wire

@testable import Conntrack

/// A carrier that says what a test tells it.
private final class ScriptedCarrier: ConnectionCarrier {
    var state = CarriedState()
    var calls: [String] = []

    func recall(_ number: UInt32) -> CarriedState { take("recall \(number)") }
    func look(_ number: UInt32) -> CarriedState { take("look \(number)") }
    func release(_ number: UInt32) { calls.append("release \(number)") }

    private func take(_ call: String) -> CarriedState {
        calls.append(call)
        defer {
            state.original = FlowCounters()
            state.reply = FlowCounters()
        }
        return state
    }

    /// Packets have passed, the last one `at` seconds.
    func pass(_ packets: UInt64, bytes: UInt64, at: Double) {
        state.original = FlowCounters(packets: packets, bytes: bytes)
        state.lastSeen = seconds(at)
    }
}

@Suite("Carried connections")
struct CarriedConnectionTests {
    private let carrier = ScriptedCarrier()
    private let flow = Flow()

    /// A table with an assured connection, carried as number 3 from second 2 on.
    private func carrying(_ settings: ConntrackSettings = ConntrackSettings()) throws -> (
        ConnectionTable, ConnectionID
    ) {
        var settings = settings
        settings.acct = true
        let table = ConnectionTable(capacity: 8, settings: settings, seed: 1)
        table.carrier = carrier
        for (frame, second) in [
            (Frame.tcp(flow, .syn, seq: 100), 1.0),
            (.tcp(flow.back, [.syn, .ack], seq: 900, ack: 101), 1.1),
            (.tcp(flow, .ack, seq: 101, ack: 901), 1.2),
            (.tcp(flow.back, .ack, seq: 901, ack: 101), 2),
        ] {
            var tracked = table.track(frame, at: seconds(second))
            #expect(table.confirm(&tracked, now: seconds(second)) == nil)
        }
        let (id, _) = try #require(table.find(Tuple(frame: flow), now: seconds(2)))
        let carriable = try #require(table.carriable(id, now: seconds(2)))
        #expect(carriable.lastSeen == seconds(2) && carriable.number == 0 && carriable.isTCP)
        carrier.state.window = carriable.window
        table.carry(id, as: 3)
        return (table, id)
    }

    @Test("live on from the last packet that was carried, and end when that is too long ago")
    func deadline() throws {
        var settings = ConntrackSettings()
        settings.tcpTimeoutEstablished = Seconds(100)
        let (table, id) = try carrying(settings)
        carrier.pass(5, bytes: 200, at: 90)
        table.expire(now: seconds(102.1))
        #expect(table.contains(id) && carrier.calls == ["look 3"])
        #expect(table.timeout(id, now: seconds(110)) == Seconds(80))
        #expect(table.find(Tuple(frame: flow), now: seconds(189.9)) != nil)
        carrier.calls = []
        table.expire(now: seconds(190))
        #expect(!table.contains(id))
        #expect(carrier.calls.suffix(2) == ["recall 3", "release 3"])
        #expect(table.statistics.expired == 1)
    }

    @Test("a packet that finds one past its deadline finds it alive if others were carried since")
    func lookUp() throws {
        var settings = ConntrackSettings()
        settings.tcpTimeoutEstablished = Seconds(100)
        let (table, id) = try carrying(settings)
        carrier.pass(1, bytes: 40, at: 50)
        let tracked = table.track(.tcp(flow, .ack, seq: 101, ack: 901), at: seconds(120))
        #expect(tracked.connection == id && tracked.state == .established)
        #expect(carrier.calls == ["look 3", "recall 3"])
    }

    @Test("are judged by the window that they have moved to, and are recalled once")
    func window() throws {
        let (table, id) = try carrying()
        carrier.pass(1000, bytes: 30_040_000, at: 3)
        carrier.state.window.original.end &+= 30_000_000
        carrier.state.window.original.maxEnd &+= 30_000_000
        carrier.state.window.reply.maxAck &+= 30_000_000
        let next = Frame.tcp(flow, .ack, seq: 101 &+ 30_000_000, ack: 901, data: 10)
        #expect(table.track(next, at: seconds(4)).state == .established)
        let old = Frame.tcp(flow.back, .ack, seq: 901, ack: 101 &+ 30_000_000)
        #expect(table.track(old, at: seconds(4)).state == .established)
        #expect(carrier.calls == ["recall 3"])
        let record = try #require(table.record(id, now: seconds(4)))
        #expect(record.counters?.original == FlowCounters(packets: 1003, bytes: 30_040_130))
        #expect(try #require(table.carriable(id, now: seconds(4))).number == 3)
    }

    @Test("are listed with what was carried; one that closes is released")
    func listing() throws {
        let (table, id) = try carrying()
        carrier.pass(7, bytes: 700, at: 3)
        #expect(
            try #require(table.record(id, now: seconds(4))).counters?.original.packets == 9)
        table.zeroCounters(id)
        carrier.pass(2, bytes: 80, at: 4)
        #expect(
            try #require(table.record(id, now: seconds(4))).counters?.original
                == FlowCounters(packets: 2, bytes: 80))
        carrier.calls = []
        #expect(
            table.track(.tcp(flow, [.fin, .ack], seq: 101, ack: 901), at: seconds(5)).state
                == .established)
        #expect(carrier.calls == ["recall 3", "release 3"])
        #expect(table.carriable(id, now: seconds(5)) == nil)
        table.delete(id, now: seconds(5))
        #expect(carrier.calls.count == 2)
    }

    @Test("datagrams are carried until the flow becomes a stream, whose first one is told")
    func datagrams() throws {
        let table = ConnectionTable(capacity: 8, seed: 1)
        table.carrier = carrier
        for (frame, second) in [(Frame.udp(flow), 1.0), (.udp(flow.back), 1.5)] {
            var tracked = table.track(frame, at: seconds(second))
            #expect(table.confirm(&tracked, now: seconds(second)) == nil)
        }
        let tuple = Tuple(client, 40_000, server, 80, .udp)
        let (id, _) = try #require(table.find(tuple, now: seconds(2)))
        let young = try #require(table.carriable(id, now: seconds(2)))
        #expect(young.until == seconds(3).nanoseconds + 1 && young.idle == seconds(30).nanoseconds)
        #expect(table.track(.udp(flow), at: seconds(3.1)).state == .established)
        let stream = try #require(table.carriable(id, now: seconds(3.1)))
        #expect(stream.until == .max && stream.idle == seconds(120).nanoseconds)
    }

    @Test("TCP that is not assured is not carried")
    func unassured() throws {
        let table = ConnectionTable(capacity: 8, seed: 1)
        table.carrier = carrier
        var tracked = table.track(.tcp(flow, .syn, seq: 1), at: seconds(1))
        #expect(table.confirm(&tracked, now: seconds(1)) == nil)
        #expect(table.carriable(try #require(tracked.connection), now: seconds(1)) == nil)
    }

    @Test("UDP is carried from confirmation on; with the first answer its packets are another's")
    func unanswered() throws {
        let table = ConnectionTable(capacity: 8, seed: 1)
        table.carrier = carrier
        var tracked = table.track(.udp(flow), at: seconds(1))
        let id = try #require(tracked.connection)
        #expect(table.carriable(id, now: seconds(1)) == nil)
        #expect(table.confirm(&tracked, now: seconds(1)) == nil)
        let carriable = try #require(table.carriable(id, now: seconds(1)))
        #expect(carriable.until == .max && carriable.idle == seconds(30).nanoseconds)
        table.note(7, for: id, .original)
        table.carry(id, as: 3)
        _ = table.track(.udp(flow.back), at: seconds(2))
        #expect(carrier.calls == ["recall 3"])
        #expect(table.note(for: id, .original) == 0)
        let answered = try #require(table.carriable(id, now: seconds(2)))
        #expect(answered.until == seconds(3).nanoseconds + 1)
    }
}

extension Tuple {
    fileprivate init(frame flow: Flow) {
        self.init(flow.from.0, flow.from.1, flow.to.0, flow.to.1, .tcp)
    }
}
