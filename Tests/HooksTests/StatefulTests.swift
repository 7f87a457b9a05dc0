import Conntrack
import Hooks
import NodeFixture
import Routing
import Ruleset
import Testing
import Wire

@Suite("Matches and targets that know packets before")
struct StatefulTests {
    private func mark(_ value: UInt32, _ mask: UInt32 = .max) -> Match {
        .connmark(Invertible(MarkTest(value: value, mask: mask)))
    }

    private func setMark(_ value: UInt32) -> Target {
        .connmark(ConnmarkTarget(.set(value: value)))
    }

    // MARK: limit

    @Test("limit lets the burst through, then one packet each period")
    func limit() {
        var here = Node {
            $0.add(
                .filter, "FORWARD",
                matches: [.limit(LimitMatch(rate: 2, unit: 1, burst: 3))], .accept)
            $0.add(.filter, "FORWARD", .drop)
        }
        func passes(_ milliseconds: UInt64) -> Bool {
            // `handle` moves the clock by a millisecond first.
            here.time = 4_999_000_000 + milliseconds * 1_000_000
            return here.handle(segment(client, 1, blue, 80), on: eth0).disposition
                != .drop(.rule)
        }
        #expect([0, 0, 0, 0, 499].map(passes) == [true, true, true, false, false])
        #expect([500, 500, 999, 1000].map(passes) == [true, false, false, true])
        #expect([9000, 9000, 9000, 9000].map(passes) == [true, true, true, false])
    }

