import Foundation
import Glibc
import NamespaceFixture
import Testing
import Wire

@testable import Conntrack

private let nodeLeft = IPv4Address(10, 1, 0, 1)
private let nodeRight = IPv4Address(10, 2, 0, 1)

@Suite("The kernel beside the table", .serialized)
struct KernelAgreementTests {
    /// Sends a frame through both and compares what rules see and what the tables hold afterwards.
    private func step(
        _ twin: KernelTwin, _ frame: Frame, _ side: KernelTwin.Side, filter: String,
        _ note: String
    ) throws {
        let kernel = try twin.send(frame, on: side)
        var mine = frame
        let tracked = twin.table.forward(&mine, at: twin.now)
        #expect("\(tracked.state)" == kernel, "\(note)")
        let theirs = try twin.kernelEntries(filter)
        let ours = twin.tableEntries(filter)
        #expect(KernelTwin.agree(theirs, ours), "\(note)\nkernel \(theirs)\ntable  \(ours)")
    }

    @Test(
        "random TCP conversations pass the same states with the same timeouts",
        .enabled(if: canAskKernel, needsKernel),
        arguments: [UInt64(1), 2, 3])
    func tcp(seed: UInt64) throws {
        let twin = try KernelTwin()
        var random = SeededRandom(seed: seed)
        for number in 0..<16 {
            var script = RandomConversation(port: UInt16(1000 + number), random: random)
            for index in 0..<12 {
                let (frame, side, note) = script.next()
                try step(
                    twin, frame, side, filter: "-p tcp",
                    "seed \(seed), conversation \(number), segment \(index): \(note)")
            }
            random = script.random
        }
    }

    @Test(
        "UDP, ICMP and rubbish are judged alike", .enabled(if: canAskKernel, needsKernel))
    func others() throws {
        let twin = try KernelTwin()
        let flow = Flow(7000, to: 53)
        let question = Frame.udp(flow)
        var badChecksum = Frame.udp(Flow(7001, to: 53))
        badChecksum.bytes[40] ^= 1
        var badLength = Frame.udp(Flow(7002, to: 53), checksum: false)
        badLength.bytes[39] = 200
        let ping = Frame.icmp(client, server, type: 8, id: 77)
        let frames: [(Frame, KernelTwin.Side, String)] = [
            (question, .left, "question"),
            (question.error(from: server, type: 3, code: 3), .right, "port unreachable"),
            (.udp(flow.back), .right, "answer"), (question, .left, "second question"),
            (badChecksum, .left, "bad checksum"), (badLength, .left, "bad length"),
            (.udp(Flow(7003, to: 53), checksum: false), .left, "no checksum"),
            (ping, .left, "ping"), (.icmp(server, client, type: 0, id: 77), .right, "pong"),
            (.icmp(server, client, type: 0, id: 78), .right, "stray pong"),
            (.icmp(client, server, type: 13, id: 5), .left, "timestamp"),
            (.icmp(server, client, type: 14, id: 5), .right, "timestamp reply"),
            (.icmp(client, server, type: 17, id: 6), .left, "address mask"),
            (.icmp(client, server, type: 9), .left, "router advertisement"),
            (.icmp(client, server, type: 40), .left, "unknown type"),
            (ping.error(from: server, type: 11, code: 0), .right, "time exceeded"),
            (ping.error(from: server, type: 11, quoting: 24), .right, "quotes too little"),
            (ping.error(from: server, to: nodeLeft), .right, "sent astray"),
            (Frame.udp(Flow(1, to: 2)).error(from: server), .right, "about nothing"),
            (.tcp(Flow(7005), [.syn, .fin]), .left, "SYN FIN"),
            (.tcp(Flow(7006), []), .left, "no flags"),
            (
                Frame(client, server, IPProtocol(rawValue: 89), [1, 2, 3, 4], checksumAt: nil),
                .left, "OSPF"
            ),
        ]
        for (frame, side, note) in frames { try step(twin, frame, side, filter: "", note) }
    }

