import Testing
import Wire

@testable import Conntrack

@Suite("UDP, ICMP and the rest")
struct ProtocolTests {
    @Test("UDP is a stream once answered and still going on two seconds after it began")
    func udpStream() {
        let table = ConnectionTable(capacity: 16, seed: 1)
        let flow = Flow(to: 53)
        let first = table.pass(.udp(flow), at: seconds(0))
        let id = first.connection!
        #expect(first.state == .new)
        #expect(table.timeout(id, now: seconds(0)) == Seconds(30))
        #expect(table.pass(.udp(flow), at: seconds(0.5)).state == .new)
        let reply = table.pass(.udp(flow.back), at: seconds(1))
        #expect(reply.state == .established)
        #expect(reply.direction == .reply)
        #expect(table.timeout(id, now: seconds(1)) == Seconds(30))
        #expect(table.pass(.udp(flow), at: seconds(1.9)).state == .established)
        #expect(!table.status(id).contains(.assured))
        #expect(table.timeout(id, now: seconds(1.9)) == Seconds(30))
        table.pass(.udp(flow), at: seconds(2.1))
        #expect(table.status(id).contains(.assured))
        #expect(table.timeout(id, now: seconds(2.1)) == Seconds(120))
    }

    @Test("an unanswered flow never becomes a stream")
    func udpUnanswered() {
        let table = ConnectionTable(capacity: 16, seed: 1)
        var id: ConnectionID?
        for second in 0..<20 {
            id = table.pass(.udp(Flow(to: 53)), at: seconds(Double(second))).connection
        }
        #expect(!table.status(id!).contains(.assured))
        #expect(table.timeout(id!, now: seconds(19)) == Seconds(30))
    }

    @Test("an ICMP query opens a connection, its answer belongs to it, a stray answer is INVALID")
    func echo() {
        let table = ConnectionTable(capacity: 16, seed: 1)
        let request = table.pass(.icmp(client, server, type: 8, id: 77), at: seconds(0))
        #expect(request.state == .new)
        #expect(table.timeout(request.connection!, now: seconds(0)) == Seconds(30))
        let answer = table.pass(.icmp(server, client, type: 0, id: 77), at: seconds(0))
        #expect(answer.state == .established)
        #expect(answer.direction == .reply)
        #expect(answer.connection == request.connection)
        let stray = table.pass(.icmp(server, client, type: 0, id: 78), at: seconds(0))
        #expect(stray.invalidReason == .icmpCannotOpen)
        let advert = table.pass(.icmp(server, client, type: 9), at: seconds(0))
        #expect(advert.invalidReason == .icmpWithoutQuery)
        let unknown = table.pass(.icmp(server, client, type: 40), at: seconds(0))
        #expect(unknown.invalidReason == .unknownICMPType)
        #expect(table.statistics.error == 1)
        #expect(table.statistics.invalid == 2)
    }

    @Test("an ICMP error is RELATED to the connection it quotes, in the other direction")
    func related() {
        let table = ConnectionTable(capacity: 16, seed: 1)
        let sent = Frame.udp(Flow(to: 53))
        let first = table.pass(sent, at: seconds(0))
        let error = table.pass(
            sent.error(from: IPv4Address(10, 9, 9, 9), type: 3, code: 3), at: seconds(0))
        #expect(error.state == .related)
        #expect(error.connection == first.connection)
        #expect(error.direction == .reply)
        #expect(!table.status(first.connection!).contains(.seenReply), "an error is no answer")
        // About the answer: from the client's side, in the original direction.
        let answer = Frame.udp(Flow(to: 53).back)
        let back = table.pass(answer.error(from: client, type: 3, code: 3), at: seconds(0))
        #expect(back.state == .related)
        #expect(back.direction == .original)
    }

    @Test("an ICMP error about nothing known, too short, or sent astray is INVALID")
    func unrelated() {
        let table = ConnectionTable(capacity: 16, seed: 1)
        let sent = Frame.udp(Flow(to: 53))
        table.pass(sent, at: seconds(0))
        let stranger = Frame.udp(Flow(1, to: 2)).error(from: gateway)
        #expect(table.pass(stranger, at: seconds(0)).invalidReason == .icmpQuotesUnknown)
        let short = sent.error(from: gateway, quoting: 23)
        #expect(table.pass(short, at: seconds(0)).invalidReason == .icmpQuotesNothing)
        let astray = sent.error(from: gateway, to: IPv4Address(10, 1, 0, 99))
        #expect(table.pass(astray, at: seconds(0)).invalidReason == .icmpQuoteMisdirected)
        #expect(table.statistics.error == 3)
    }

