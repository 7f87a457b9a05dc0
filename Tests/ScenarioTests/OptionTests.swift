import Testing
import Wire

@testable import Scenario

/// The example's client sends to the far side with options; `options` are whole words.
private func packet(_ options: [UInt8], to destination: [UInt8] = [10, 9, 0, 5]) throws -> [UInt8] {
    let plain = try example().packets[0].bytes
    var bytes = Array(plain[..<34]) + options + Array(plain[34...])
    bytes[14] = UInt8(0x45 + options.count / 4)
    bytes[17] = UInt8(bytes.count - 14)
    bytes.replaceSubrange(30..<34, with: destination)
    bytes[24] = 0
    bytes[25] = 0
    let sum = bytes.withRawSpan { span in
        var sum = InternetChecksum()
        sum.add(span, 14..<34 + options.count)
        return sum.complemented
    }
    bytes[24] = UInt8(sum >> 8)
    bytes[25] = UInt8(sum & 255)
    return bytes
}

private func subject(_ rules: String, _ packets: CasePacket...) throws -> Case {
    var subject = try example()
    subject.rules = rules
    subject.packets = packets
    return subject
}

private func at(_ seconds: UInt64, _ bytes: [UInt8]) -> CasePacket {
    CasePacket(
        time: Timestamp(nanoseconds: seconds * 1_000_000_000), origin: .wire(link: "eth0"),
        bytes: bytes)
}

@Suite("IPv4 options without a kernel")
struct OfflineOptionTests {
    /// A record of one stop.
    private let record: [UInt8] = [7, 7, 4, 0, 0, 0, 0, 0]

    @Test("a recorded route names the egress")
    func recordRoute() throws {
        let (outcomes, _, _) = try run(try subject("", at(0, try packet(record))))
        let emission = try #require(outcomes[0].emissions.first)
        #expect(emission.place == .wire(link: "eth1"))
        #expect(Array(emission.bytes[34..<42]) == [7, 7, 8, 10, 0, 1, 1, 0])
        // The header's checksum is right again.
        _ = try view(emission)
    }

    @Test("a timestamp is the clock's time of day")
    func timestamp() throws {
        let stamp: [UInt8] = [68, 8, 5, 0, 0, 0, 0, 0]
        // One second past the second midnight.
        let (outcomes, _, _) = try run(try subject("", at(172_801, try packet(stamp))))
        let emission = try #require(outcomes[0].emissions.first)
        #expect(Array(emission.bytes[34..<42]) == [68, 8, 9, 0, 0, 0, 3, 232])
    }

    @Test("a malformed option is answered with its place")
    func malformed() throws {
        let (outcomes, _, _) = try run(try subject("", at(0, try packet([1, 7, 2, 4]))))
        #expect(outcomes[0].dropReason == .badOption)
        let answer = try view(outcomes[0].emissions.first)
        #expect(answer.icmpType == 12 && answer.destination == IPv4Address(10, 0, 0, 9))
        #expect(outcomes[0].emissions[0].bytes[38] == 22)
    }

    @Test("a source route is not followed where that is not allowed")
    func sourceRoute() throws {
        let route: [UInt8] = [131, 7, 4, 10, 9, 0, 5, 0]
        let bytes = try packet(route, to: [10, 0, 0, 1])
        var closed = try subject("", at(0, bytes))
        #expect(try run(closed).outcomes[0].dropReason == .sourceRoute)
        closed.topology.settings["net.ipv4.conf.all.accept_source_route"] = "1"
        let sent = try view(try run(closed).outcomes[0].emissions.first)
        #expect(sent.destination == IPv4Address(10, 9, 0, 5))
    }

    @Test("a security label is carried whatever it says")
    func securityLabel() throws {
        let label: [UInt8] = [134, 8, 0, 0, 0, 0, 1, 0]
        let (outcomes, _, _) = try run(try subject("", at(0, try packet(label))))
        let emission = try #require(outcomes[0].emissions.first)
        #expect(Array(emission.bytes[34..<42]) == label)
    }

    @Test("host unreachable echoes a route that was recorded once")
    func unreachable() throws {
        let bytes = try packet(
            [7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0], to: [10, 0, 1, 77])
        let later = try packet([1, 1, 1, 1])
        let (outcomes, _, _) = try run(try subject("", at(0, bytes), at(60, later)))
        let answer = try #require(outcomes[1].emissions.first)
        let seen = try view(answer)
        #expect(seen.icmpType == 3 && seen.icmpCode == 1)
        #expect(
            Array(answer.bytes[34..<46]) == [7, 11, 12, 10, 0, 1, 1, 10, 0, 0, 1, 0])
    }

    @Test("what OUTPUT rejects is answered without options")
    func output() throws {
        let rules = "*filter\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -p udp -j REJECT\nCOMMIT\n"
        var own = Array(try packet(record)[14...])
        own.replaceSubrange(12..<16, with: [10, 0, 1, 1])
        own[10] = 0
        own[11] = 0
        let sum = own.withRawSpan { span in
            var sum = InternetChecksum()
            sum.add(span, 0..<28)
            return sum.complemented
        }
        own[10] = UInt8(sum >> 8)
        own[11] = UInt8(sum & 255)
        let packet = CasePacket(origin: .node(), bytes: own)
        let (outcomes, _, _) = try run(try subject(rules, packet))
        let answer = try #require(outcomes[0].emissions.first)
        #expect(answer.place == .delivered(link: "lo"))
        #expect(answer.bytes[0] == 0x45)
    }
}