    @Test(
        "a translated conversation leaves both with the same bytes, entries and events",
        .enabled(if: canAskKernel, needsKernel))
    func nat() throws {
        let twin = try KernelTwin(nat: [
            "-A PREROUTING -p tcp -d 10.1.0.1 --dport 8080 -j DNAT --to-destination 10.2.0.2:80",
            "-A PREROUTING -p udp --dport 99 -j DNAT --to-destination 10.2.0.2:5000-5010",
            "-A POSTROUTING -o right -j MASQUERADE",
        ])
        let there = Flow(from: (client, 4000), to: (nodeLeft, 8080))
        let back = Flow(from: (server, 80), to: (nodeRight, 4000))
        let datagram = Flow(from: (client, 4001), to: (IPv4Address(10, 2, 0, 77), 99))
        let syn = Frame.tcp(there, .syn, seq: 100)
        var translatedSyn = syn
        let frames: [(Frame, KernelTwin.Side)] = [
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
        let (theirs, ours) = (try twin.kernelEntries(""), twin.tableEntries(""))
        #expect(KernelTwin.agree(theirs, ours), "kernel \(theirs)\ntable  \(ours)")
        #expect(ours.count == 4)
    }

    @Test(
        "the events are the same, one per packet, in the same order",
        .enabled(if: canAskKernel, needsKernel))
    func events() throws {
        let twin = try KernelTwin()
        let kernel = try EventListener(in: twin.node)
        // The listener is there once it reports a packet.
        var probe: UInt16 = 1
        repeat {
            _ = try twin.send(.udp(Flow(probe, to: 9)), on: .left)
            probe += 1
        } while !kernel.hasSpoken(milliseconds: 50)
        twin.table.listen(capacity: 64)
        let there = Flow(4000)
        let refused = Flow(4001)
        let udp = Flow(4002, to: 53)
        let frames: [(Frame, KernelTwin.Side)] = [
            (.tcp(there, .syn, seq: 100), .left),
            (.tcp(there.back, [.syn, .ack], seq: 900, ack: 101), .right),
            (.tcp(there, .ack, seq: 101, ack: 901), .left),
            (.tcp(there, .ack, seq: 101, ack: 901, data: 9), .left),
            (.tcp(there.back, [.fin, .ack], seq: 901, ack: 110), .right),
            (.tcp(there, [.fin, .ack], seq: 110, ack: 902), .left),
            (.tcp(there.back, .ack, seq: 902, ack: 111), .right),
            (.tcp(there, .syn, seq: 7000), .left),
            (.tcp(refused, .syn, seq: 5), .left),
            (.tcp(refused.back, [.rst, .ack], ack: 6), .right),
            (.tcp(Flow(4003), .ack, seq: 5, ack: 8, data: 3), .left),
            (.tcp(Flow(4003).back, .ack, seq: 8, ack: 8), .right),
            (.tcp(Flow(4003), .ack, seq: 8, ack: 8), .left),
            (.udp(udp), .left), (.udp(udp.back), .right), (.udp(udp), .left),
            (.icmp(client, server, type: 8, id: 3), .left),
            (.icmp(server, client, type: 0, id: 3), .right),
        ]
        var ours: [String] = []
        for (frame, side) in frames {
            _ = try twin.send(frame, on: side)
            twin.table.pass(frame, at: twin.now)
            while let event = twin.table.nextEvent() {
                let options = ConntrackTextOptions(now: twin.now, wallClock: 0)
                ours.append(ConntrackText.line(event, options))
            }
        }
        // The last one to wait for.
        _ = try twin.send(.udp(Flow(9, to: 9999)), on: .left)
        let theirs = kernel.lines(until: "dport=9999").filter { !$0.contains("dport=9 ") }
        #expect(theirs.count == ours.count, "kernel \(theirs)\ntable  \(ours)")
        for (one, other) in zip(theirs, ours) {
            let (label, otherLabel) = (one.prefix(10), other.prefix(10))
            #expect(label == otherLabel)
            #expect(
                KernelTwin.agree([String(one.dropFirst(10))], [String(other.dropFirst(10))]),
                "kernel \(one)\ntable  \(other)")
        }
    }

