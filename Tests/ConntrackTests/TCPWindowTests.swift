import Testing
import Wire

@testable import Conntrack

private let offers: [UInt8] = [4, 2, 3, 3, 7, 1, 1, 1]

/// A connection in ESTABLISHED; both ends scale by 2^7 unless `options` says otherwise.
private func established(
    options: [UInt8] = offers, settings: ConntrackSettings = ConntrackSettings(),
    window: UInt16 = 500
) -> ConnectionTable {
    let table = ConnectionTable(capacity: 16, settings: settings, seed: 1)
    let flow = Flow()
    table.pass(.tcp(flow, .syn, seq: 100, options: options), at: seconds(0))
    table.pass(.tcp(flow.back, [.syn, .ack], seq: 900, ack: 101, options: options), at: seconds(0))
    table.pass(.tcp(flow, .ack, seq: 101, ack: 901, window: window), at: seconds(0))
    table.pass(.tcp(flow.back, .ack, seq: 901, ack: 101, window: window), at: seconds(0))
    return table
}

@Suite("TCP's windows")
struct TCPWindowTests {
    @Test("a segment beyond the receiver's scaled window is INVALID, one inside it is not")
    func upperBound() {
        let table = established()
        // The SYN/ACK's own window, 64,240 unscaled, is still the larger: 101 + 64,240.
        let inside = table.pass(
            .tcp(Flow(), .ack, seq: 101 + 64_000, ack: 901, data: 100), at: seconds(1))
        #expect(inside.state == .established)
        let outside = table.pass(
            .tcp(Flow(), .ack, seq: 101 + 200_000, ack: 901, data: 100), at: seconds(1))
        #expect(outside.state == .invalid)
        #expect(outside.invalidReason == .tcpSequenceAboveWindow)
        #expect(outside.connection == nil)
    }

    @Test("an acknowledgement of what was never sent is INVALID")
    func acknowledgesUnseen() {
        let table = established()
        let tracked = table.pass(.tcp(Flow(), .ack, seq: 101, ack: 5_000), at: seconds(1))
        #expect(tracked.invalidReason == .tcpAcknowledgesUnseen)
    }

    @Test("old data and late acknowledgements pass and move nothing")
    func lowerBounds() {
        let table = established()
        table.pass(.tcp(Flow(), .ack, seq: 101, ack: 901, data: 1000), at: seconds(1))
        let (id, _) = table.find(Tuple(client, 40_000, server, 80, .tcp), now: seconds(1))!
        let old = table.pass(
            .tcp(Flow(), .ack, seq: 101 &- 300_000, ack: 901, data: 10), at: seconds(10))
        #expect(old.state == .established)
        // Not prolonged: still what the first data left.
        #expect(table.timeout(id, now: seconds(10)) == Seconds(291))
    }

    @Test("be_liberal accepts what is out of window")
    func liberal() {
        var settings = ConntrackSettings()
        settings.tcpBeLiberal = true
        let table = established(settings: settings)
        let tracked = table.pass(
            .tcp(Flow(), .ack, seq: 101 + 900_000, ack: 901), at: seconds(1))
        #expect(tracked.state == .established)
    }

    @Test("without scaling on both sides there is none")
    func noScaling() {
        let table = ConnectionTable(capacity: 16, seed: 1)
        let flow = Flow()
        table.pass(.tcp(flow, .syn, seq: 100, options: offers), at: seconds(0))
        table.pass(
            .tcp(
                flow.back, [.syn, .ack], seq: 900, ack: 101, window: 1000, options: [4, 2, 1, 1]),
            at: seconds(0))
        table.pass(.tcp(flow, .ack, seq: 101, ack: 901, window: 1000), at: seconds(0))
        table.pass(.tcp(flow.back, .ack, seq: 901, ack: 101, window: 1000), at: seconds(0))
        let outside = table.pass(
            .tcp(flow, .ack, seq: 101 + 1_500, ack: 901, data: 1), at: seconds(1))
        #expect(outside.state == .established, "a little too much passes, and moves nothing")
        let far = table.pass(
            .tcp(flow, .ack, seq: 101 + 3_000, ack: 901, data: 1), at: seconds(1))
        #expect(far.invalidReason == .tcpSequenceAboveWindow)
    }

    @Test("a super-frame counts with all its bytes")
    func superFrame() {
        let table = established(window: 2000)
        var segmented = OffloadHeader(needsChecksum: true)
        segmented.segmentationType = 1
        segmented.segmentSize = 1448
        let frame = Frame.tcp(Flow(), .ack, seq: 101, ack: 901, data: 64_000, partial: true)
        var tracked = table.track(frame, at: seconds(1), offload: segmented)
        #expect(tracked.state == .established)
        #expect(table.confirm(&tracked, now: seconds(1)) == nil)
        let ack = table.pass(.tcp(Flow().back, .ack, seq: 901, ack: 64_101), at: seconds(1))
        #expect(ack.state == .established, "the acknowledgement of the whole is of something sent")
    }

    @Test("a SACK beyond the acknowledgement is judged as the acknowledgement")
    func selective() {
        let table = established()
        table.pass(.tcp(Flow(), .ack, seq: 101, ack: 901, data: 1000), at: seconds(1))
        table.pass(.tcp(Flow(), .ack, seq: 2101, ack: 901, data: 1000), at: seconds(1))
        func sack(_ left: UInt32, _ right: UInt32) -> [UInt8] {
            func big(_ value: UInt32) -> [UInt8] {
                (0..<4).map { UInt8(truncatingIfNeeded: value >> (24 - 8 * UInt32($0))) }
            }
            return [1, 1, 5, 10] + big(left) + big(right)
        }
        let good = table.pass(
            .tcp(Flow().back, .ack, seq: 901, ack: 1101, options: sack(2101, 3101)), at: seconds(1))
        #expect(good.state == .established)
        let bad = table.pass(
            .tcp(Flow().back, .ack, seq: 901, ack: 1101, options: sack(2101, 9101)), at: seconds(1))
        #expect(bad.invalidReason == .tcpAcknowledgesUnseen)
    }

    @Test("malformed options end the walk and harm nobody")
    func options() {
        let table = ConnectionTable(capacity: 64, seed: 1)
        let silly: [[UInt8]] = [
            [3, 0, 0, 0], [3, 1, 7, 0], [3, 9, 7, 0], [0, 3, 3, 7], [1, 1, 1, 3], [5, 9, 0, 0],
        ]
        for (number, options) in silly.enumerated() {
            let flow = Flow(UInt16(1000 + number))
            let tracked = table.pass(.tcp(flow, .syn, options: options), at: seconds(0))
            #expect(tracked.state == .new)
        }
        let offers = TCPOffers(([3, 3, 200, 4, 2] as [UInt8]).span.bytes, 0..<5)
        #expect(offers.scale == 14, "RFC 7323: no shift is larger than 14")
        #expect(offers.flags == [.windowScale, .sackPermitted])
    }

    @Test("a header longer than the packet is INVALID")
    func dataOffset() {
        var frame = Frame.tcp(Flow(), .syn)
        frame.bytes[46] = 0xF0
        let table = ConnectionTable(capacity: 16, seed: 1)
        #expect(table.track(frame, at: seconds(0)).invalidReason == .truncatedHeader)
    }
}