    @Test("a protocol without a tracker of its own is tracked by its addresses for 600 s")
    func generic() {
        let table = ConnectionTable(capacity: 16, seed: 1)
        let esp = Frame(
            client, server, IPProtocol(rawValue: 50), [1, 2, 3, 4], checksumAt: nil)
        let tracked = table.pass(esp, at: seconds(0))
        #expect(tracked.state == .new)
        #expect(table.timeout(tracked.connection!, now: seconds(0)) == Seconds(600))
        let back = Frame(
            server, client, IPProtocol(rawValue: 50), [1, 2, 3, 4], checksumAt: nil)
        #expect(table.pass(back, at: seconds(0)).state == .established)
    }

    @Test("a wrong checksum makes a packet INVALID; partial ones and the host's own are trusted")
    func checksums() {
        for original in [
            Frame.tcp(Flow(), .syn), .udp(Flow()), .icmp(client, server, type: 8, id: 1),
        ] {
            let table = ConnectionTable(capacity: 16, seed: 1)
            var frame = original
            let field =
                frame.view.transportOffset + [.tcp: 16, .udp: 6][frame.view.protocol, default: 2]
            frame.bytes[field] ^= 0x40
            #expect(table.track(frame, at: seconds(0)).invalidReason == .badChecksum)
            #expect(table.count == 0)
            #expect(table.track(frame, at: seconds(0), verify: false).state == .new)
            let other = ConnectionTable(capacity: 16, seed: 1)
            let partial = OffloadHeader(needsChecksum: true)
            #expect(other.track(frame, at: seconds(0), offload: partial).state == .new)
            var settings = ConntrackSettings()
            settings.checksum = false
            let trusting = ConnectionTable(capacity: 16, settings: settings, seed: 1)
            #expect(trusting.track(frame, at: seconds(0)).state == .new)
        }
        let none = ConnectionTable(capacity: 16, seed: 1)
        #expect(none.track(.udp(Flow(), checksum: false), at: seconds(0)).state == .new)
    }

    @Test("a UDP length that does not fit is INVALID")
    func udpLength() {
        let table = ConnectionTable(capacity: 16, seed: 1)
        for length: UInt8 in [7, 200] {
            var frame = Frame.udp(Flow())
            frame.bytes[39] = length
            #expect(table.track(frame, at: seconds(0)).invalidReason == .badUDPLength)
        }
    }

    @Test("later fragments and truncated headers are INVALID")
    func fragments() {
        let table = ConnectionTable(capacity: 16, seed: 1)
        let short = Frame(client, server, .tcp, [0, 1, 0, 2, 0, 0], checksumAt: nil)
        #expect(table.track(short, at: seconds(0)).invalidReason == .truncatedHeader)
        let frame = Frame.udp(Flow())
        var view = frame.view
        view.transport = .fragment
        let tracked = table.track(
            frame.bytes.span.bytes, view, offload: .none, verifyChecksum: true, now: seconds(0))
        #expect(tracked.invalidReason == .fragment)
        #expect(table.statistics.invalid == 2)
    }

    @Test("connections that began while accounting was on are counted, to their end")
    func accounting() {
        var settings = ConntrackSettings()
        settings.acct = true
        let table = ConnectionTable(capacity: 16, settings: settings, seed: 1)
        let id = table.pass(.udp(Flow(), data: 12), at: seconds(0)).connection!
        table.pass(.udp(Flow().back, data: 2), at: seconds(0))
        let counters = table.record(id, now: seconds(0))!.counters!
        #expect(counters.original == FlowCounters(packets: 1, bytes: 40))
        #expect(counters.reply == FlowCounters(packets: 1, bytes: 30))
        table.settings.acct = false
        table.pass(.udp(Flow(), data: 12), at: seconds(0))
        #expect(table.record(id, now: seconds(0))!.counters?.original.packets == 2)
        let later = table.pass(.udp(Flow(9)), at: seconds(0)).connection!
        table.settings.acct = true
        #expect(table.record(later, now: seconds(0))!.counters == nil)
    }
}
