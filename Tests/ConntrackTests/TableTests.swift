import Testing
import Wire

@testable import Conntrack

@Suite("The table")
struct TableTests {
    @Test("an unconfirmed connection is found by nobody, and leaves no trace when its packet dies")
    func unconfirmed() {
        let table = ConnectionTable(capacity: 4, seed: 1)
        let tracked = table.track(.udp(Flow()), at: seconds(0))
        #expect(tracked.created)
        #expect(table.count == 1)
        #expect(table.find(Tuple(client, 40_000, server, 80, .udp), now: seconds(0)) == nil)
        table.releaseUnconfirmed(tracked.connection!)
        table.expire(now: seconds(0))
        #expect(table.count == 0)
        #expect(!table.contains(tracked.connection!))
        // Harmless on a confirmed one and on a stale handle.
        let kept = table.pass(.udp(Flow()), at: seconds(0))
        table.releaseUnconfirmed(kept.connection!)
        table.releaseUnconfirmed(tracked.connection!)
        #expect(table.count == 1)
    }

    @Test("peeking changes nothing")
    func peek() {
        let table = ConnectionTable(capacity: 4, seed: 1)
        let opening = table.peek(.tcp(Flow(), .syn), at: seconds(0))
        #expect(opening == Tracked(state: .new, created: true))
        #expect(table.count == 0)
        let id = table.pass(.tcp(Flow(), .syn, seq: 100), at: seconds(0)).connection!
        let before = table.record(id, now: seconds(0))
        let statistics = table.statistics
        let answer = table.peek(.tcp(Flow().back, [.syn, .ack], seq: 1, ack: 101), at: seconds(0))
        #expect(answer.state == .established)
        #expect(answer.connection == id)
        _ = table.peek(.tcp(Flow().back, [.rst, .ack], ack: 101), at: seconds(0))
        _ = table.peek(.tcp(Flow(), [.fin, .syn]), at: seconds(0))
        _ = table.peek(.udp(Flow()), at: seconds(0))
        #expect(table.record(id, now: seconds(0)) == before)
        #expect(table.statistics == statistics)
        #expect(table.count == 1)
        // Overdue entries are passed over, not ended.
        #expect(table.peek(.tcp(Flow(), .syn), at: seconds(500)).created)
        #expect(table.count == 1)
    }

    @Test("rehearsing a SYN that reopens a closed connection leaves the closed one")
    func rehearse() {
        let table = ConnectionTable(capacity: 4, seed: 1)
        let flow = Flow()
        let old = table.pass(.tcp(flow, .syn, seq: 100), at: seconds(0)).connection!
        table.pass(.tcp(flow.back, [.syn, .ack], seq: 900, ack: 101), at: seconds(0))
        table.pass(.tcp(flow, .ack, seq: 101, ack: 901), at: seconds(0))
        table.pass(.tcp(flow, [.fin, .ack], seq: 101, ack: 901), at: seconds(0))
        table.pass(.tcp(flow.back, [.fin, .ack], seq: 901, ack: 102), at: seconds(0))
        table.pass(.tcp(flow, .ack, seq: 102, ack: 902), at: seconds(0))
        #expect(table.tcpState(old) == .timeWait)
        let before = table.record(old, now: seconds(1))
        let again = Frame.tcp(flow, .syn, seq: 5000)
        let rehearsed = table.rehearse(
            again.bytes.span.bytes, again.view, offload: .none, verifyChecksum: true,
            now: seconds(1))
        #expect(rehearsed.state == .new)
        #expect(rehearsed.created)
        table.releaseUnconfirmed(rehearsed.connection!)
        #expect(table.record(old, now: seconds(1)) == before)
        #expect(table.count == 1)
        // The real one ends it.
        table.pass(again, at: seconds(1))
        #expect(table.record(old, now: seconds(1))?.status.contains(.dying) == true)
    }

    @Test(
        "a dry run of a SYN that reopens a connection sees the room that this makes in a full table"
    )
    func reopensInFullTable() {
        let table = ConnectionTable(capacity: 2, seed: 1)
        let flow = Flow()
        // Established, so that nobody evicts it.
        let other = Flow(50_000)
        for flow in [flow, other] {
            table.pass(.tcp(flow, .syn, seq: 100), at: seconds(0))
            table.pass(.tcp(flow.back, [.syn, .ack], seq: 900, ack: 101), at: seconds(0))
            table.pass(.tcp(flow, .ack, seq: 101, ack: 901), at: seconds(0))
        }
        table.pass(.tcp(flow, [.rst, .ack], seq: 101, ack: 901), at: seconds(0))
        let again = Frame.tcp(flow, .syn, seq: 5000)
        #expect(table.peek(again, at: seconds(1)).state == .new)
        #expect(table.track(again, at: seconds(1)).state == .new)
    }

