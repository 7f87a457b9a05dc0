// ICMP errors about translated packets, from every kind of sender and with every kind of quotation, and the
// node's own: the bytes that Sluice sends are the kernel's.

import FrameFixture
import NamespaceFixture
import Scenario
import Testing
import Wire

@Suite("ICMP errors, through Sluice and through the kernel", .enabled(if: isRoot, needsRoot))
struct ICMPErrorTests {
    /// A first packet of each kind that a rule translates, from outside or from inside.
    struct Flow: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var isInward: Bool
        var frame: TestFrame

        var first: CasePacket {
            isInward ? Gateway.fromOutside(frame) : Gateway.fromInside(frame)
        }
        /// A router on the side to which the packet goes.
        var hop: IPv4Address { isInward ? IPv4Address(10, 0, 0, 77) : Gateway.router }

        func with(_ change: (inout TestFrame) -> Void) -> CasePacket {
            var copy = self
            change(&copy.frame)
            return copy.first
        }
    }

    private static func inward(_ name: String, _ make: (TestFrame) -> TestFrame) -> Flow {
        Flow(
            testDescription: "DNAT, \(name)", isInward: true,
            frame: make(TestFrame(source: Gateway.far, destination: Gateway.outside)))
    }

    private static func outward(_ name: String, _ make: (TestFrame) -> TestFrame) -> Flow {
        Flow(
            testDescription: "MASQUERADE, \(name)", isInward: false,
            frame: make(TestFrame(source: Gateway.server, destination: Gateway.far)))
    }

    static let flows = [
        inward("TCP") { $0.tcp(4000, 8080, .syn, options: [2, 4, 5, 180], pattern(60)) },
        inward("UDP") { $0.udp(4001, 5353, pattern(60)) },
        inward("echo") { $0.icmp(8, rest: 0x1234_0001, pattern(60)) },
        inward("protocol 99") { $0.carrying(IPProtocol(rawValue: 99), pattern(60)) },
        outward("TCP") { $0.tcp(4000, 80, .syn, options: [2, 4, 5, 180], pattern(60)) },
        outward("UDP") { $0.udp(4001, 53, pattern(60)) },
        outward("UDP without a checksum") { $0.udp(4002, 53, pattern(60)).unsummed },
        outward("echo") { $0.icmp(8, rest: 0x1234_0001, pattern(60)) },
        outward("protocol 99") { $0.carrying(IPProtocol(rawValue: 99), pattern(60)) },
    ]

    static let kinds: [(type: UInt8, code: UInt8)] =
        (0...16).map { (3, $0) } + [(4, 0), (11, 0), (11, 1), (12, 0), (12, 2)]
        + (0...3).map { (5, $0) }

    @Test("of every type and code, quoting much and little", arguments: flows)
    func everyKind(_ flow: Flow) throws {
        var packets = [flow.first]
        for (type, code) in Self.kinds {
            // 8 bytes behind the IP header are the least (RFC 792); 20 are TCP's header; all there is.
            for length in [8, 20, 200] {
                packets.append(
                    error(about: flow, type, code, quoting: length, from: flow.hop))
            }
        }
        let outcomes = try BothEngines.compare(
            Case(topology: Gateway.topology(), rules: Gateway.rules, packets: packets))
        // A frag-needed must have come through, not only been dropped alike.
        let passed = outcomes.dropFirst().filter { !$0.emissions.isEmpty }.count
        #expect(passed >= 3 * 20, "\(flow): \(passed) of \(packets.count - 1)")
    }

    @Test(
        "that are odd: from the destination itself, too short, wrong inside or out",
        arguments: flows)
    func oddities(_ flow: Flow) throws {
        var packets = [flow.first]
        let target = flow.isInward ? Gateway.server : flow.frame.destination
        for (type, code) in [(3, 4), (3, 3), (11, 0)] as [(UInt8, UInt8)] {
            packets.append(error(about: flow, type, code, quoting: 28, from: target))
            for length in [0, 4, 7, 9, 16, 19] {
                packets.append(error(about: flow, type, code, quoting: length, from: flow.hop))
            }
            var damaged = error(about: flow, type, code, quoting: 200, from: flow.hop)
            damaged.bytes[36] ^= 1
            damaged.note = "the error's checksum is wrong"
            packets.append(damaged)
            var inner = flow.frame
            inner.payload[min(17, inner.payload.count - 1)] ^= 1
            packets.append(
                error(about: flow, type, code, quoting: 200, from: flow.hop, inner: inner))
            inner = flow.frame
            inner.fragmentField = 0x2000
            packets.append(
                error(about: flow, type, code, quoting: 28, from: flow.hop, inner: inner))
            inner.fragmentField = 20
            packets.append(
                error(about: flow, type, code, quoting: 28, from: flow.hop, inner: inner))
            inner = flow.frame
            inner.options = [1, 1, 1, 0]
            packets.append(
                error(about: flow, type, code, quoting: 28, from: flow.hop, inner: inner))
        }
        try BothEngines.compare(
            Case(topology: Gateway.topology(), rules: Gateway.rules, packets: packets))
    }

    @Test("of the node itself: too big and used up, quoting what was sent")
    func ownErrors() throws {
        let packets = Self.flows.flatMap { flow in
            let large = { (frame: inout TestFrame) in
                frame.fragmentField = 0x4000
                let more = pattern(1380)
                switch frame.protocol {
                case .tcp: frame = frame.tcp(4000, flow.isInward ? 8080 : 80, .syn, more)
                case .udp: frame = frame.udp(4001, flow.isInward ? 5353 : 53, more)
                case .icmp: frame = frame.icmp(8, rest: 0x1234_0001, more)
                default: frame.payload = more
                }
            }
            // Before and after there is a connection.
            return [
                flow.with(large), flow.with { $0.timeToLive = 1 }, flow.first, flow.with(large),
                flow.with { $0.timeToLive = 1 },
            ]
        }
        var topology = Gateway.topology(insideMTU: 1300)
        // Both ways are narrow, so that either direction is too big.
        topology.links[0].mtu = 1300
        let outcomes = try BothEngines.compare(
            Case(topology: topology, rules: Gateway.rules, packets: packets))
        #expect(outcomes.allSatisfy { $0.emissions.count == 1 })
    }

    @Test("of the node itself: refused by REJECT in each way", arguments: rejections)
    func rejected(_ kind: String) throws {
        let match = kind == "tcp-reset" ? "-p tcp " : ""
        let rules = Gateway.rules.replacing(
            "-A OUTPUT", with: "-A FORWARD \(match)-j REJECT --reject-with \(kind)\n-A OUTPUT")
        let packets = Self.flows.flatMap { [$0.first, $0.first] }
        let outcomes = try BothEngines.compare(
            Case(topology: Gateway.topology(), rules: rules, packets: packets))
        // REJECT is silent about protocols whose checksum it finds wrong, and protocol 99 has none.
        #expect(outcomes.filter { $0.emissions.count == 1 }.count >= 14)
    }

    static let rejections = [
        "icmp-net-unreachable", "icmp-host-unreachable", "icmp-proto-unreachable",
        "icmp-port-unreachable", "icmp-net-prohibited", "icmp-host-prohibited",
        "icmp-admin-prohibited", "tcp-reset",
    ]

    /// An error that answers the case's first packet; what it quotes is made to fit what each engine sent.
    private func error(
        about flow: Flow, _ type: UInt8, _ code: UInt8, quoting length: Int,
        from source: IPv4Address,
        inner: TestFrame? = nil
    ) -> CasePacket {
        var quoted = (inner ?? flow.frame).bytes.dropFirst(14)
        quoted = quoted.prefix(20 + ((inner ?? flow.frame).options.count) + length)
        // The next hop's MTU, a gateway, or a pointer: what the word means depends on the type.
        let frame = TestFrame(source: source, destination: flow.frame.source)
            .icmp(type, code, rest: type == 5 ? 0xC000_02FD : 1200, Array(quoted))
        var packet = flow.isInward ? Gateway.fromInside(frame) : Gateway.fromOutside(frame)
        packet.answers = 0
        packet.note = "\(flow.testDescription): \(type)/\(code) quoting \(length) bytes"
        return packet
    }
}

extension TestFrame {
    func carrying(_ number: IPProtocol, _ payload: [UInt8]) -> TestFrame {
        var copy = self
        copy.protocol = number
        copy.payload = payload
        return copy
    }

    /// A UDP datagram whose sender computed no checksum.
    var unsummed: TestFrame {
        var copy = self
        copy.payload[6] = 0
        copy.payload[7] = 0
        return copy
    }
}
