import CLinux
import Foundation
import Glibc
import NamespaceFixture
import Testing
import Wire

@testable import Conntrack

private let nodeLeft = IPv4Address(10, 1, 0, 1)
private let nodeRight = IPv4Address(10, 2, 0, 1)

/// The kernel and a table that see the same frames at the same time.
///
/// An entry's seconds are compared at once after the packet that set them, against how long that took,
/// so that a slow machine makes the comparison wider, never wrong. What takes longer than `patience` would
/// let entries end between two packets, on one side perhaps a moment before the other: it is done again.
private final class Twin {
    let kernel: KernelTracker
    let table = ConnectionTable(capacity: 4096, seed: 1)
    private let begin = sluice_tick_clock()

    static let patience: UInt64 = 5_000_000_000

    init(nat: [String] = []) throws { kernel = try KernelTracker(nat: nat) }

    var now: Timestamp { Timestamp(nanoseconds: sluice_tick_clock() - begin) }

    /// Sends a frame through both; complaints about what differs.
    func step(_ frame: Frame, _ side: KernelTracker.Side) throws -> [String] {
        let start = now
        let seen = try kernel.send(frame, on: side)
        var mine = frame
        let tracked = table.forward(&mine, at: start)
        var complaints: [String] = []
        if seen.state != tracked.state {
            complaints.append(
                "rules see \(tracked.state), on the kernel \(seen.state.map { "\($0)" } ?? "nothing")"
            )
        }
        guard let tuple = Tuple(frame.view), [.tcp, .udp].contains(tuple.protocol) else {
            return complaints
        }
        let theirs = try kernel.entry(tuple)
        let ours = table.find(tuple, now: start).flatMap { table.record($0.0, now: start) }
        let late = 1 + (now.nanoseconds - start.nanoseconds) / 1_000_000_000
        complaints += Self.compare(ours, theirs, late: UInt32(late))
        if let ours, let theirs, tuple.protocol == .tcp {
            let tcp = table.storage[ours.connection.index].tcp
            let mine = [tcp.originalEnd, tcp.replyEnd].map(TCPScript.EndMarks.init)
            let other = [theirs.originalEnd, theirs.replyEnd]
            if mine != other { complaints.append("ends \(mine), on the kernel \(other)") }
        }
        return complaints
    }

    /// Other settings for both: every switch, and timeouts that tell which of them was taken.
    func changeSettings(_ random: inout SeededRandom) throws {
        for setting in ConntrackSettings.named where setting.name.contains("_tcp_") {
            let value: UInt64 =
                if setting.name.contains("_timeout_") {
                    20 + random.next() % 1000
                } else if setting.name.hasSuffix("_max_retrans") {
                    random.next() % 5
                } else {
                    random.next() % 2
                }
            try kernel.set(setting.name, "\(value)")
            try setting.write("\(value)", to: &table.settings)
        }
    }

    /// All entries of both, by their tuples. Their seconds are left to `step`.
    func compareAll() throws -> [String] {
        var ours: [Tuple: ConnectionRecord] = [:]
        _ = table.forEach(from: 0, limit: table.capacity, now: now) { ours[$0.original] = $0 }
        var complaints: [String] = []
        for theirs in try kernel.entries() {
            complaints += Self.compare(
                ours.removeValue(forKey: theirs.original), theirs, late: .max)
        }
        return complaints + ours.values.map { "only the table has \($0)" }
    }

    /// What `conntrack -S` counts, but for search_restart and chaintoolong, which are the hash table's own.
    func compareStatistics() throws {
        var ours = table.statistics
        ours.expired = 0
        #expect(ours == (try kernel.statistics()))
    }

    private static func compare(
        _ ours: ConnectionRecord?, _ theirs: KernelEntry?, late: UInt32
    ) -> [String] {
        // Without rules in the nat table the kernel makes no bindings, and so no null bindings either.
        let bindings: ConnectionStatus = [.sourceNATDone, .destinationNATDone]
        guard let ours, let theirs else {
            if ours == nil, theirs == nil { return [] }
            return ["only \(ours == nil ? "the kernel" : "the table") has an entry"]
        }
        var complaints: [String] = []
        func expect<Value: Equatable>(_ ours: Value, _ theirs: Value, _ what: String) {
            if ours != theirs { complaints.append("\(what) \(ours), on the kernel \(theirs)") }
        }
        expect(ours.original, theirs.original, "original tuple")
        expect(ours.reply, theirs.reply, "reply tuple")
        expect(ours.status.subtracting(bindings), theirs.status.subtracting(bindings), "status")
        expect(ours.tcpState, theirs.tcpState, "state")
        let (mine, other) = (ours.timeout.rawValue, theirs.timeout)
        if (mine > other ? mine - other : other - mine) > late { expect(mine, other, "timeout") }
        return complaints
    }
}