    @Test("nothing overdue is ever found, however late expire is called")
    func overdue() {
        let table = ConnectionTable(capacity: 4, seed: 1)
        let id = table.pass(.udp(Flow()), at: seconds(0)).connection!
        #expect(table.track(.udp(Flow()), at: seconds(29)).connection == id)
        let later = table.track(.udp(Flow()), at: seconds(59))
        #expect(later.created)
        #expect(later.connection != id)
        #expect(table.statistics.expired == 1)
    }

    @Test(
        "what happens to a connection is told to listeners if `events` and the moment it began ask for it",
        arguments: [(UInt8(0), 0, 0), (1, 2, 3), (2, 0, 3)])
    func reporting(events: UInt8, before: Int, after: Int) {
        var settings = ConntrackSettings()
        settings.events = events
        let table = ConnectionTable(capacity: 4, settings: settings, seed: 1)
        func told() -> Int {
            var count = 0
            while table.nextEvent() != nil { count += 1 }
            return count
        }
        let early = table.pass(.udp(Flow(1)), at: seconds(0)).connection!
        table.listen(capacity: 8)
        table.pass(.udp(Flow(1).back), at: seconds(0))
        table.delete(early, now: seconds(0))
        #expect(told() == before)
        let late = table.pass(.udp(Flow(2)), at: seconds(0)).connection!
        table.pass(.udp(Flow(2).back), at: seconds(0))
        table.delete(late, now: seconds(0))
        #expect(told() == after)
    }

    @Test("a mark and the masquerade interface stay with the connection")
    func accessors() {
        let table = ConnectionTable(capacity: 4, seed: 1)
        let id = table.pass(.udp(Flow()), at: seconds(0)).connection!
        table.setMark(id, 0xBEEF)
        table.setMasqueradeInterface(id, InterfaceIndex(rawValue: 3))
        #expect(table.mark(id) == 0xBEEF)
        #expect(table.masqueradeInterface(id) == InterfaceIndex(rawValue: 3))
        #expect(table.delete(id, now: seconds(0)))
        #expect(!table.delete(id, now: seconds(0)))
        table.expire(now: seconds(0))
        #expect(table.mark(id) == 0)
        #expect(table.record(id, now: seconds(0)) == nil)
    }

    @Test("masqueraded connections go with their interface, or with their address")
    func masqueradeCleanup() {
        let table = ConnectionTable(capacity: 16, seed: 1)
        let wan = InterfaceIndex(rawValue: 7)
        for number in 0..<6 {
            var frame = Frame.udp(Flow(UInt16(1000 + number)))
            let address = number < 3 ? gateway : IPv4Address(192, 0, 2, 2)
            let tracked = table.forward(&frame, at: seconds(0), snat: NATRange(address))
            if number != 0 { table.setMasqueradeInterface(tracked.connection!, wan) }
        }
        let byAddress = table.deleteMasqueraded(
            interface: wan, address: gateway, from: 0, limit: 100, now: seconds(0))
        #expect(byAddress.deleted == 2)
        #expect(byAddress.next == nil)
        let byInterface = table.deleteMasqueraded(
            interface: wan, address: nil, from: 0, limit: 4, now: seconds(0))
        #expect(byInterface.deleted == 1)
        #expect(byInterface.next == 4)
        #expect(table.count == 3)
    }

    @Test("a walk in slices visits every entry once")
    func slices() {
        let table = ConnectionTable(capacity: 100, seed: 1)
        for port in UInt16(1)...50 { table.pass(.udp(Flow(port)), at: seconds(0)) }
        var seen: [UInt16] = []
        var cursor: UInt32? = 0
        while let from = cursor {
            cursor = table.forEach(from: from, limit: 7, now: seconds(0)) {
                seen.append($0.original.sourcePort.rawValue)
            }
        }
        #expect(seen.sorted() == Array(1...50))
        table.flush(now: seconds(0))
        #expect(table.count == 0)
        #expect(table.forEach(from: 0, limit: 1000, now: seconds(0)) { _ in } == nil)
    }

