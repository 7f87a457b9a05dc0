import Testing
import Wire

@testable import Conntrack

/// One step of a scripted connection: who sends what, and what tracking is to say.
private struct Step {
    var direction: Direction
    var flags: TCPFlags
    var seq: UInt32
    var ack: UInt32 = 0
    var data = 0
    var window: UInt16 = 64_240
    var options: [UInt8] = []
    /// What rules see.
    var sees: CTState
    var state: TCPState
    var timeout: UInt32
    var assured = false
}

private let scaling: [UInt8] = [2, 4, 5, 180, 4, 2, 3, 3, 7, 1, 1, 1]

private func play(
    _ steps: [Step], table: ConnectionTable = ConnectionTable(capacity: 16, seed: 1),
    sourceLocation: SourceLocation = #_sourceLocation
) {
    let flow = Flow()
    let tuple = Tuple(Frame.tcp(flow, .syn).view)!
    for (number, step) in steps.enumerated() {
        let frame = Frame.tcp(
            step.direction == .original ? flow : flow.back, step.flags, seq: step.seq,
            ack: step.ack, window: step.window, options: step.options, data: step.data)
        let now = seconds(Double(number) * 0.01)
        let peeked = table.peek(frame, at: now)
        let tracked = table.pass(frame, at: now)
        let place = "step \(number): \(step.direction) \(step.flags.rawValue)"
        #expect(tracked.state == step.sees, "\(place)", sourceLocation: sourceLocation)
        #expect(peeked.state == tracked.state, "\(place)", sourceLocation: sourceLocation)
        #expect(
            peeked.invalidReason == tracked.invalidReason, "\(place)",
            sourceLocation: sourceLocation)
        guard let (id, _) = table.find(tuple, now: now) else {
            #expect(step.state == .none, "\(place)", sourceLocation: sourceLocation)
            continue
        }
        #expect(table.tcpState(id) == step.state, "\(place)", sourceLocation: sourceLocation)
        #expect(
            table.record(id, now: now)?.timeout == Seconds(step.timeout), "\(place)",
            sourceLocation: sourceLocation)
        #expect(
            table.status(id).contains(.assured) == step.assured, "\(place)",
            sourceLocation: sourceLocation)
    }
}

private let handshake = [
    Step(
        direction: .original, flags: .syn, seq: 100, options: scaling, sees: .new, state: .synSent,
        timeout: 120),
    Step(
        direction: .reply, flags: [.syn, .ack], seq: 900, ack: 101, options: scaling,
        sees: .established, state: .synRecv, timeout: 60),
    Step(
        direction: .original, flags: .ack, seq: 101, ack: 901, sees: .established,
        state: .established, timeout: 432_000, assured: true),
]

@Suite("TCP's life")
struct TCPLifeTests {
    @Test("an ordinary connection passes the kernel's states with the kernel's timeouts")
    func ordinaryClose() {
        play(
            handshake + [
                Step(
                    direction: .original, flags: [.ack, .psh], seq: 101, ack: 901, data: 50,
                    sees: .established, state: .established, timeout: 300, assured: true),
                Step(
                    direction: .reply, flags: .ack, seq: 901, ack: 151, sees: .established,
                    state: .established, timeout: 432_000, assured: true),
                Step(
                    direction: .original, flags: [.fin, .ack], seq: 151, ack: 901,
                    sees: .established, state: .finWait, timeout: 120, assured: true),
                Step(
                    direction: .reply, flags: .ack, seq: 901, ack: 152, sees: .established,
                    state: .closeWait, timeout: 60, assured: true),
                Step(
                    direction: .reply, flags: [.fin, .ack], seq: 901, ack: 152,
                    sees: .established, state: .lastAck, timeout: 30, assured: true),
                Step(
                    direction: .original, flags: .ack, seq: 152, ack: 902, sees: .established,
                    state: .timeWait, timeout: 120, assured: true),
                // A new connection over the old one (RFC 1122, 4.2.2.13).
                Step(
                    direction: .original, flags: .syn, seq: 5000, sees: .new, state: .synSent,
                    timeout: 120),
            ])
    }

    @Test("a half-closed connection stays in CLOSE_WAIT while the other end still sends")
    func halfClose() {
        play(
            handshake + [
                Step(
                    direction: .original, flags: [.fin, .ack], seq: 101, ack: 901,
                    sees: .established, state: .finWait, timeout: 120, assured: true),
                Step(
                    direction: .reply, flags: .ack, seq: 901, ack: 102, sees: .established,
                    state: .closeWait, timeout: 60, assured: true),
                Step(
                    direction: .reply, flags: .ack, seq: 901, ack: 102, data: 1000,
                    sees: .established, state: .closeWait, timeout: 60, assured: true),
                Step(
                    direction: .original, flags: .ack, seq: 102, ack: 1901, sees: .established,
                    state: .closeWait, timeout: 60, assured: true),
            ])
    }