    /// One frame through both; the frame that the kernel sent on, which must be ours to the byte.
    private func through(
        _ twin: KernelTwin, _ frame: Frame, _ side: KernelTwin.Side, _ note: String
    ) throws -> Frame {
        let state = try twin.send(frame, on: side)
        let received = try #require(
            twin.receive(on: side == .left ? .right : .left), "\(note): the kernel kept it")
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
        #expect("\(tracked.state)" == state, "\(note)")
        mine.decrementTimeToLive()
        let length = mine.view.end
        #expect(Array(received[14..<length]) == Array(mine.bytes[14..<length]), "\(note)")
        return mine
    }

    @Test(
        "an address range gives the same client the same address",
        .enabled(if: canAskKernel, needsKernel))
    func addressRange() throws {
        for flag in ["", " --persistent"] {
            let twin = try KernelTwin(nat: [
                "-A POSTROUTING -o right -j SNAT --to-source 10.2.0.20-10.2.0.27\(flag)"
            ])
            let range = NATRange(
                addresses: IPv4Address(10, 2, 0, 20)...IPv4Address(10, 2, 0, 27),
                flags: flag.isEmpty ? [] : .persistent)
            for number in 0..<24 {
                let from = IPv4Address(10, 1, 0, UInt8(2 + number / 2))
                let to = number % 2 == 0 ? server : IPv4Address(10, 2, 0, 2 + UInt8(number))
                try twin.node.shell("ip neigh replace \(to) lladdr 02:00:00:00:00:02 dev right")
                let frame = Frame.udp(Flow(from: (from, UInt16(6000 + number)), to: (to, 53)))
                _ = try twin.send(frame, on: .left)
                let received = try #require(twin.receive(on: .right))
                var mine = frame
                _ = twin.table.forward(&mine, at: twin.now, snat: range)
                #expect(
                    Array(received[26..<30]) == Array(mine.bytes[26..<30]),
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

    init(in namespace: Namespace) throws {
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["ip", "netns", "exec", namespace.name, "conntrack", "-E"]
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
        for _ in 0..<100 where !text.contains(mark) { _ = hasSpoken(milliseconds: 100) }
        let lines = text.split(separator: "\n").map(String.init)
        return lines.prefix { !$0.contains(mark) }.map { $0 }
    }
}

/// A conversation that mostly makes sense.
private struct RandomConversation {
    var random: SeededRandom
    private let flow: Flow
    /// The next sequence number of either end.
    private var sequence: [UInt32]
    private var step = 0
    private var last: (Frame, KernelTwin.Side, String)?

    /// Most conversations begin as they should.
    private let beginsWell: Bool

    init(port: UInt16, random: SeededRandom) {
        self.random = random
        beginsWell = self.random.next() % 6 != 0
        flow = Flow(port)
        sequence = [1_000_000, 2_000_000]
    }

    private mutating func pick<T>(_ choices: [T]) -> T {
        choices[Int(random.next() % UInt64(choices.count))]
    }

    mutating func next() -> (Frame, KernelTwin.Side, String) {
        defer { step += 1 }
        // Sometimes the same segment comes again.
        if step > 3, let last, random.next() % 6 == 0 { return last }
        let scripted: [(Int, TCPFlags)] = [(0, .syn), (1, [.syn, .ack]), (0, .ack)]
        var side = Int(random.next() % 2)
        var flags: TCPFlags = pick([
            .ack, .ack, .ack, [.ack, .psh], [.fin, .ack], [.fin, .ack], .syn, [.syn, .ack], .rst,
            [.rst, .ack],
        ])
        let orderly = step < scripted.count && beginsWell && random.next() % 12 != 0
        if orderly { (side, flags) = scripted[step] }
        let offsets: [UInt32] = [
            0, 0, 0, 0, 0, 0, 1, .max, 100, 0 &- 100, 70_000, 0 &- 70_000, 5_000_000,
        ]
        let seq = orderly ? sequence[side] : sequence[side] &+ pick(offsets)
        let ack =
            flags.contains(.ack) || random.next() % 4 == 0
            ? sequence[1 - side] &+ (orderly ? 0 : pick([0, 0, 0, 0, 1, .max, 200, 0 &- 66_500]))
            : 0
        let data = flags.contains(.psh) ? pick([1, 500, 1400]) : 0
        let window: UInt16 = pick([64_240, 64_240, 500, 0])
        let options: [UInt8] =
            flags.contains(.syn) ? pick([[], [3, 3, 7, 1], [4, 2, 3, 3, 5, 1, 1, 1]]) : []
        if seq == sequence[side] {
            let length = flags.isDisjoint(with: [.syn, .fin]) ? 0 : 1
            sequence[side] &+= UInt32(data + length)
        }
        let frame = Frame.tcp(
            side == 0 ? flow : flow.back, flags, seq: seq, ack: ack, window: window,
            options: options, data: data)
        let note = "side \(side) flags \(flags.rawValue) seq \(seq) ack \(ack) win \(window)"
        last = (frame, side == 0 ? .left : .right, note)
        return (frame, side == 0 ? .left : .right, note)
    }
}