@Suite("The kernel beside the table", .serialized)
struct KernelAgreementTests {
    @Test(
        "random TCP conversations pass the same states with the same timeouts",
        .enabled(if: canAskKernel, needsKernel))
    func tcp() throws {
        let twin = try Twin()
        let seed = UInt64.random(in: 0 ... .max)
        print("random TCP conversations: seed \(seed)")
        var random = SeededRandom(seed: seed)
        var heldUp = 0
        var port: UInt16 = 1000
        for number in 0..<1000 {
            // The first of them under the default settings.
            if number % 50 == 49 { try twin.changeSettings(&random) }
            var script = RandomConversation(port: port, random: random)
            let start = twin.now
            var complaints: [String] = []
            for index in 0..<16 where complaints.isEmpty {
                let (frame, side, note) = script.next()
                complaints = try twin.step(frame, side).map {
                    "conversation \(number), segment \(index), \(note): \($0)"
                }
            }
            random = script.random
            port += 1
            guard twin.now.nanoseconds - start.nanoseconds < Twin.patience else {
                heldUp += 1
                continue
            }
            #expect(complaints.isEmpty, "seed \(seed): \(complaints.joined(separator: "\n"))")
        }
        #expect(heldUp < 1000, "no conversation took less than five seconds")
        if heldUp == 0 { try twin.compareStatistics() }
    }

    @Test("UDP, ICMP and rubbish are judged alike", .enabled(if: canAskKernel, needsKernel))
    func others() throws {
        let twin = try Twin()
        let flow = Flow(7000, to: 53)
        let question = Frame.udp(flow)
        var badChecksum = Frame.udp(Flow(7001, to: 53))
        badChecksum.bytes[40] ^= 1
        var badLength = Frame.udp(Flow(7002, to: 53), checksum: false)
        badLength.bytes[39] = 200
        let ping = Frame.icmp(client, server, type: 8, id: 77)
        let frames: [(Frame, KernelTracker.Side, String)] = [
            (question, .left, "question"),
            (question.error(from: server, type: 3, code: 3), .right, "port unreachable"),
            (.udp(flow.back), .right, "answer"), (question, .left, "second question"),
            (badChecksum, .left, "bad checksum"), (badLength, .left, "bad length"),
            (.udp(Flow(7003, to: 53), checksum: false), .left, "no checksum"),
            (ping, .left, "ping"), (.icmp(server, client, type: 0, id: 77), .right, "pong"),
            (.icmp(server, client, type: 0, id: 78), .right, "stray pong"),
            (.icmp(client, server, type: 13, id: 5), .left, "timestamp"),
            (.icmp(server, client, type: 14, id: 5), .right, "timestamp reply"),
            (.icmp(client, server, type: 15, id: 5), .left, "information request"),
            (.icmp(client, server, type: 17, id: 6), .left, "address mask"),
            (.icmp(client, server, type: 9), .left, "router advertisement"),
            (.icmp(client, server, type: 18, id: 7), .left, "address mask reply"),
            (.icmp(client, server, type: 19), .left, "first unknown type"),
            (.icmp(client, server, type: 40), .left, "unknown type"),
            (ping.error(from: server, type: 11, code: 0), .right, "time exceeded"),
            (ping.error(from: server, type: 11, quoting: 24), .right, "quotes too little"),
            (ping.error(from: server, type: 4), .right, "source quench"),
            (ping.error(from: server, type: 12), .right, "parameter problem"),
            (ping.error(from: server, to: IPv4Address(10, 1, 0, 3)), .right, "sent astray"),
            (Frame.udp(Flow(1, to: 2)).error(from: server), .right, "about nothing"),
            (.tcp(Flow(7005), [.syn, .fin]), .left, "SYN FIN"),
            (.tcp(Flow(7006), []), .left, "no flags"),
            (
                Frame(client, server, IPProtocol(rawValue: 89), [1, 2, 3, 4], checksumAt: nil),
                .left, "OSPF"
            ),
            (
                Frame(server, client, IPProtocol(rawValue: 89), [1, 2, 3, 4], checksumAt: nil),
                .right, "OSPF, answered"
            ),
        ]
        try twin.kernel.shell("ip neigh add 10.1.0.3 lladdr 02:00:00:00:00:02 dev left")
        for (frame, side, note) in frames {
            let complaints = try twin.step(frame, side)
            #expect(complaints.isEmpty, "\(note): \(complaints.joined(separator: "\n"))")
        }
        #expect(try twin.compareAll() == [])
        try twin.compareStatistics()
    }

