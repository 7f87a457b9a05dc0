import Testing
import Wire

@testable import Scenario

/// Runs a case on an offline node, answers resolved.
func run(
    _ subject: Case, options: OfflineNode.Options = OfflineNode.Options()
) throws -> (outcomes: [Outcome], state: FinalState, node: OfflineNode) {
    let node = try OfflineNode(subject, options: options)
    var outcomes: [Outcome] = []
    for packet in subject.packets {
        outcomes.append(
            try node.inject(packet.answers.map { packet.answering(outcomes[$0]) } ?? packet))
    }
    return (outcomes, node.finish(), node)
}

func view(_ emission: Emission?) throws -> PacketView {
    let emission = try #require(emission)
    let offset = if case .wire = emission.place { 14 } else { 0 }
    return try #require(
        emission.bytes.withRawSpan { span -> PacketView? in
            guard case .packet(let view) = PacketView.parse(span, networkOffset: offset) else {
                return nil
            }
            return view
        })
}

@Suite("A node without a kernel")
struct OfflineNodeTests {
    @Test("translates, and an answer finds its way back whatever port was chosen")
    func exchange() throws {
        let (outcomes, state, _) = try run(try example())
        let request = try view(outcomes[0].emissions.first)
        #expect(outcomes[0].emissions.map(\.place) == [.wire(link: "eth1")])
        #expect(request.destination == IPv4Address(10, 9, 0, 5))
        #expect(request.destinationPort == Port(8080))
        #expect(request.source == IPv4Address(10, 0, 1, 1))
        let reply = try view(outcomes[1].emissions.first)
        #expect(outcomes[1].emissions.map(\.place) == [.wire(link: "eth0")])
        #expect(reply.source == IPv4Address(10, 0, 0, 1) && reply.sourcePort == Port(80))
        #expect(reply.destination == IPv4Address(10, 0, 0, 9))
        #expect(
            state.connections == [
                "ipv4     2 udp      17 7 src=10.0.0.9 dst=10.0.0.1 sport=4000 dport=80 "
                    + "src=10.9.0.5 dst=10.0.1.1 sport=8080 dport=4000 mark=0 use=1"
            ])
        #expect(state.events.count == 2)
        #expect(state.events.first?.contains("[NEW]") == true)
        #expect(state.rules.contains("[1:32] -A PREROUTING"))
    }

    @Test("ends a connection at its own moment, when the clock passes it")
    func timeout() throws {
        var subject = try example()
        var late = subject.packets[0]
        late.time = Timestamp(nanoseconds: 60_000_000_000)
        subject.packets.append(late)
        let (_, state, _) = try run(subject)
        try #require(state.events.count == 4)
        #expect(state.events[2].contains("[DESTROY]"))
        #expect(state.connections.count == 1)
    }

    @Test("says why a packet went no further")
    func drop() throws {
        var subject = try example()
        subject.packets = [subject.packets[0]]
        subject.packets[0].bytes[24] ^= 1
        let (outcomes, _, node) = try run(subject)
        #expect(outcomes[0].dropReason == .badHeaderChecksum)
        #expect(outcomes[0].emissions.isEmpty)
        #expect(node.dataplane.counters.drops(.badHeaderChecksum) == 1)
    }

    @Test("delivers to itself, and a packet to its own address stays on lo")
    func own() throws {
        var subject = try example()
        subject.rules = ""
        let packet = Array(subject.packets[0].bytes.dropFirst(14))
        subject.packets = [subject.packets[0]]
        // From one of its own addresses to another.
        var own = packet
        own[12...15] = [10, 0, 1, 1]
        own.fixHeaderChecksum()
        subject.packets.append(
            CasePacket(origin: .node(), bytes: own))
        let (outcomes, _, _) = try run(subject)
        #expect(outcomes[0].emissions == [Emission(.delivered(link: "eth0"), bytes: packet)])
        #expect(outcomes[1].emissions == [Emission(.delivered(link: "lo"), bytes: own)])
    }

    @Test("follows a packet in words when asked")
    func trace() throws {
        var options = OfflineNode.Options()
        options.traces = true
        let (outcomes, _, _) = try run(try example(), options: options)
        #expect(outcomes[0].trace.contains("nat PREROUTING"))
        #expect(outcomes[0].trace.contains("sent       on eth1"))
    }

    @Test("does the same twice")
    func deterministic() throws {
        let first = try run(try example())
        let second = try run(try example())
        #expect(first.outcomes == second.outcomes && first.state == second.state)
    }
}

extension [UInt8] {
    /// The IPv4 header's checksum, of a packet without a frame.
    mutating func fixHeaderChecksum() {
        self[10] = 0
        self[11] = 0
        let sum = withRawSpan { span in
            var sum = InternetChecksum()
            sum.add(span, 0..<20)
            return sum.complemented
        }
        self[10] = UInt8(sum >> 8)
        self[11] = UInt8(sum & 255)
    }
}
