import Testing
import Wire

@testable import Conntrack

private let virtual = IPv4Address(203, 0, 113, 80)
private let backend = NATRange(server, ports: Port(8080)...Port(8080))
private let masquerade = NATRange(gateway)

@Suite("NAT")
struct NATTests {
    /// The flow as the client sends it, to the virtual address.
    private let flow = Flow(from: (client, 40_000), to: (virtual, 80))
    /// The flow as the backend answers it.
    private let answer = Flow(from: (server, 8080), to: (gateway, 40_000))

    @Test("DNAT and SNAT rewrite both directions from one entry, checksums by recomputation")
    func roundTrip() {
        for partial in [false, true] {
            let table = ConnectionTable(capacity: 16, seed: 1)
            let offload = OffloadHeader(needsChecksum: partial)
            var syn = Frame.tcp(flow, .syn, seq: 1, partial: partial)
            let first = table.forward(
                &syn, at: seconds(0), dnat: backend, snat: masquerade, offload: offload)
            #expect(first.state == .new)
            #expect(Tuple(syn.view) == Tuple(gateway, 40_000, server, 8080, .tcp))
            #expect(checksumsAreRight(syn, partial: partial))
            #expect(table.status(first.connection!).contains([.sourceNAT, .destinationNAT]))

            var synAck = Frame.tcp(answer, [.syn, .ack], seq: 9, ack: 2, partial: partial)
            let second = table.forward(&synAck, at: seconds(0), offload: offload)
            #expect(second.direction == .reply)
            #expect(Tuple(synAck.view) == Tuple(virtual, 80, client, 40_000, .tcp))
            #expect(checksumsAreRight(synAck, partial: partial))

            var ack = Frame.tcp(flow, .ack, seq: 2, ack: 10, data: 31, partial: partial)
            _ = table.forward(&ack, at: seconds(0), offload: offload)
            #expect(Tuple(ack.view) == Tuple(gateway, 40_000, server, 8080, .tcp))
            #expect(checksumsAreRight(ack, partial: partial))
            #expect(table.count == 1)
        }
    }

    @Test("UDP without a checksum stays without one")
    func udpZero() {
        let table = ConnectionTable(capacity: 16, seed: 1)
        var frame = Frame.udp(flow, checksum: false)
        _ = table.forward(&frame, at: seconds(0), dnat: backend, snat: masquerade)
        #expect(Tuple(frame.view) == Tuple(gateway, 40_000, server, 8080, .udp))
        #expect(frame.bytes.span.bytes.u16(40) == 0)
    }

    @Test("an ICMP identifier is translated like a port")
    func echo() {
        let table = ConnectionTable(capacity: 16, seed: 1)
        let other = IPv4Address(10, 1, 0, 3)
        var one = Frame.icmp(client, server, type: 8, id: 7)
        _ = table.forward(&one, at: seconds(0), snat: masquerade)
        var two = Frame.icmp(other, server, type: 8, id: 7)
        _ = table.forward(&two, at: seconds(0), snat: masquerade)
        #expect(one.view.icmpIdentifier == 7)
        #expect(two.view.icmpIdentifier != 7, "the identifier was taken")
        #expect(checksumsAreRight(two))
        var back = Frame.icmp(server, gateway, type: 0, id: two.view.icmpIdentifier)
        _ = table.forward(&back, at: seconds(0))
        #expect(back.view.destination == other)
        #expect(back.view.icmpIdentifier == 7)
        #expect(checksumsAreRight(back))
    }

    @Test("an ICMP error is translated outside and inside, from either side")
    func errors() {
        let table = ConnectionTable(capacity: 16, seed: 1)
        var syn = Frame.tcp(flow, .syn, seq: 1)
        _ = table.forward(&syn, at: seconds(0), dnat: backend, snat: masquerade)
        // A router behind the node complains about what the node sent.
        var error = syn.error(from: IPv4Address(10, 2, 0, 254), type: 3, code: 4)
        let tracked = table.forward(&error, at: seconds(0))
        #expect(tracked.state == .related)
        #expect(error.view.destination == client)
        // The error comes from where the connection's other end seems to be.
        #expect(error.view.source == virtual)
        expectQuote(error, client, 40_000, virtual, 80)

        // The client complains about what came back.
        var synAck = Frame.tcp(answer, [.syn, .ack], seq: 9, ack: 2)
        _ = table.forward(&synAck, at: seconds(0))
        var complaint = synAck.error(from: client, type: 3, code: 3)
        let about = table.forward(&complaint, at: seconds(0))
        #expect(about.direction == .original)
        #expect(complaint.view.destination == server)
        #expect(complaint.view.source == gateway)
        expectQuote(complaint, server, 8080, gateway, 40_000)
    }