    @Test("both ends may open at once")
    func simultaneousOpen() {
        play([
            Step(
                direction: .original, flags: .syn, seq: 100, sees: .new, state: .synSent,
                timeout: 120),
            // Not prolonged: to the kernel every SYN before the first answer is a repeated one.
            Step(
                direction: .reply, flags: .syn, seq: 900, sees: .established, state: .synSent2,
                timeout: 119),
            Step(
                direction: .original, flags: [.syn, .ack], seq: 100, ack: 901,
                sees: .established, state: .synRecv, timeout: 60),
            Step(
                direction: .reply, flags: .ack, seq: 901, ack: 101, sees: .established,
                state: .established, timeout: 432_000, assured: true),
        ])
    }

    @Test("a refused connection leaves nothing behind, and its RST still knows the connection")
    func refused() throws {
        let table = ConnectionTable(capacity: 16, seed: 1)
        let flow = Flow()
        table.pass(.tcp(flow, .syn, seq: 100), at: seconds(0))
        let reset = table.pass(.tcp(flow.back, [.rst, .ack], ack: 101), at: seconds(0))
        #expect(reset.state == .established)
        #expect(reset.direction == .reply)
        #expect(table.count == 0)
        let id = try #require(reset.connection)
        #expect(table.status(id).contains(.dying))
        #expect(table.tuple(id, .original)?.source == client)
        table.expire(now: seconds(0))
        #expect(!table.contains(id))
    }

    @Test("a RST is believed only with the expected sequence number")
    func resets() {
        let data = Step(
            direction: .reply, flags: .ack, seq: 901, ack: 101, sees: .established,
            state: .established, timeout: 432_000, assured: true)
        play(
            handshake + [
                data,
                // Behind what the other end acknowledged.
                Step(
                    direction: .original, flags: .rst, seq: 50, sees: .invalid,
                    state: .established, timeout: 431_999, assured: true),
                // In window, yet not exactly next: a challenge ACK may follow.
                Step(
                    direction: .original, flags: .rst, seq: 200, sees: .established,
                    state: .established, timeout: 10, assured: true),
                Step(
                    direction: .original, flags: .rst, seq: 101, sees: .established,
                    state: .close, timeout: 10, assured: true),
            ])
    }

    @Test("a SYN/ACK for a SYN we ignored puts the entry back in step")
    func resynchronises() {
        play(
            handshake + [
                // The client lost everything and begins again; the entry still says ESTABLISHED.
                Step(
                    direction: .original, flags: .syn, seq: 70_000_000, options: scaling,
                    sees: .established, state: .established, timeout: 431_999, assured: true),
                Step(
                    direction: .reply, flags: [.syn, .ack], seq: 123, ack: 70_000_001,
                    options: scaling, sees: .established, state: .synRecv, timeout: 60,
                    assured: true),
                Step(
                    direction: .original, flags: .ack, seq: 70_000_001, ack: 124,
                    sees: .established, state: .established, timeout: 432_000, assured: true),
            ])
    }

    @Test("a challenge ACK in LAST_ACK is not the last ACK")
    func challengeAck() {
        play(
            handshake + [
                Step(
                    direction: .original, flags: [.fin, .ack], seq: 101, ack: 901,
                    sees: .established, state: .finWait, timeout: 120, assured: true),
                Step(
                    direction: .reply, flags: [.fin, .ack], seq: 901, ack: 102,
                    sees: .established, state: .lastAck, timeout: 30, assured: true),
                Step(
                    direction: .original, flags: .syn, seq: 90_000, sees: .established,
                    state: .lastAck, timeout: 29, assured: true),
                Step(
                    direction: .reply, flags: .ack, seq: 902, ack: 102, sees: .established,
                    state: .lastAck, timeout: 29, assured: true),
            ])
    }

    @Test("a repeated SYN does not prolong the entry")
    func repeatedSyn() {
        let table = ConnectionTable(capacity: 16, seed: 1)
        let first = table.pass(.tcp(Flow(), .syn, seq: 100), at: seconds(0))
        table.pass(.tcp(Flow(), .syn, seq: 100), at: seconds(60))
        #expect(table.timeout(first.connection!, now: seconds(60)) == Seconds(60))
    }

