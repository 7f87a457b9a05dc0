import FrameFixture
import NamespaceFixture
import Testing
import Wire

@testable import Dataplane

/// What the builder writes about `frame`, with the identification that the kernel happened to take.
private func errorPacket(
    _ error: ICMPError, about frame: TestFrame, from source: IPv4Address, like answer: [UInt8]
) -> [UInt8] {
    let bytes = frame.bytes
    let identification = answer.count < 6 ? 0 : UInt16(answer[4]) << 8 | UInt16(answer[5])
    return built { out in
        AnswerBuilder.writeError(
            error, about: parsed(bytes), in: bytes.span.bytes,
            header: AnswerHeader(
                source: source, timeToLive: 64, identification: identification, mtu: 1500),
            into: &out)
    }
}

private func resetPacket(about frame: TestFrame) -> [UInt8] {
    let bytes = frame.bytes
    return built { out in
        AnswerBuilder.writeReset(
            about: parsed(bytes), in: bytes.span.bytes, timeToLive: 64, into: &out)
    }
}

private func built(_ write: (inout MutableRawSpan) -> Int?) -> [UInt8] {
    var out = [UInt8](repeating: 0xEE, count: 1600)
    var storage = out.mutableSpan
    var span = storage.mutableBytes
    let length = write(&span) ?? 14
    return Array(out[14..<length])
}

extension TestFrame {
    fileprivate var forwarded: TestFrame {
        var copy = self
        copy.timeToLive -= 1
        return copy
    }
}

private let near = IPv4Address(10, 1, 0, 1)

