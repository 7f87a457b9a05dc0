import FrameFixture
import Testing
import Wire

private func frame(
    protocol: UInt8, payload: [UInt8], fragmentField: UInt16 = 0
) -> [UInt8] {
    ipv4Frame(
        IPv4Address(10, 0, 0, 1), IPv4Address(10, 0, 0, 2), IPProtocol(rawValue: `protocol`),
        payload, fragmentField: fragmentField)
}

func udp(_ source: UInt16, _ destination: UInt16, _ data: [UInt8]) -> [UInt8] {
    let length = UInt16(8 + data.count)
    return [
        UInt8(source >> 8), UInt8(source & 255), UInt8(destination >> 8), UInt8(destination & 255),
        UInt8(length >> 8), UInt8(length & 255), 0, 0,
    ] + data
}

func tcp(_ source: UInt16, _ destination: UInt16, flags: TCPFlags, data: [UInt8] = []) -> [UInt8] {
    [
        UInt8(source >> 8), UInt8(source & 255), UInt8(destination >> 8), UInt8(destination & 255),
        0, 0, 0, 1, 0, 0, 0, 2, 0x50, flags.rawValue, 0x20, 0, 0, 0, 0, 0,
    ] + data
}

func parsed(_ bytes: [UInt8]) -> PacketView? {
    guard case .packet(let view) = PacketView.parse(bytes.span.bytes) else { return nil }
    return view
}

@Suite("Parsing IPv4")
struct PacketViewTests {
    @Test("a TCP segment's fields are found")
    func tcpFields() throws {
        let view = try #require(parsed(frame(protocol: 6, payload: tcp(40000, 80, flags: [.syn]))))
        #expect(view.transport == .tcp)
        #expect(view.sourcePort == Port(40000) && view.destinationPort == Port(80))
        #expect(view.tcpFlags == .syn && view.tcpHeaderLength == 20)
        #expect(view.source == IPv4Address(10, 0, 0, 1) && view.timeToLive == 64)
        #expect(view.end == 54)
    }

    @Test("link-layer padding lies behind the end of the packet")
    func padding() throws {
        let bytes = frame(protocol: 17, payload: udp(1, 2, [])) + [UInt8](repeating: 0, count: 18)
        #expect(try #require(parsed(bytes)).end == 42)
    }

    @Test("what the kernel's IP layer refuses is refused with its reason")
    func refusals() {
        func reason(_ change: (inout [UInt8]) -> Void) -> DropReason? {
            var bytes = frame(protocol: 17, payload: udp(1, 2, [1, 2, 3, 4]))
            change(&bytes)
            if case .malformed(let reason) = PacketView.parse(bytes.span.bytes) { return reason }
            return nil
        }
        #expect(reason { $0[14] = 0x65 } == .badVersion)
        #expect(reason { $0[14] = 0x44 } == .badHeaderLength)
        #expect(reason { $0[14] = 0x4F } == .badHeaderLength)
        #expect(reason { $0[24] ^= 1 } == .badHeaderChecksum)
        #expect(reason { $0.removeLast() } == .badTotalLength)
        #expect(reason { $0.removeLast(20) } == .frameTooShort)
        #expect(reason { _ in } == nil)
    }

