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

    // MARK: recent

    /// Whether a packet is dropped by the one rule in FORWARD, at a time in milliseconds.
    private func dropped(
        _ here: inout Node, at milliseconds: UInt64, from source: IPv4Address = client,
        port: UInt16 = 80, dryRun: Bool = false
    ) -> Bool {
        here.time = 10_000_000_000 + milliseconds * 1_000_000 - 1_000_000
        return here.handle(segment(source, 1, blue, port), on: eth0, dryRun: dryRun).disposition
            == .drop(.rule)
    }

    @Test("recent finds an address for as long as it was asked to, and knocks open a port")
    func recent() {
        var here = Node {
            $0.add(
                .filter, "FORWARD",
                matches: [port(81), .recent(RecentMatch(.set, name: "knock"))], .none
            ) { $0.protocol = Invertible(.tcp) }
            $0.add(
                .filter, "FORWARD",
                matches: [.recent(RecentMatch(.check, seconds: 10, name: "knock"))],
                .accept)
            $0.add(.filter, "FORWARD", .drop)
        }
        #expect(dropped(&here, at: 0))
        #expect(!dropped(&here, at: 100, port: 81))
        #expect(!dropped(&here, at: 10_000))
        #expect(!dropped(&here, at: 10_100))
        #expect(dropped(&here, at: 10_104))
        #expect(dropped(&here, at: 200, from: IPv4Address(192, 0, 2, 9)))
    }

    @Test("recent counts hits within the seconds; an update that matches is a hit too")
    func recentHits() {
        var here = Node {
            $0.add(
                .filter, "FORWARD",
                matches: [.recent(RecentMatch(.update, seconds: 60, hitCount: 3))], .drop)
            $0.add(.filter, "FORWARD", matches: [.recent(RecentMatch(.set))], .none)
        }
        #expect([0, 1000, 2000].map { dropped(&here, at: $0) } == [false, false, false])
        #expect(dropped(&here, at: 3000, dryRun: true))
        #expect(dropped(&here, at: 3000))
        // Four times are kept: that of 3000 is the fourth, and those of 1000 and 2000 are too old.
        #expect(dropped(&here, at: 61_000))
        #expect(!dropped(&here, at: 200_000))
    }

    @Test("a list holds a hundred addresses and forgets the one seen longest ago")
    func recentCapacity() {
        var here = Node {
            $0.add(.filter, "FORWARD", matches: [.recent(RecentMatch(.check))], .drop)
            $0.add(.filter, "FORWARD", matches: [.recent(RecentMatch(.set))], .none)
        }
        func address(_ number: Int) -> IPv4Address { IPv4Address(192, 0, 2, UInt8(2 + number)) }
        for number in 0...100 { _ = dropped(&here, at: UInt64(number), from: address(number)) }
        #expect(dropped(&here, at: 200, from: address(1)))
        #expect(dropped(&here, at: 200, from: address(100)))
        #expect(!dropped(&here, at: 200, from: address(0)))
        #expect(here.engine.recentList("DEFAULT")?.split(separator: "\n").count == 100)
    }

    @Test("--remove takes an address out, --reap the oldest one that is too old")
    func recentRemoval() {
        var here = Node {
            $0.add(
                .filter, "FORWARD", matches: [port(90), .recent(RecentMatch(.remove))], .drop
            ) { $0.protocol = Invertible(.tcp) }
            $0.add(
                .filter, "FORWARD",
                matches: [port(91), .recent(RecentMatch(.check, seconds: 5, reaps: true))], .drop
            ) { $0.protocol = Invertible(.tcp) }
            $0.add(.filter, "FORWARD", matches: [port(80), .recent(RecentMatch(.set))], .none) {
                $0.protocol = Invertible(.tcp)
            }
        }
        let other = IPv4Address(192, 0, 2, 50)
        _ = dropped(&here, at: 0)
        _ = dropped(&here, at: 9000, from: other)
        #expect(here.engine.recentList("DEFAULT")?.split(separator: "\n").count == 2)
        #expect(dropped(&here, at: 10_000, from: other, port: 91))
        #expect(here.engine.recentList("DEFAULT")?.hasPrefix("src=192.0.2.50 ttl: 64") == true)
        #expect(dropped(&here, at: 10_000, from: other, port: 90))
        #expect(!dropped(&here, at: 10_000, from: other, port: 90))
        #expect(here.engine.recentList("DEFAULT") == "")
    }

    @Test("a list lives while a rule names it, and reads as the kernel's does")
    func recentText() {
        var here = Node {
            $0.add(
                .filter, "FORWARD",
                matches: [.recent(RecentMatch(.set, name: "a long name of a list"))],
                .none)
        }
        _ = dropped(&here, at: 0)
        here.add(.filter, "FORWARD", .none)
        here.install()
        _ = dropped(&here, at: 8)
        #expect(here.engine.recentLists == ["a long name of a list"])
        // Ten seconds are 2500 ticks; the kernel boots five minutes before 32 bits overflow. The list's
        // TTL is the one that the packet came with.
        #expect(
            here.engine.recentList("a long name of a list")
                == "src=192.0.2.2 ttl: 64 last_seen: 4294894798 oldest_pkt: 2 4294894796, 4294894798\n"
        )
        here.ruleset = Ruleset()
        here.install()
        #expect(here.engine.recentLists.isEmpty)
    }

    @Test("the mask of a list is that of the rule that made it, whatever others say")
    func recentMask() {
        let mask: UInt32 = 0xFFFF_0000
        var here = Node {
            $0.add(.filter, "FORWARD", matches: [.recent(RecentMatch(.set))], .none)
            $0.add(.mangle, "FORWARD", matches: [.recent(RecentMatch(.check, mask: mask))], .drop)
        }
        let neighbour = IPv4Address(rawValue: client.rawValue ^ 1)
        #expect(!dropped(&here, at: 0))
        #expect(dropped(&here, at: 1))
        #expect(!dropped(&here, at: 2, from: neighbour))
        #expect(here.engine.recentList("DEFAULT")?.split(separator: "\n").count == 2)
    }

    @Test("a REJECT rule's reset is taken for a forwarded packet: its TTL counts one more")
    func recentReset() {
        let here = Node {
            $0.add(
                .filter, "OUTPUT", matches: [.recent(RecentMatch(.set, side: .destination))], .none)
        }
        var bytes = segment(node, 80, client, 1, flags: .rst)
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        guard case .packet(let view) = PacketView.parse(raw.bytes) else {
            Issue.record("the reset does not parse")
            return
        }
        var packet = Packet(view: view)
        packet.answers = Tracked(state: .invalid)
        _ = here.engine.send(&raw, &packet, now: Timestamp(nanoseconds: here.time))
        #expect(here.engine.recentList("DEFAULT")?.contains(" ttl: 65 ") == true)
    }

    // MARK: hashlimit

    private func flows(_ keys: HashlimitMatch.Keys, above: Bool = false) -> HashlimitMatch {
        HashlimitMatch(name: "flows", keys: keys, above: above, average: 500_000, burst: 2)
    }

    @Test("hashlimit gives each flow its own burst and rate")
    func hashlimit() {
        var here = Node {
            $0.add(
                .filter, "FORWARD", matches: [.hashlimit(flows([.source], above: true))], .drop)
        }
        let other = IPv4Address(192, 0, 2, 9)
        #expect([0, 0, 0].map { dropped(&here, at: $0) } == [false, false, true])
        #expect([0, 0, 0].map { dropped(&here, at: $0, from: other) } == [false, false, true])
        #expect(!dropped(&here, at: 500, dryRun: true))
        #expect([500, 500].map { dropped(&here, at: $0) } == [false, true])
        // Idle for longer than its expiry, the flow is new again once the collector has run.
        #expect([2100, 2100, 2100].map { dropped(&here, at: $0) } == [false, false, true])
    }

    @Test("rules that name one table share it, and it survives an edit")
    func hashlimitShared() {
        var here = Node {
            $0.add(.mangle, "FORWARD", matches: [.hashlimit(flows([.source]))], .none)
            $0.add(
                .filter, "FORWARD", matches: [.hashlimit(flows([.source], above: true))], .drop)
        }
        #expect(!dropped(&here, at: 0))
        here.add(
            .filter, "OUTPUT", matches: [.hashlimit(HashlimitMatch(name: "a", average: 1))], .none)
        here.install()
        #expect(dropped(&here, at: 0))
    }

    @Test("a full table drops the packet of a flow that has no place")
    func hashlimitFull() {
        var match = HashlimitMatch(name: "small", keys: [.source], average: 1000)
        match.size = 2
        match.most = 2
        var here = Node { $0.add(.filter, "FORWARD", matches: [.hashlimit(match)], .none) }
        func disposition(_ host: UInt8) -> Disposition {
            here.handle(segment(IPv4Address(192, 0, 2, host), 1, blue, 80), on: eth0).disposition
        }
        for host in [UInt8(2), 3, 2] { #expect(disposition(host) != .drop(.malformedTransport)) }
        #expect(disposition(4) == .drop(.malformedTransport))
    }

    // MARK: connlimit

    @Test("connlimit counts the connections of a network that live, and rejects one too many")
    func connlimit() {
        var here = Node {
            $0.add(
                .filter, "FORWARD",
                matches: [.connlimit(ConnlimitMatch(limit: 2, prefixLength: 24))], .drop
            ) { $0.inInterface = InterfaceMatch(name: "eth0") }
        }
        func opens(_ port: UInt16, at milliseconds: UInt64) -> Bool {
            here.time = 10_000_000_000 + milliseconds * 1_000_000
            return here.handle(segment(client, port, blue, 80), on: eth0).disposition
                != .drop(.rule)
        }
        #expect(opens(1, at: 0) && opens(2, at: 10))
        #expect(opens(2, at: 20))
        #expect(!opens(3, at: 30) && !opens(4, at: 40))
        // The refusal of one ends it.
        here.handle(
            segment(blue, 80, client, 1, flags: [.rst, .ack], acknowledgement: 101), on: br0)
        #expect(opens(5, at: 60))
        #expect(!opens(6, at: 70))
    }

    @Test("a network whose connections are over drops what they still send, until another begins")
    func connlimitEmpty() {
        var here = Node {
            $0.add(
                .filter, "FORWARD", matches: [.connlimit(ConnlimitMatch(limit: 9))], .none
            ) { $0.inInterface = InterfaceMatch(name: "eth0") }
        }
        func sends(_ port: UInt16, _ flags: TCPFlags, _ sequence: UInt32) -> Disposition {
            // The next tick: what is over is looked for once in each.
            here.time += 8_000_000
            return here.handle(
                segment(
                    client, port, blue, 80, flags: flags, sequence: sequence, acknowledgement: 101),
                on: eth0
            ).disposition
        }
        func isDropped(_ disposition: Disposition) -> Bool {
            if case .drop = disposition { true } else { false }
        }
        #expect(!isDropped(sends(1, .syn, 100)))
        here.handle(
            segment(blue, 80, client, 1, flags: [.syn, .ack], acknowledgement: 101), on: br0)
        #expect(!isDropped(sends(1, .ack, 101)))
        #expect(isDropped(sends(1, [.rst, .ack], 101)))
        #expect(isDropped(sends(1, [.rst, .ack], 101)))
        #expect(!isDropped(sends(2, .syn, 100)))
        #expect(!isDropped(sends(1, [.rst, .ack], 101)))
    }

    // MARK: NFLOG

    @Test("NFLOG hands the packet over as it is then, and lets it go on")
    func nflog() {
        var here = Node {
            $0.add(.mangle, "FORWARD", .nflog(NFLogTarget(group: 7, prefix: "x", size: 20)))
            $0.add(.filter, "FORWARD", .drop)
        }
        var seen: [(UInt16, UInt8)] = []
        here.engine.onPacketLog = { record, bytes in
            seen.append((record.log.group, bytes.u8(record.packet.view.networkOffset + 8)))
        }
        #expect(
            here.handle(segment(client, 1, blue, 80), on: eth0).disposition == .drop(.rule))
        here.handle(segment(client, 1, blue, 80), on: eth0, dryRun: true)
        #expect(seen.count == 1 && seen.first?.0 == 7 && seen.first?.1 == 63)
    }
}