@Suite("Answers, byte for byte as the kernel's", .enabled(if: isRoot, needsRoot))
struct KernelAnswerTests {
    @Test("time exceeded, for every TOS, with options, and quoting no more than fits 576 bytes")
    func timeExceeded() throws {
        let router = try KernelRouter()
        var frame = TestFrame(timeToLive: 1)
        for length in [0, 1, 500, 520, 521, 1400] {
            for tos: UInt8 in [0, 0x10, 0x1F, 0xFF, 0xB8] {
                frame.typeOfService = tos
                frame = frame.udp(1000, 2000, pattern(length))
                router.send(frame)
                let answer = try #require(router.packets(1, from: router.left).first)
                #expect(
                    answer == errorPacket(.timeExceeded, about: frame, from: near, like: answer),
                    "\(length) bytes, TOS \(tos)")
            }
        }
    }

    @Test("no route, a prohibited and an unreachable one, and a packet too big")
    func routing() throws {
        let router = try KernelRouter([
            "ip route add prohibit 10.3.0.0/24; ip route add unreachable 10.4.0.0/24",
            "ip route add blackhole 10.5.0.0/24; ip link set r1 mtu 1000",
        ])
        let cases: [(IPv4Address, ICMPError)] = [
            (IPv4Address(10, 9, 0, 1), .netUnreachable),
            (IPv4Address(10, 3, 0, 1), .administrativelyProhibited),
            (IPv4Address(10, 4, 0, 1), .hostUnreachable),
            (IPv4Address(10, 2, 0, 2), .fragmentationNeeded(mtu: 1000)),
        ]
        for (destination, error) in cases {
            let frame = TestFrame(destination: destination, fragmentField: 0x4000)
                .udp(1000, 2000, pattern(1100))
            router.send(frame)
            let answer = try #require(router.packets(1, from: router.left).first)
            #expect(answer == errorPacket(error, about: frame, from: near, like: answer))
        }
    }

    @Test(
        "a neighbour that does not answer is host unreachable, about the packet as it would leave")
    func neighbour() throws {
        let router = try KernelRouter()
        let frame = TestFrame(destination: IPv4Address(10, 2, 0, 77)).udp(1, 2, pattern(10))
        router.send(frame)
        let answer = try #require(router.packets(1, from: router.left).first)
        #expect(
            answer
                == errorPacket(.hostUnreachable, about: frame.forwarded, from: near, like: answer))
    }

    @Test(
        "a redirect to a better gateway on the sender's own link, quoting the packet as it leaves")
    func redirect() throws {
        let router = try KernelRouter([
            "ip route add 10.7.0.0/24 via 10.1.0.9",
            "ip neigh add 10.1.0.9 lladdr 02:00:00:00:00:09 dev r0",
        ])
        let frame = TestFrame(destination: IPv4Address(10, 7, 0, 1)).udp(1, 2, pattern(10))
        router.send(frame)
        let both = router.packets(2, from: router.left)
        let answer = try #require(both.first { $0[9] == 1 })
        let gateway = IPv4Address(10, 1, 0, 9)
        #expect(
            answer
                == errorPacket(
                    .redirectHost(gateway: gateway), about: frame.forwarded, from: near,
                    like: answer))
        #expect(both.contains { $0[9] == 17 })
    }

    @Test("a redirect is sent although FORWARD drops, and not about a connection half translated")
    func redirectAndRules() throws {
        let setup = [
            "ip route add 10.7.0.0/24 via 10.1.0.9",
            "ip neigh add 10.1.0.9 lladdr 02:00:00:00:00:09 dev r0",
        ]
        let frame = TestFrame(destination: IPv4Address(10, 7, 0, 1)).udp(1, 2, pattern(10))
        let dropping = try KernelRouter(setup + ["iptables -P FORWARD DROP"])
        dropping.send(frame)
        #expect(dropping.packets(1, from: dropping.left).map { $0[9] } == [1])

        let translating = try KernelRouter(
            setup + ["iptables -t nat -A POSTROUTING -p tcp -j MASQUERADE"])
        translating.send(frame)
        #expect(translating.packets(1, from: translating.left).map { $0[9] } == [17])
        // Redirects to one sender are 40 ms apart: until then the packets pass alone.
        var seen: [UInt8] = []
        repeat {
            translating.send(frame)
            seen += translating.packets(1, from: translating.left).map { $0[9] }
        } while !seen.contains(1) && seen.count < 100_000 && !seen.isEmpty
        #expect(seen.contains(1), "no redirect after \(seen.count) packets")
    }

    @Test("every kind of REJECT, forwarded and local")
    func reject() throws {
        let kinds: [(String, ICMPError)] = [
            ("icmp-net-unreachable", .netUnreachable), ("icmp-host-unreachable", .hostUnreachable),
            ("icmp-proto-unreachable", .protocolUnreachable),
            ("icmp-port-unreachable", .portUnreachable), ("icmp-net-prohibited", .netProhibited),
            ("icmp-host-prohibited", .hostProhibited),
            ("icmp-admin-prohibited", .administrativelyProhibited),
        ]
        let rules = kinds.enumerated().flatMap { position, kind in
            ["FORWARD", "INPUT"].map {
                "iptables -A \($0) -p udp --dport \(5000 + position) -j REJECT"
                    + " --reject-with \(kind.0)"
            }
        }
        let router = try KernelRouter(rules)
        for (position, kind) in kinds.enumerated() {
            let frame = TestFrame().udp(1000, UInt16(5000 + position), pattern(33))
            router.send(frame)
            let answer = try #require(router.packets(1, from: router.left).first)
            #expect(
                answer == errorPacket(kind.1, about: frame.forwarded, from: near, like: answer))

            // A rejected packet for the node: the answer comes from the address it was sent to.
            let own = IPv4Address(10, 2, 0, 1)
            let local = TestFrame(destination: own).udp(1000, UInt16(5000 + position), pattern(33))
            router.send(local)
            let localAnswer = try #require(router.packets(1, from: router.left).first)
            #expect(
                localAnswer == errorPacket(kind.1, about: local, from: own, like: localAnswer))
        }
    }

    @Test("a reset for every combination of flags, with data, options and a lying data offset")
    func resets() throws {
        let router = try KernelRouter([
            "iptables -A FORWARD -p tcp -j REJECT --reject-with tcp-reset"
        ])
        var frames = (0..<64).map {
            TestFrame().tcp(
                1000, 80, TCPFlags(rawValue: UInt8($0)), sequence: 0xFFFF_FFF0,
                acknowledgement: 77, pattern(30))
        }
        frames.append(
            TestFrame().tcp(1000, 80, .syn, options: [2, 4, 5, 180, 1, 1, 1, 0], pattern(7)))
        for frame in frames where !parsed(frame.bytes).tcpFlags.contains(.rst) {
            router.send(frame)
            let answer = try #require(router.packets(1, from: router.left).first)
            #expect(answer == resetPacket(about: frame), "\(parsed(frame.bytes).tcpFlags)")
        }
    }

    @Test("what draws no answer from the kernel draws none from the node")
    func silence() throws {
        let router = try KernelRouter([
            "iptables -A FORWARD -p tcp -j REJECT --reject-with tcp-reset",
            "iptables -A FORWARD -p icmp -j REJECT", "iptables -A FORWARD -p udp -j REJECT",
            "iptables -A FORWARD -p 99 -j REJECT", "iptables -A FORWARD -p gre -j REJECT",
        ])
        var badUDP = TestFrame().udp(1, 2, pattern(9))
        badUDP.payload[9] ^= 1
        var unsummed = badUDP
        unsummed.payload[6] = 0
        unsummed.payload[7] = 0
        var badTCP = TestFrame().tcp(1, 2, .syn)
        badTCP.payload[5] ^= 1
        let fragments = TestFrame().udp(1, 2, pattern(100)).fragments(of: 64)
        let candidates: [TestFrame] =
            (0...45).map { TestFrame().icmp(UInt8($0), 0, pattern(40)) } + [
                badUDP, unsummed, badTCP, fragments[1], TestFrame().tcp(1, 2, .rst),
                TestFrame(protocol: .gre, payload: pattern(5)),
                TestFrame(protocol: IPProtocol(rawValue: 99), payload: pattern(5)),
                TestFrame(protocol: IPProtocol(rawValue: 99), payload: [255, 255]),
                TestFrame(source: IPv4Address(240, 0, 0, 9)).udp(1, 2),
            ]
        for (position, frame) in candidates.enumerated() {
            let bytes = frame.bytes
            let packet = AnsweredPacket(
                view: parsed(bytes), isGroup: false, checksumTrusted: false)
            let expected =
                frame.protocol == .tcp
                ? packet.mayDrawReset(bytes.span.bytes)
                : packet.mayDrawError(bytes.span.bytes) && packet.mayBeRejected(bytes.span.bytes)
            router.send(frame)
            // A marker behind it, which is always answered, ends the wait.
            let marker = TestFrame(identification: UInt16(position)).udp(7, 7, pattern(3))
            router.send(marker)
            var answers: [[UInt8]] = []
            repeat {
                let more = router.packets(1, from: router.left)
                if more.isEmpty { break }
                answers += more
            } while !answers.contains { isAnswer($0, to: marker) }
            // The kernel has no way back to a source that no route leads to.
            let reachable = frame.source != IPv4Address(240, 0, 0, 9)
            #expect(
                answers.count == (expected && reachable ? 2 : 1),
                "protocol \(frame.protocol.rawValue), payload \(frame.payload.prefix(2))")
        }
    }

    private func isAnswer(_ packet: [UInt8], to marker: TestFrame) -> Bool {
        packet.count >= 52 && Array(packet[48..<52]) == [0, 7, 0, 7]
            && packet[32] == UInt8(marker.identification >> 8)
            && packet[33] == UInt8(marker.identification & 255)
    }
}