    @Test("events tell what a packet did, once per packet, and a full ring counts its losses")
    func events() {
        let table = ConnectionTable(capacity: 16, seed: 1)
        table.pass(.udp(Flow(9)), at: seconds(0))
        #expect(table.nextEvent() == nil, "nobody listens")
        table.listen(capacity: 4)
        table.pass(.tcp(Flow(), .syn, seq: 100), at: seconds(0))
        table.pass(.tcp(Flow().back, [.syn, .ack], seq: 9, ack: 101), at: seconds(0))
        table.pass(.tcp(Flow(), .ack, seq: 101, ack: 10), at: seconds(0))
        table.pass(.tcp(Flow(), .ack, seq: 101, ack: 10, data: 5), at: seconds(0))
        var events: [ConnectionEvent] = []
        while let event = table.nextEvent() { events.append(event) }
        #expect(events.map(\.kind) == [.new, .update, .update])
        #expect(events.map(\.record.tcpState) == [.synSent, .synRecv, .established])
        table.flush(now: seconds(1))
        #expect(table.nextEvent()?.kind == .destroy)
        for port in UInt16(1)...9 { table.pass(.udp(Flow(port)), at: seconds(2)) }
        #expect(table.eventsLost > 0)
    }

    @Test("a confirmed TCP connection that the node resets is closed, and says so once")
    func closed() throws {
        let table = ConnectionTable(capacity: 16, seed: 1)
        table.listen(capacity: 8)
        table.pass(.tcp(Flow(), .syn, seq: 100), at: seconds(0))
        table.pass(.tcp(Flow().back, [.syn, .ack], seq: 9, ack: 101), at: seconds(0))
        var tracked = table.pass(.tcp(Flow(), .ack, seq: 101, ack: 10), at: seconds(0))
        while table.nextEvent() != nil {}
        let id = try #require(tracked.connection)
        table.close(id, now: seconds(1))
        table.close(id, now: seconds(5))
        #expect(table.tcpState(id) == .close)
        #expect(table.nextEvent() == nil, "the reset may still be dropped")
        _ = table.confirm(&tracked, now: seconds(1))
        let event = try #require(table.nextEvent())
        #expect(event.kind == .update)
        #expect(event.record.tcpState == .close)
        table.expire(now: seconds(10.5))
        #expect(table.count == 1)
        table.expire(now: seconds(11.5))
        #expect(table.count == 0)
        #expect(table.nextEvent()?.kind == .destroy)
    }

    @Test("what the node resets before it is confirmed, or without TCP, stays as it is")
    func notClosed() throws {
        let table = ConnectionTable(capacity: 16, seed: 1)
        let opening = try #require(table.track(.tcp(Flow(), .syn), at: seconds(0)).connection)
        table.close(opening, now: seconds(0))
        #expect(table.tcpState(opening) == .synSent)
        let datagram = try #require(table.pass(.udp(Flow(9)), at: seconds(0)).connection)
        table.close(datagram, now: seconds(0))
        #expect(table.timeout(datagram, now: seconds(0)) == Seconds(30))
    }

    @Test("two packets of one UDP flow that race are one connection")
    func clash() {
        let table = ConnectionTable(capacity: 4, seed: 1)
        var one = table.track(.udp(Flow()), at: seconds(0))
        var two = table.track(.udp(Flow()), at: seconds(0))
        #expect(one.connection != two.connection)
        #expect(table.confirm(&one, now: seconds(0)) == nil)
        #expect(table.confirm(&two, now: seconds(0)) == nil)
        #expect(two.connection == one.connection)
        #expect(table.statistics.clashResolve == 1)
        #expect(table.count == 1)
        // TCP does not resolve: the second packet is sent again.
        var first = table.track(.tcp(Flow(), .syn), at: seconds(0))
        var second = table.track(.tcp(Flow(), .syn), at: seconds(0))
        #expect(table.confirm(&first, now: seconds(0)) == nil)
        #expect(table.confirm(&second, now: seconds(0)) == .confirmClash)
    }

    @Test("the same seed gives the same table")
    func deterministic() {
        func run() -> [ConnectionRecord] {
            let table = ConnectionTable(capacity: 64, seed: 77)
            for number in 0..<40 {
                var frame = Frame.udp(
                    Flow(from: (IPv4Address(10, 1, 0, UInt8(number)), 5000), to: (server, 53)))
                _ = table.forward(&frame, at: seconds(Double(number)), snat: NATRange(gateway))
            }
            var records: [ConnectionRecord] = []
            _ = table.forEach(from: 0, limit: 64, now: seconds(40)) { records.append($0) }
            return records
        }
        #expect(run() == run())
    }
}
