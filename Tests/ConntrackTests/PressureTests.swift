import CAllocationCount
import Testing
import Wire

@testable import Conntrack

private func establish(_ table: ConnectionTable, _ port: UInt16, at now: Timestamp) {
    table.pass(.tcp(Flow(port), .syn, seq: 100), at: now)
    table.pass(.tcp(Flow(port).back, [.syn, .ack], seq: 900, ack: 101), at: now)
    table.pass(.tcp(Flow(port), .ack, seq: 101, ack: 901), at: now)
}

@Suite("A full table")
struct PressureTests {
    @Test("1,000 entries under 100,000 SYNs: established connections keep flowing")
    func flood() {
        let table = ConnectionTable(capacity: 1000, seed: 5)
        let ports = UInt16(1)...500
        for port in ports { establish(table, port, at: seconds(0)) }
        var outcomes: [DropReason?: Int] = [:]
        var random = SeededRandom(seed: 6)
        for number in 0..<100_000 {
            let now = seconds(1 + Double(number) * 0.0001)
            let from = IPv4Address(rawValue: UInt32(truncatingIfNeeded: random.next()))
            let syn = Frame.tcp(Flow(from: (from, 1234), to: (server, 80)), .syn)
            outcomes[table.pass(syn, at: now).drop, default: 0] += 1
            #expect(table.count <= 1000)
            if number % 1000 == 0 {
                table.expire(now: now)
                let port = UInt16(1 + number / 1000)
                let data = table.pass(
                    .tcp(Flow(port), .ack, seq: 101, ack: 901, data: 10), at: now)
                #expect(data.state == .established)
            }
        }
        #expect(outcomes.values.reduce(0, +) == 100_000)
        #expect(Set(outcomes.keys).isSubset(of: [nil, .tableFull]))
        #expect(UInt64(outcomes[.tableFull] ?? 0) == table.statistics.tableFull)
        #expect(table.statistics.drop == table.statistics.tableFull)
        #expect(table.statistics.earlyDrop > 50_000)
        for port in ports {
            let (id, _) = table.find(Tuple(client, port, server, 80, .tcp), now: seconds(20))!
            #expect(table.tcpState(id) == .established)
        }
    }

    @Test("a table full of established connections refuses, and evicts none of them")
    func established() {
        let table = ConnectionTable(capacity: 100, seed: 5)
        for port in UInt16(1)...100 { establish(table, port, at: seconds(0)) }
        let refused = table.pass(.tcp(Flow(500), .syn), at: seconds(1))
        #expect(refused.drop == .tableFull)
        #expect(refused.connection == nil)
        #expect(table.peek(.tcp(Flow(500), .syn), at: seconds(1)).drop == .tableFull)
        table.expire(now: seconds(1))
        #expect(table.count == 100)
        #expect(table.statistics.collected == 0)
    }

    @Test("from 95 % on, closing connections make room after a refusal")
    func closing() {
        let table = ConnectionTable(capacity: 100, seed: 5)
        for port in UInt16(1)...100 { establish(table, port, at: seconds(0)) }
        for port in UInt16(1)...20 {
            table.pass(.tcp(Flow(port), [.fin, .ack], seq: 101, ack: 901), at: seconds(1))
        }
        #expect(table.pass(.tcp(Flow(500), .syn), at: seconds(2)).drop == .tableFull)
        table.expire(now: seconds(2))
        #expect(table.count == 94)
        #expect(table.statistics.collected == 6)
        #expect(table.pass(.tcp(Flow(500), .syn), at: seconds(2)).drop == nil)
        // Below 95 % the rest may finish closing.
        table.expire(now: seconds(3))
        #expect(table.count == 95)
        for port in UInt16(21)...100 {
            let (id, _) = table.find(Tuple(client, port, server, 80, .tcp), now: seconds(3))!
            #expect(table.tcpState(id) == .established)
        }
    }

    @Test(
        "a packet of an established connection allocates nothing",
        .enabled(if: sluice_counts_allocations(), "a sanitizer owns malloc"))
    func allocations() {
        let table = ConnectionTable(capacity: 1000, seed: 5)
        establish(table, 1, at: seconds(0))
        let there = Frame.tcp(Flow(1), .ack, seq: 101, ack: 901, data: 100)
        let back = Frame.tcp(Flow(1).back, .ack, seq: 901, ack: 201)
        let (thereView, backView) = (there.view, back.view)
        func pass(_ frame: Frame, _ view: PacketView, _ now: Timestamp) {
            var tracked = table.track(
                frame.bytes.span.bytes, view, offload: .none, verifyChecksum: true, now: now)
            _ = table.confirm(&tracked, now: now)
        }
        // The first packets set up what the runtime sets up once.
        for _ in 0..<2 { pass(there, thereView, seconds(1)) }
        pass(back, backView, seconds(1))
        let before = sluice_allocation_count()
        for number in 0..<1000 {
            let now = seconds(1 + Double(number) * 0.001)
            pass(there, thereView, now)
            pass(back, backView, now)
        }
        #expect(sluice_allocation_count() - before == 0)
    }
}