@Suite("Fragments, byte for byte as the kernel's", .enabled(if: isRoot, needsRoot))
struct KernelFragmentTests {
    private func forwarded(_ sent: [TestFrame], mtu: Int, track: Bool, expecting count: Int)
        throws -> [[UInt8]]
    {
        var commands = ["ip link set r1 mtu \(mtu)"]
        if track { commands.append("iptables -A FORWARD -m conntrack --ctstate INVALID -j DROP") }
        let router = try KernelRouter(commands)
        for frame in sent { router.send(frame) }
        return router.packets(count, from: router.right)
    }

    private func cut(
        _ frame: TestFrame, mtu: Int, pieces: [Int] = [], memory: ReassembledDatagram? = nil
    ) throws -> [[UInt8]] {
        let bytes = frame.forwarded.bytes
        var fragmenter = try #require(
            Fragmenter(parsed(bytes), mtu: mtu, pieceLengths: pieces, reassembled: memory))
        var all: [[UInt8]] = []
        while true {
            let packet = built { out in
                fragmenter.next(of: bytes.span.bytes, pieceLengths: pieces, into: &out)
            }
            if packet.isEmpty { return all }
            all.append(packet)
        }
    }

    @Test("a datagram, a fragment, and one with options, cut for a smaller MTU")
    func fragmentation() throws {
        let plain = TestFrame().udp(1, 2, pattern(1400))
        var withOptions = plain
        // Neither is one that the kernel knows: it would fill in a recorded route.
        withOptions.options = [30, 4, 1, 2, 0x9E, 4, 3, 4]
        let middle = TestFrame(fragmentField: 0x2000 | 20, payload: pattern(1200))
        for frame in [plain, middle, withOptions] {
            let expected = try cut(frame, mtu: 576)
            let got = try forwarded([frame], mtu: 576, track: false, expecting: expected.count)
            #expect(got.count == expected.count)
            #expect(got == expected)
        }
    }

    @Test("a reassembled datagram leaves in the pieces in which it came, or in the MTU's")
    func refragmentation() throws {
        let whole = TestFrame().udp(1, 2, pattern(2500))
        // Uneven pieces, in order.
        let boundaries = [0, 808, 1808, whole.payload.count]
        let parts = zip(boundaries, boundaries.dropFirst()).map { from, to in
            var part = whole
            part.payload = Array(whole.payload[from..<to])
            part.fragmentField =
                UInt16(from / 8) | (to < whole.payload.count ? 0x2000 : 0)
            return part
        }
        let memory = ReassembledDatagram(
            frameLength: 0, frames: 3, largestFragment: 1020, dontFragment: false)
        let pieces = zip(boundaries, boundaries.dropFirst()).map { $1 - $0 }
        for mtu in [1500, 1020, 600] {
            let expected = try cut(whole, mtu: mtu, pieces: pieces, memory: memory)
            let got = try forwarded(parts, mtu: mtu, track: true, expecting: expected.count)
            #expect(got == expected, "MTU \(mtu): \(got.map(\.count)) for \(expected.map(\.count))")
        }
    }

    @Test("fragments with DF are forwarded in the same pieces, or too big where the largest is")
    func dontFragment() throws {
        let whole = TestFrame().udp(1, 2, pattern(2500))
        let parts = whole.fragments(of: 1000, dontFragment: true)
        var datagram = whole
        datagram.fragmentField = 0x4000
        let memory = ReassembledDatagram(
            frameLength: 0, frames: 3, largestFragment: 1020, dontFragment: true)
        let expected = try cut(
            datagram, mtu: 1500, pieces: [1000, 1000, 508], memory: memory)
        let got = try forwarded(parts, mtu: 1500, track: true, expecting: expected.count)
        #expect(got == expected)
        let none = try forwarded(parts, mtu: 1000, track: true, expecting: 0)
        #expect(none.isEmpty)
    }
}