    private func expectQuote(
        _ error: Frame, _ source: IPv4Address, _ sourcePort: UInt16, _ destination: IPv4Address,
        _ destinationPort: UInt16
    ) {
        #expect(checksumsAreRight(error))
        let inner = Frame(quotedBy: error)
        #expect(
            Tuple(inner.view) == Tuple(source, sourcePort, destination, destinationPort, .tcp))
        #expect(checksumsAreRight(inner))
    }

    @Test("of a quoted TCP header cut short only the ports change")
    func shortQuote() {
        let table = ConnectionTable(capacity: 16, seed: 1)
        var syn = Frame.tcp(flow, .syn, seq: 1)
        _ = table.forward(&syn, at: seconds(0), dnat: backend, snat: masquerade)
        for quoted in [28, 38, 39] {
            var error = syn.error(from: gateway, quoting: quoted)
            let before = error.bytes
            _ = table.forward(&error, at: seconds(0))
            #expect(checksumsAreRight(error))
            #expect(error.bytes.count == before.count)
            let inner = PacketView.parseQuoted(error.bytes.span.bytes, networkOffset: 42)!
            #expect(inner.sourcePort == Port(40_000))
            #expect(inner.destinationPort == Port(80))
            // Behind the ports nothing moved.
            #expect(error.bytes[66...] == before[66...])
        }
    }

    @Test("a redirect about a translated connection is refused")
    func redirect() {
        let table = ConnectionTable(capacity: 16, seed: 1)
        var syn = Frame.tcp(flow, .syn, seq: 1)
        _ = table.forward(&syn, at: seconds(0), dnat: backend, snat: masquerade)
        var error = syn.error(from: gateway, type: 5)
        #expect(table.forward(&error, at: seconds(0)).drop != nil)
        let plain = ConnectionTable(capacity: 16, seed: 1)
        var other = Frame.tcp(Flow(), .syn)
        _ = plain.forward(&other, at: seconds(0))
        var allowed = other.error(from: gateway, type: 5)
        #expect(plain.forward(&allowed, at: seconds(0)).drop == nil)
    }

    @Test("an ICMP error with a wrong checksum that nobody verified is refused, translated or not")
    func damagedError() {
        let table = ConnectionTable(capacity: 16, seed: 1)
        var syn = Frame.tcp(flow, .syn, seq: 1)
        _ = table.forward(&syn, at: seconds(0))
        var error = syn.error(from: gateway)
        error.bytes[36] ^= 1
        let tracked = table.track(error, at: seconds(0), verify: false)
        #expect(tracked.state == .related)
        var view = error.view
        var storage = error.bytes.mutableSpan
        var span = storage.mutableBytes
        #expect(
            table.translate(&span, &view, tracked, end: .destination, offload: .none) == .refused)
    }

    @Test("a quoted ping gets its identifier back")
    func quotedEcho() {
        let table = ConnectionTable(capacity: 16, seed: 1)
        var ping = Frame.icmp(client, server, type: 8, id: 7)
        _ = table.forward(
            &ping, at: seconds(0), snat: NATRange(gateway, ports: Port(500)...Port(500)))
        #expect(ping.view.icmpIdentifier == 500)
        var error = ping.error(from: IPv4Address(10, 9, 9, 9), type: 11, code: 0)
        _ = table.forward(&error, at: seconds(0))
        let inner = Frame(quotedBy: error)
        #expect(inner.view.source == client)
        #expect(inner.view.icmpIdentifier == 7)
        #expect(checksumsAreRight(inner))
        #expect(checksumsAreRight(error))
    }

    @Test("INVALID packets are not translated")
    func invalid() {
        let table = ConnectionTable(capacity: 16, seed: 1)
        var syn = Frame.tcp(flow, .syn, seq: 1)
        _ = table.forward(&syn, at: seconds(0), dnat: backend, snat: masquerade)
        var bad = Frame.tcp(flow, [.fin, .syn], seq: 1)
        let before = bad.bytes
        #expect(table.forward(&bad, at: seconds(0)).state == .invalid)
        #expect(bad.bytes == before)
    }

    @Test("the RST that ends a connection is still translated")
    func reset() {
        let table = ConnectionTable(capacity: 16, seed: 1)
        var syn = Frame.tcp(flow, .syn, seq: 1)
        _ = table.forward(&syn, at: seconds(0), dnat: backend, snat: masquerade)
        var reset = Frame.tcp(answer, [.rst, .ack], ack: 2)
        _ = table.forward(&reset, at: seconds(0))
        #expect(Tuple(reset.view) == Tuple(virtual, 80, client, 40_000, .tcp))
        #expect(table.count == 0)
    }
}

extension Frame {
    /// The packet inside an ICMP error, as a frame of its own.
    init(quotedBy error: Frame) {
        bytes = [UInt8](repeating: 0, count: 14) + error.bytes[42...]
    }
}