    @Test(
        "a translated conversation leaves both with the same bytes and entries",
        .enabled(if: canAskKernel, needsKernel))
    func nat() throws {
        let twin = try Twin(nat: [
            "-A PREROUTING -p tcp -d 10.1.0.1 --dport 8080 -j DNAT --to-destination 10.2.0.2:80",
            "-A PREROUTING -p udp --dport 99 -j DNAT --to-destination 10.2.0.2:5000-5010",
            "-A POSTROUTING -o right -j MASQUERADE",
        ])
        let there = Flow(from: (client, 4000), to: (nodeLeft, 8080))
        let back = Flow(from: (server, 80), to: (nodeRight, 4000))
        let datagram = Flow(from: (client, 4001), to: (IPv4Address(10, 2, 0, 77), 99))
        let syn = Frame.tcp(there, .syn, seq: 100)
        var translatedSyn = syn
        let frames: [(Frame, KernelTracker.Side)] = [
            (syn, .left), (.tcp(back, [.syn, .ack], seq: 900, ack: 101), .right),
            (.tcp(there, .ack, seq: 101, ack: 901, data: 33), .left),
            (.tcp(back, .ack, seq: 901, ack: 134, data: 20), .right),
            (.udp(datagram), .left), (.icmp(client, server, type: 8, id: 9), .left),
            (.icmp(server, nodeRight, type: 0, id: 9), .right),
            (.udp(Flow(4002, to: 53), checksum: false), .left),
        ]
        var quoted: Frame?
        for (index, (frame, side)) in frames.enumerated() {
            let sent = try through(twin, frame, side, "frame \(index)")
            if index == 0 { translatedSyn = sent }
            quoted = sent
        }
        // Errors from the right: about the first SYN, cut short, and about the last datagram.
        for error in [
            translatedSyn.error(from: server, type: 3, code: 4),
            translatedSyn.error(from: server, type: 3, code: 1, quoting: 28),
            quoted!.error(from: server, type: 3, code: 3),
        ] {
            _ = try through(twin, error, .right, "error \(error.view.icmpCode)")
        }
        // And from the left, about what came back.
        let data = Frame.tcp(
            Flow(from: (nodeLeft, 8080), to: (client, 4000)), .ack, seq: 901, ack: 134, data: 20)
        _ = try through(twin, data.error(from: client, type: 3, code: 3), .left, "left error")
        #expect(try twin.compareAll() == [])
        #expect(twin.table.count == 4)
    }

    /// One frame through both; the frame that the kernel sent on, which must be ours to the byte.
    private func through(
        _ twin: Twin, _ frame: Frame, _ side: KernelTracker.Side, _ note: String
    ) throws -> Frame {
        let seen = try twin.kernel.send(frame, on: side)
        let received = try #require(seen.packet, "\(note): the kernel kept it")
        var mine = frame
        let view = frame.view
        let dnat: NATRange? =
            if view.destination == nodeLeft, view.destinationPort == Port(8080) {
                NATRange(server, ports: Port(80)...Port(80))
            } else if view.destinationPort == Port(99) {
                NATRange(server, ports: Port(5000)...Port(5010))
            } else { nil }
        let tracked = twin.table.forward(
            &mine, at: twin.now, dnat: dnat, snat: side == .left ? NATRange(nodeRight) : nil)
        #expect(tracked.state == seen.state, "\(note)")
        mine.decrementTimeToLive()
        #expect(received == Array(mine.bytes[14..<mine.view.end]), "\(note)")
        return mine
    }