    @Test("mid-stream connections are picked up while loose is on, with a short timeout")
    func pickup() {
        let frame = Frame.tcp(Flow(), .ack, seq: 5000, ack: 7000, data: 10)
        let table = ConnectionTable(capacity: 16, seed: 1)
        let tracked = table.pass(frame, at: seconds(0))
        #expect(tracked.state == .new)
        #expect(table.tcpState(tracked.connection!) == .established)
        #expect(table.timeout(tracked.connection!, now: seconds(0)) == Seconds(300))
        let reply = table.pass(
            .tcp(Flow().back, .ack, seq: 7000, ack: 5010), at: seconds(0))
        #expect(reply.state == .established)
        // The answer itself does not assure: it was the first packet in its direction.
        #expect(table.timeout(tracked.connection!, now: seconds(0)) == Seconds(300))
        table.pass(.tcp(Flow(), .ack, seq: 5010, ack: 7000), at: seconds(0))
        #expect(table.status(tracked.connection!).contains(.assured))
        #expect(table.timeout(tracked.connection!, now: seconds(0)) == Seconds(432_000))

        var settings = ConntrackSettings()
        settings.tcpLoose = false
        let strict = ConnectionTable(capacity: 16, settings: settings, seed: 1)
        let refused = strict.pass(frame, at: seconds(0))
        #expect(refused.state == .invalid)
        #expect(refused.invalidReason == .tcpNotLoose)
        #expect(strict.count == 0)
        #expect(strict.statistics.invalid == 1)
    }

    @Test("flags that cannot open a connection, or cannot be, are INVALID")
    func badFlags() {
        let table = ConnectionTable(capacity: 16, seed: 1)
        let cases: [(TCPFlags, InvalidReason)] = [
            ([.syn, .ack], .tcpCannotOpen), ([.fin, .ack], .tcpCannotOpen),
            (.rst, .tcpCannotOpen), ([.syn, .fin], .badTCPFlags), ([], .badTCPFlags),
            ([.fin], .badTCPFlags), ([.syn, .rst], .badTCPFlags),
        ]
        for (flags, reason) in cases {
            let tracked = table.pass(.tcp(Flow(), flags), at: seconds(0))
            #expect(tracked.state == .invalid)
            #expect(tracked.invalidReason == reason, "\(flags)")
        }
        #expect(table.count == 0)
    }

    @Test("after three retransmissions without an answer the timeout shrinks")
    func retransmissions() {
        let table = ConnectionTable(capacity: 16, seed: 1)
        play(handshake, table: table)
        let data = Frame.tcp(Flow(), .ack, seq: 101, ack: 901, data: 10)
        var id: ConnectionID?
        for number in 0..<5 { id = table.pass(data, at: seconds(1 + Double(number))).connection }
        #expect(table.timeout(id!, now: seconds(5)) == Seconds(300))
        // The answer restores it.
        table.pass(.tcp(Flow().back, .ack, seq: 901, ack: 111), at: seconds(6))
        #expect(table.timeout(id!, now: seconds(6)) == Seconds(432_000))
    }

    @Test("FINs out of window from both ends let the entry go within five minutes")
    func outOfWindowFins() {
        let table = ConnectionTable(capacity: 16, seed: 1)
        play(handshake, table: table)
        let far: UInt32 = 1_000_000_000
        let one = table.pass(.tcp(Flow(), [.fin, .ack], seq: far, ack: 901), at: seconds(1))
        #expect(one.invalidReason == .tcpSequenceAboveWindow)
        let (id, _) = table.find(Tuple(client, 40_000, server, 80, .tcp), now: seconds(1))!
        #expect(table.timeout(id, now: seconds(1)).rawValue > 400_000)
        let two = table.pass(.tcp(Flow().back, [.fin, .ack], seq: far, ack: 101), at: seconds(1))
        #expect(two.state == .invalid)
        #expect(table.timeout(id, now: seconds(1)) == Seconds(300))
    }

    @Test("only the other end's RST answers a SYN")
    func resetFromTheSameEnd() {
        play([
            Step(
                direction: .original, flags: .syn, seq: 6_000_000, sees: .new, state: .synSent,
                timeout: 120),
            // Acknowledges something very old: ignored.
            Step(
                direction: .reply, flags: [.syn, .ack], seq: 900, ack: 1_000_000,
                sees: .established, state: .synSent, timeout: 119),
            Step(
                direction: .original, flags: .rst, seq: 1_000_000, sees: .established,
                state: .synSent, timeout: 119),
            Step(
                direction: .reply, flags: .rst, seq: 5, sees: .established, state: .close,
                timeout: 10),
        ])
    }
}