    @Test(
        "a rule keeps what its limit has left while rules around it change, and explains for free")
    func keepsLimit() {
        var here = Node {
            $0.add(
                .filter, "FORWARD", matches: [.limit(LimitMatch(rate: 1, unit: 3600, burst: 2))],
                .accept)
            $0.add(.filter, "FORWARD", .drop)
        }
        func passes() -> Bool {
            here.handle(segment(client, 1, blue, 80), on: eth0).disposition != .drop(.rule)
        }
        for _ in 0..<5 {
            #expect(
                here.handle(segment(client, 1, blue, 80), on: eth0, dryRun: true).disposition
                    != .drop(.rule))
        }
        #expect(passes())
        here.add(.filter, "FORWARD", .accept)
        here.install()
        #expect([passes(), passes()] == [true, false])
        #expect(
            here.handle(segment(client, 1, blue, 80), on: eth0, dryRun: true).disposition
                == .drop(.rule))
    }

    // MARK: connection marks

    @Test("a connection's mark is set, matched, saved and restored under masks and shifts")
    func marks() {
        var here = Node {
            $0.add(.mangle, "PREROUTING", .mark(MarkTarget(value: 0x12_3456)))
            $0.add(
                .mangle, "PREROUTING",
                .connmark(ConnmarkTarget(.save, connectionMask: 0xFF, packetMask: 0xFFF)))
            $0.add(.mangle, "FORWARD", matches: [mark(0x456)], .none)
            $0.add(.mangle, "FORWARD", .connmark(ConnmarkTarget(.set(value: 1), shift: 4)))
            $0.add(.mangle, "FORWARD", matches: [mark(0x10)], .none)
            $0.add(
                .mangle, "FORWARD",
                .connmark(
                    ConnmarkTarget(.restore, connectionMask: 0xF0, packetMask: 0xF, shift: -4)))
        }
        let sent = here.handle(segment(client, 1, blue, 80), on: eth0)
        #expect(here.counters(.mangle, "FORWARD") == [1, 1, 1, 1])
        #expect(sent.packet.mark == 0x12_3451)
        #expect(here.engine.connections.mark(sent.packet.tracked.connection!) == 0x10)
    }

    @Test("a dry run sees the mark it would set and leaves the connection's as it is")
    func dryMarks() {
        var here = Node {
            $0.add(.mangle, "FORWARD", matches: [mark(7)], .drop)
            $0.add(.mangle, "PREROUTING", matches: [port(81)], setMark(7)) {
                $0.protocol = Invertible(.tcp)
            }
        }
        let opened = here.handle(segment(client, 1, blue, 81), on: eth0)
        #expect(opened.disposition == .drop(.rule))
        #expect(
            here.handle(segment(client, 1, blue, 81), on: eth0, dryRun: true).disposition
                == .drop(.rule))
        here.add(.mangle, "PREROUTING", setMark(7))
        here.install()
        let first = here.handle(segment(client, 2, blue, 82), on: eth0)
        #expect(first.disposition == .drop(.rule))
    }

    @Test("without a connection neither a mark nor its opposite matches")
    func noConnection() {
        var here = Node {
            $0.add(.raw, "PREROUTING", .notrack)
            $0.add(.filter, "FORWARD", matches: [mark(0)], .drop)
            $0.add(
                .filter, "FORWARD",
                matches: [.connmark(Invertible(MarkTest(value: 9), inverted: true))], .drop)
        }
        let sent = here.handle(segment(client, 1, blue, 80), on: eth0)
        #expect(sent.packet.tracked.state == .untracked)
        #expect(here.counters(.filter, "FORWARD") == [0, 0])
    }

    // MARK: zones

    private func zone(_ number: UInt16, _ directions: CTTarget.Directions = .both) -> Target {
        .ct(CTTarget(zone: .number(number), directions: directions))
    }

    @Test("the same tuple in two zones is two connections")
    func zones() {
        var here = Node {
            $0.add(.raw, "PREROUTING", zone(1)) {
                $0.inInterface = InterfaceMatch(name: "eth0")
            }
            $0.add(.filter, "FORWARD", matches: [.state(Invertible(.established))], .none)
        }
        let sample = segment(client, 1, blue, 80)
        #expect(here.handle(sample, on: eth0).packet.tracked.state == .new)
        let other = here.handle(sample, on: br0).packet.tracked
        #expect(other.state == .new && other.created)
        #expect(here.engine.connections.count == 2)
    }

    @Test("a zone of the original direction alone is found by replies without a zone")
    func oneDirection() {
        var here = Node {
            $0.add(.raw, "PREROUTING", zone(4, .original)) {
                $0.inInterface = InterfaceMatch(name: "eth0")
            }
        }
        let opened = here.handle(segment(client, 1, blue, 80), on: eth0).packet.tracked
        #expect(
            here.engine.connections.zone(opened.connection!) == Zone(original: 4, reply: 0))
        let reply = here.handle(
            segment(blue, 80, client, 1, flags: [.syn, .ack], acknowledgement: 101), on: br0)
        #expect(reply.packet.tracked.connection == opened.connection)
        #expect(reply.packet.tracked.direction == .reply)
    }

    @Test("the first CT rule counts, and the packet's mark can be the zone")
    func zoneOfMark() {
        var here = Node {
            $0.add(.raw, "PREROUTING", .ct(CTTarget(zone: .mark)))
            $0.add(.raw, "PREROUTING", zone(9))
            $0.add(.raw, "PREROUTING", .mark(MarkTarget(value: 0x3_0007)))
        }
        let opened = here.handle(segment(client, 1, blue, 80), on: eth0).packet.tracked
        #expect(
            here.engine.connections.zone(opened.connection!) == Zone(original: 7, reply: 7))
    }

    @Test("in raw a packet is INVALID, after CT it is NEW, after NOTRACK it is UNTRACKED")
    func statesInRaw() {
        func states(_ target: Target) -> [UInt64] {
            var here = Node {
                $0.add(.raw, "PREROUTING", matches: [.state(Invertible(.invalid))], .none)
                $0.add(.raw, "PREROUTING", target)
                for state in [ConnectionStates.invalid, .new, .untracked] {
                    $0.add(.raw, "PREROUTING", matches: [.state(Invertible(state))], .none)
                }
            }
            here.handle(segment(client, 1, blue, 80), on: eth0)
            return here.counters(.raw, "PREROUTING")
        }
        #expect(states(zone(1)) == [1, 1, 0, 1, 0])
        #expect(states(.notrack) == [1, 1, 0, 0, 1])
        #expect(states(.none) == [1, 1, 1, 0, 0])
    }

    @Test("what needs tracking starts it; NOTRACK alone does not")
    func onDemand() {
        func tracks(_ table: TableName, _ chain: String, _ matches: [Match], _ target: Target)
            -> Bool
        {
            var here = Node { $0.add(table, chain, matches: matches, target) }
            here.handle(segment(client, 1, blue, 80), on: eth0)
            return here.engine.connections.count > 0
        }
        #expect(tracks(.filter, "INPUT", [mark(1)], .none))
        #expect(tracks(.mangle, "INPUT", [], setMark(1)))
        #expect(tracks(.raw, "OUTPUT", [], zone(0)))
        #expect(tracks(.nat, "OUTPUT", [], .netmap(IPv4Network(blue, prefixLength: 24))))
        #expect(!tracks(.raw, "OUTPUT", [], .notrack))
        #expect(!tracks(.raw, "OUTPUT", [], .ct(CTTarget(notrack: true, zone: .number(3)))))
        #expect(!tracks(.filter, "INPUT", [.limit(LimitMatch(rate: 1, unit: 1))], .none))
    }

    @Test("only the events that CT names are reported")
    func events() {
        var here = Node {
            $0.add(.raw, "PREROUTING", .ct(CTTarget(events: CTTarget.Events(rawValue: 0b1000))))
        }
        here.engine.connections.listen(capacity: 16)
        here.handle(segment(client, 1, blue, 80), on: eth0)
        #expect(here.engine.connections.nextEvent() == nil)
        here.handle(
            segment(blue, 80, client, 1, flags: [.syn, .ack], acknowledgement: 101), on: br0)
        #expect(here.engine.connections.nextEvent()?.kind == .update)
        here.engine.connections.flush(now: Timestamp(nanoseconds: here.time))
        #expect(here.engine.connections.nextEvent() == nil)
    }

    // MARK: NETMAP

    @Test("NETMAP maps the destination on the way in and the source on the way out, host by host")
    func netmap() {
        var here = Node {
            $0.add(
                .nat, "PREROUTING",
                .netmap(IPv4Network(blue, prefixLength: 24))
            ) {
                $0.destination = AddressMatch(
                    IPv4Network(IPv4Address(10, 99, 0, 0), prefixLength: 24))
            }
            $0.add(
                .nat, "POSTROUTING",
                .netmap(IPv4Network(IPv4Address(10, 88, 0, 0), prefixLength: 16)))
        }
        let target = IPv4Address(rawValue: 10 << 24 | 99 << 16 | blue.rawValue & 0xFF)
        let sent = here.handle(segment(client, 1, target, 80), on: eth0)
        #expect(sent.view.destination == blue)
        #expect(
            sent.view.source
                == IPv4Address(rawValue: 10 << 24 | 88 << 16 | client.rawValue & 0xFFFF))
    }
}