    @Test("a later fragment and a short transport header have no ports")
    func noTransport() throws {
        let later = try #require(
            parsed(frame(protocol: 17, payload: udp(1, 2, []), fragmentField: 0x2001)))
        #expect(later.transport == .fragment && later.fragmentOffset == 8 && later.moreFragments)
        let short = try #require(parsed(frame(protocol: 6, payload: [1, 2, 3, 4])))
        #expect(short.transport == .truncated)
    }

    @Test("an impossible TCP data offset is reported as it stands")
    func dataOffset() throws {
        var segment = tcp(1, 2, flags: .ack)
        segment[12] = 0xF0
        let view = try #require(parsed(frame(protocol: 6, payload: segment)))
        #expect(view.transport == .tcp && view.tcpHeaderLength == 60 && view.transportLength == 20)
    }

    @Test("no prefix and no mutation of a packet makes the parser read out of bounds")
    func mutations() {
        let seed = UInt64.random(in: 0 ... .max)
        var random = SeededRandom(seed: seed)
        let whole = frame(protocol: 6, payload: tcp(1, 2, flags: [.ack], data: [1, 2, 3]))
        for length in 0...whole.count {
            for _ in 0..<20 {
                var bytes = Array(whole.prefix(length))
                for _ in 0..<Int.random(in: 0...4, using: &random) where !bytes.isEmpty {
                    bytes[Int.random(in: 0..<bytes.count, using: &random)] =
                        UInt8.random(in: 0...255, using: &random)
                }
                if case .packet(let view) = PacketView.parse(bytes.span.bytes) {
                    #expect(view.end <= bytes.count, "seed \(seed)")
                }
                _ = PacketView.parseQuoted(bytes.span.bytes, networkOffset: 14)
            }
        }
    }
}

@Suite("Rewriting")
struct RewriteTests {
    /// The transport checksum computed from scratch.
    func transportSum(_ bytes: [UInt8]) -> UInt16 {
        let view = parsed(bytes)!
        var sum = InternetChecksum()
        if view.protocol != .icmp {
            sum.addPseudoHeader(
                source: view.source, destination: view.destination, protocol: view.protocol,
                length: view.transportLength)
        }
        sum.add(bytes.span.bytes, view.transportOffset..<view.end)
        return sum.folded
    }

    func rewrite(_ bytes: inout [UInt8], partial: Bool) {
        var packet = parsed(bytes)!
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        raw.rewriteAddress(
            .destination, to: IPv4Address(192, 0, 2, 99), in: &packet, partialChecksum: partial)
        raw.rewritePort(.destination, to: Port(8080), in: &packet, partialChecksum: partial)
        raw.rewriteAddress(
            .source, to: IPv4Address(198, 51, 100, 7), in: &packet, partialChecksum: partial)
        raw.decrementTimeToLive(in: &packet)
        #expect(parsed(bytes) == packet)
    }

    @Test("complete checksums stay correct", arguments: [UInt8(6), 17, 1])
    func complete(protocol: UInt8) {
        var payload =
            `protocol` == 6 ? tcp(1, 2, flags: .ack, data: [9, 8, 7]) : udp(1, 2, [5, 6, 7])
        if `protocol` == 1 { payload = [8, 0, 0, 0, 0, 1, 0, 2, 1, 2, 3] }
        var bytes = frame(protocol: `protocol`, payload: payload)
        let field = 34 + (`protocol` == 6 ? 16 : `protocol` == 17 ? 6 : 2)
        let sum = ~transportSum(bytes)
        bytes[field] = UInt8(sum >> 8)
        bytes[field + 1] = UInt8(sum & 255)
        #expect(transportSum(bytes) == 0xFFFF)
        rewrite(&bytes, partial: false)
        #expect(transportSum(bytes) == 0xFFFF)
    }

    @Test("a partial checksum stays the pseudo-header sum, untouched by the ports")
    func partial() {
        var bytes = frame(protocol: 6, payload: tcp(1, 2, flags: .ack, data: [1]))
        func pseudoHeader() -> UInt16 {
            let view = parsed(bytes)!
            var sum = InternetChecksum()
            sum.addPseudoHeader(
                source: view.source, destination: view.destination, protocol: .tcp,
                length: view.transportLength)
            return sum.folded
        }
        bytes[50] = UInt8(pseudoHeader() >> 8)
        bytes[51] = UInt8(pseudoHeader() & 255)
        rewrite(&bytes, partial: true)
        #expect(UInt16(bytes[50]) << 8 | UInt16(bytes[51]) == pseudoHeader())
    }

    @Test("UDP without a checksum stays without one")
    func udpZero() {
        var bytes = frame(protocol: 17, payload: udp(1, 2, [1, 2]))
        rewrite(&bytes, partial: false)
        #expect(bytes[40] == 0 && bytes[41] == 0)
    }
}