    @Test(
        "the events are the same, one per packet, in the same order",
        .enabled(if: canAskKernel, needsKernel))
    func events() throws {
        let twin = try Twin()
        let kernel = try EventListener(in: twin.kernel)
        // The listener is there once it reports a packet.
        var probe: UInt16 = 1
        repeat {
            _ = try twin.kernel.send(.udp(Flow(probe, to: 9)), on: .left)
            probe += 1
        } while !kernel.hasSpoken(milliseconds: 50)
        twin.table.listen(capacity: 64)
        let there = Flow(4000)
        let refused = Flow(4001)
        let frames: [(Frame, KernelTracker.Side)] = [
            (.tcp(there, .syn, seq: 100), .left),
            (.tcp(there, .syn, seq: 100), .left),
            (.tcp(there.back, [.syn, .ack], seq: 900, ack: 101), .right),
            (.tcp(there, .ack, seq: 101, ack: 901), .left),
            (.tcp(there, .ack, seq: 101, ack: 901, data: 30), .left),
            (.tcp(there.back, .ack, seq: 901, ack: 131), .right),
            (.tcp(there, [.fin, .ack], seq: 131, ack: 901), .left),
            (.tcp(there.back, [.fin, .ack], seq: 901, ack: 132), .right),
            (.tcp(there, .ack, seq: 132, ack: 902), .left),
            // A new connection over the old one.
            (.tcp(there, .syn, seq: 70_000_000), .left),
            (.tcp(refused, .syn, seq: 5), .left),
            (.tcp(refused.back, [.rst, .ack], ack: 6), .right),
            (.udp(Flow(4002)), .left), (.udp(Flow(4002).back), .right),
            (.udp(Flow(4002)), .left),
            (.icmp(client, server, type: 8, id: 1), .left),
            (.icmp(server, client, type: 0, id: 1), .right),
        ]
        var ours: [String] = []
        let options = ConntrackTextOptions(now: twin.now, wallClock: 0)
        for (frame, side) in frames {
            _ = try twin.kernel.send(frame, on: side)
            var mine = frame
            _ = twin.table.forward(&mine, at: twin.now)
            while let event = twin.table.nextEvent() {
                ours.append(ConntrackText.line(event, options))
            }
        }
        // The last one to wait for.
        _ = try twin.kernel.send(.udp(Flow(9, to: 9999)), on: .left)
        let theirs = kernel.lines(until: "dport=9999").filter { !$0.contains("dport=9 ") }
        // The timeouts are told when the event happens, a moment later on a slow machine.
        #expect(theirs.map(Self.withoutTimeout) == ours.map(Self.withoutTimeout))
    }

    private static func withoutTimeout(_ line: String) -> String {
        var words = line.split(separator: " ")
        if let index = words.firstIndex(where: { $0 == "tcp" || $0 == "udp" || $0 == "icmp" }),
            index + 2 < words.count, Int(words[index + 2]) != nil
        {
            words.remove(at: index + 2)
        }
        return words.joined(separator: " ")
    }

    @Test(
        "an address range gives the same client the same address",
        .enabled(if: canAskKernel, needsKernel))
    func addressRange() throws {
        for flag in ["", " --persistent"] {
            let twin = try Twin(nat: [
                "-A POSTROUTING -o right -j SNAT --to-source 10.2.0.20-10.2.0.27\(flag)"
            ])
            let neighbours = (2..<26).map {
                "ip neigh replace 10.2.0.\($0) lladdr 02:00:00:00:00:02 dev right"
            }
            try twin.kernel.shell(neighbours.joined(separator: "\n"))
            let range = NATRange(
                addresses: IPv4Address(10, 2, 0, 20)...IPv4Address(10, 2, 0, 27),
                flags: flag.isEmpty ? [] : .persistent)
            for number in 0..<24 {
                let from = IPv4Address(10, 1, 0, UInt8(2 + number / 2))
                let to = number % 2 == 0 ? server : IPv4Address(10, 2, 0, 2 + UInt8(number))
                let frame = Frame.udp(Flow(from: (from, UInt16(6000 + number)), to: (to, 53)))
                let received = try #require(try twin.kernel.send(frame, on: .left).packet)
                var mine = frame
                _ = twin.table.forward(&mine, at: twin.now, snat: range)
                #expect(
                    Array(received[12..<16]) == Array(mine.bytes[26..<30]),
                    "\(from) to \(to)\(flag)")
            }
        }
    }
}

extension Frame {
    mutating func decrementTimeToLive() {
        var view = self.view
        var storage = bytes.mutableSpan
        var span = storage.mutableBytes
        span.decrementTimeToLive(in: &view)
    }
}

/// `conntrack -E` in a namespace.
private final class EventListener {
    private let process = Process()
    private let output = Pipe()
    private var text = ""

    init(in kernel: KernelTracker) throws {
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["nsenter", "--net=\(kernel.namespacePath)", "conntrack", "-E"]
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        try start(process)
    }

    deinit {
        process.terminate()
        process.waitUntilExit()
    }

    func hasSpoken(milliseconds: Int32) -> Bool {
        let file = output.fileHandleForReading.fileDescriptor
        var waiting = pollfd(fd: file, events: Int16(POLLIN), revents: 0)
        guard poll(&waiting, 1, milliseconds) == 1 else { return !text.isEmpty }
        text += String(decoding: output.fileHandleForReading.availableData, as: UTF8.self)
        return true
    }

    /// All lines before the one that contains `mark`.
    func lines(until mark: String) -> [String] {
        for _ in 0..<600 where !text.contains(mark) { _ = hasSpoken(milliseconds: 100) }
        let lines = text.split(separator: "\n").map(String.init)
        return lines.prefix { !$0.contains(mark) }.map { $0 }
    }
}
