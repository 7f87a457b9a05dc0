import FrameFixture
import Hooks
import PacketIO
import Routing
import Ruleset
import Testing
import Wire

@testable import Dataplane

@Suite("The worker")
struct WorkerTests {
    private let udp = TestFrame().udp(1000, 2000, pattern(20))

    @Test("a packet is forwarded with new MAC addresses and one hop less, without link padding")
    func forwards() throws {
        let node = try WorkerNode()
        var padded = udp.bytes
        padded += [9, 9, 9, 9]
        node.left.inject(padded)
        node.dataplane.step(now: node.now)
        var expected = udp
        expected.targetMAC = serverMAC
        expected.sourceMAC = eth1MAC
        expected.timeToLive -= 1
        #expect(node.right.sent.map(\.bytes) == [expected.bytes])
        #expect(node.received.received == 1)
        #expect(node.received.forwarded == 1)
    }

    @Test("a packet for the node goes to the host port, naming the interface it came in on")
    func delivers() throws {
        let node = try WorkerNode()
        var local = udp
        local.destination = IPv4Address(10, 2, 0, 1)
        node.receive(local)
        #expect(node.host.sent.map(\.bytes) == [local.bytes])
        #expect(node.host.sent.first?.metadata.appearsOn == eth0)
        #expect(node.received.delivered == 1)
    }

    @Test("a packet of the node's own sockets leaves through the interface that routing names")
    func fromHost() throws {
        let node = try WorkerNode()
        var own = udp
        own.source = IPv4Address(10, 2, 0, 1)
        node.host.inject(own.bytes)
        node.dataplane.step(now: node.now)
        own.targetMAC = serverMAC
        own.sourceMAC = eth1MAC
        #expect(node.right.sent.map(\.bytes) == [own.bytes])
        #expect(node.dataplane.counters.host.forwarded == 1)
    }

    @Test("each kind of unusable frame is dropped with its own reason")
    func refuses() throws {
        let node = try WorkerNode()
        var arp = udp.bytes
        arp[13] = 6
        var otherMAC = udp
        otherMAC.targetMAC = MACAddress(rawValue: 0x0200_0000_0099)
        var group = udp
        group.targetMAC = .broadcast
        var version = udp.bytes
        version[14] = 0x65
        var checksum = udp.bytes
        checksum[24] ^= 1
        let cut = Array(udp.bytes.dropLast(5))
        let cases: [([UInt8], DropReason)] = [
            ([1, 2, 3], .frameTooShort), ([], .frameTooShort), (arp, .notIPv4),
            (otherMAC.bytes, .notForUs), (group.bytes, .notForUs), (version, .badVersion),
            (checksum, .badHeaderChecksum), (cut, .badTotalLength),
        ]
        for (bytes, reason) in cases {
            let before = node.received.drops
            node.left.inject(bytes)
            node.dataplane.step(now: node.now)
            #expect(node.received.drops[reason] == before[reason] + 1, "\(reason)")
            #expect(node.received.drops.total == before.total + 1)
        }
        #expect(node.received.waiting == 0)
        #expect(node.left.sent.isEmpty && node.right.sent.isEmpty && node.host.sent.isEmpty)
    }

    @Test("without a host port, what is for the node is dropped and says so")
    func noHostPort() throws {
        let node = try WorkerNode()
        node.dataplane.removePort(node.host.interface)
        var local = udp
        local.destination = IPv4Address(10, 1, 0, 1)
        node.receive(local)
        #expect(node.received.drops[.hostPortDown] == 1)
        node.dataplane.removePort(eth1)
        node.receive(udp)
        #expect(node.received.drops[.noPort] == 1)
    }

    @Test("an answer goes back to the sender from the node's address there, and is counted apart")
    func answers() throws {
        let node = try WorkerNode()
        var dying = udp
        dying.timeToLive = 1
        node.receive(dying)
        let answer = try #require(node.left.sent.first?.bytes)
        let view = parsed(answer)
        #expect(view.source == IPv4Address(10, 1, 0, 1))
        #expect(view.destination == client)
        #expect((view.icmpType, view.icmpCode) == (11, 0))
        #expect(Array(answer[42...]) == Array(dying.bytes[14...]))
        #expect(answer.span.bytes.mac(0) == clientMAC)
        #expect(node.received.drops[.timeToLive] == 1)
        #expect(node.dataplane.counters.node.forwarded == 1)
        #expect(node.received.forwarded == 0)
    }

    @Test("six errors a second apart at most go to one sender, and the rest are counted as limited")
    func rate() throws {
        let node = try WorkerNode()
        var dying = udp
        dying.timeToLive = 1
        for _ in 0..<20 { node.receive(dying) }
        #expect(node.left.sent.count == 6)
        #expect(node.dataplane.counters.answersLimited == 14)
        #expect(node.received.drops[.timeToLive] == 20)
    }

    @Test("REJECT with a reset answers in the name of the destination")
    func reset() throws {
        var rules = Rules()
        rules.add(.filter, "FORWARD", .reject(.tcpReset), protocol: .tcp)
        let node = try WorkerNode(rules.ruleset)
        node.receive(TestFrame().tcp(1000, 80, .syn, sequence: 41))
        let view = parsed(try #require(node.left.sent.first?.bytes))
        #expect(view.source == server)
        #expect(view.tcpFlags == [.rst, .ack])
        #expect(node.received.drops[.rejected] == 1)
    }

    @Test("a packet that leaves by the interface it came in on draws a redirect and still goes on")
    func redirect() throws {
        let node = try WorkerNode()
        let neighbour = IPv4Address(10, 1, 0, 9)
        node.learn(neighbour, eth0, MACAddress(rawValue: 0x0200_0000_0009))
        var frame = udp
        frame.destination = neighbour
        node.receive(frame)
        let views = node.left.sent.map { parsed($0.bytes) }
        #expect(views.map(\.destination) == [client, neighbour])
        #expect(views.first?.icmpType == 5)
        let bytes = try #require(node.left.sent.first?.bytes)
        #expect(bytes.span.bytes.u32(38) == neighbour.rawValue)
        #expect(node.received.forwarded == 1)
    }

    @Test("a redirect is sent before FORWARD, which may drop the packet itself")
    func redirectOfDropped() throws {
        var rules = Rules()
        rules.add(.filter, "FORWARD", .drop)
        let node = try WorkerNode(rules.ruleset)
        let neighbour = IPv4Address(10, 1, 0, 9)
        var frame = udp
        frame.destination = neighbour
        node.receive(frame)
        #expect(node.left.sent.map { parsed($0.bytes).icmpType } == [5])
        #expect(node.received.drops[.rule] == 1)
    }

    @Test("while rules translate, a connection's first packet draws no redirect, the next one does")
    func redirectAndTranslation() throws {
        let node = try WorkerNode()
        let neighbour = IPv4Address(10, 1, 0, 9)
        node.learn(neighbour, eth0, MACAddress(rawValue: 0x0200_0000_0009))
        var rules = Rules()
        rules.add(.nat, "POSTROUTING", .masquerade(PortMapping()), protocol: .tcp)
        node.dataplane.install(try CompiledRuleset(rules.ruleset))
        let frame = TestFrame(destination: neighbour).udp(1000, 2000, pattern(20))
        node.receive(frame)
        #expect(node.left.sent.map { parsed($0.bytes).protocol } == [.udp])
        #expect(node.dataplane.counters.node.drops[.untranslatable] == 1)
        node.later(1)
        node.receive(frame)
        #expect(node.left.sent.map { parsed($0.bytes).protocol } == [.udp, .icmp, .udp])
    }
}

@Suite("The worker and the size of packets")
struct WorkerSizeTests {
    @Test("too big with DF draws the MTU; without DF it leaves in fragments, counted once")
    func fragments() throws {
        let node = try WorkerNode(mtu: 600)
        var frame = TestFrame().udp(1, 2, pattern(1200))
        node.receive(frame)
        #expect(node.right.sent.count == 3)
        #expect(node.right.sent.allSatisfy { $0.bytes.span.bytes.mac(0) == serverMAC })
        #expect(node.received.forwarded == 1)
        frame.fragmentField = 0x4000
        node.receive(frame)
        let answer = try #require(node.left.sent.first?.bytes)
        #expect(parsed(answer).icmpCode == 4)
        #expect(answer.span.bytes.u32(38) == 600)
        #expect(node.received.drops[.needsFragmentation] == 1)
    }

    @Test("a partial checksum is finished before a packet is cut, and passed on when it is not")
    func partialChecksum() throws {
        let complete = TestFrame().udp(1, 2, pattern(1200))
        var partial = complete
        var pseudo = InternetChecksum()
        pseudo.addPseudoHeader(
            source: partial.source, destination: partial.destination, protocol: .udp,
            length: partial.payload.count)
        partial.payload[6] = UInt8(pseudo.folded >> 8)
        partial.payload[7] = UInt8(pseudo.folded & 255)
        let offload = OffloadHeader(needsChecksum: true, checksumStart: 34, checksumOffset: 6)
        let node = try WorkerNode(mtu: 600)
        node.receive(partial, offload: offload)
        #expect(
            node.right.sent.first.map { Array($0.bytes[34..<42]) } == Array(complete.payload[..<8]))
        #expect(node.right.sent.allSatisfy { $0.metadata.offload == .none })

        let wide = try WorkerNode()
        wide.receive(partial, offload: offload)
        #expect(wide.right.sent.first?.metadata.offload == offload)
        #expect(wide.right.sent.first.map { Array($0.bytes[34...]) } == partial.payload)
    }

    @Test("a super-frame is judged by its segments and passes whole")
    func superFrame() throws {
        let node = try WorkerNode()
        var frame = TestFrame().tcp(1, 2, .ack, pattern(30_000))
        frame.fragmentField = 0x4000
        let offload = OffloadHeader(
            needsChecksum: true, segmentationType: 1, headerLength: 54, segmentSize: 1460,
            checksumStart: 34, checksumOffset: 16)
        node.receive(frame, offload: offload)
        #expect(node.right.sent.first?.bytes.count == frame.bytes.count)
        #expect(node.right.sent.first?.metadata.offload == offload)
    }

    @Test("fragments are put together while rules track, and leave as they came")
    func reassembles() throws {
        let whole = TestFrame().udp(1, 2, pattern(2500))
        let parts = whole.fragments(of: 1000)
        let node = try WorkerNode(Rules.tracking)
        node.receive(parts[1], parts[2])
        #expect(node.right.sent.isEmpty)
        #expect(node.received.waiting == 2)
        node.receive(parts[0])
        #expect(node.right.sent.map { parsed($0.bytes).transportLength } == [1000, 1000, 508])
        #expect(node.received.forwarded == 3)
        #expect(node.dataplane.counters.reassembled == 1)

        for part in TestFrame(destination: IPv4Address(10, 1, 0, 1)).udp(1, 2, pattern(900))
            .fragments(of: 800)
        {
            node.receive(part)
        }
        #expect(node.host.sent.map { $0.bytes.span.bytes.mac(0) } == [eth0MAC])

        let untracked = try WorkerNode()
        untracked.receive(parts[1])
        #expect(untracked.right.sent.count == 1)
    }

    @Test("a datagram that stays incomplete is dropped, answered only by its destination")
    func timeout() throws {
        let node = try WorkerNode(Rules.tracking)
        var local = TestFrame(destination: IPv4Address(10, 1, 0, 1)).udp(1, 2, pattern(2500))
        node.receive(TestFrame().udp(1, 2, pattern(2500)).fragments(of: 1000)[0])
        node.receive(local.fragments(of: 1000)[0])
        local.identification = 7
        node.receive(local.fragments(of: 1000)[1])
        node.later(29)
        #expect(node.received.waiting == 3)
        node.later(1)
        #expect(node.received.drops[.fragmentTimeout] == 3)
        let views = node.left.sent.map { parsed($0.bytes) }
        #expect(views.map(\.icmpType) == [11])
        #expect(views.map(\.icmpCode) == [1])
        #expect(views.map(\.source) == [IPv4Address(10, 1, 0, 1)])
    }
}

@Suite("The worker and its neighbours")
struct WorkerNeighbourTests {
    private let udp = TestFrame().udp(1000, 2000, pattern(20))

    @Test("packets wait while the kernel resolves, asked once, and leave in order")
    func resolves() throws {
        let node = try WorkerNode(resolved: false)
        var second = udp
        second.identification = 2
        node.receive(udp, second)
        #expect(node.probed == [server])
        #expect(node.right.sent.isEmpty)
        #expect(node.received.waiting == 2)
        node.learn(server, eth1, serverMAC)
        #expect(node.right.sent.map { parsed($0.bytes).identification } == [0x1234, 2])
        #expect(node.right.sent.allSatisfy { $0.bytes.span.bytes.mac(0) == serverMAC })
        #expect(node.received.forwarded == 2)
    }

    @Test("when resolution fails, every waiting packet is answered host unreachable")
    func fails() throws {
        let node = try WorkerNode(resolved: false)
        node.receive(udp)
        node.learn(server, eth1, nil, .incomplete)
        #expect(node.received.waiting == 1)
        node.learn(server, eth1, nil, .failed)
        let view = parsed(try #require(node.left.sent.first?.bytes))
        #expect((view.icmpType, view.icmpCode) == (3, 1))
        #expect(node.received.drops[.neighbourUnresolved] == 1)
        // The failure is remembered by the table, but a later packet asks again.
        node.receive(udp)
        #expect(node.probed == [server, server])
        #expect(node.received.waiting == 1)
    }

    @Test("when nobody says anything, the wait ends by itself")
    func overdue() throws {
        let node = try WorkerNode(resolved: false)
        node.receive(udp)
        node.later(5)
        #expect(node.received.drops[.neighbourUnresolved] == 1)
        #expect(node.left.sent.count == 1)
    }

    @Test("a fragmented packet that waits counts once, whatever becomes of it")
    func fragmentsWait() throws {
        let node = try WorkerNode(mtu: 600, resolved: false)
        node.receive(TestFrame().udp(1, 2, pattern(1200)))
        #expect(node.received.waiting == 1)
        node.learn(server, eth1, serverMAC)
        #expect(node.right.sent.count == 3)
        #expect(node.received.forwarded == 1)
    }
}

@Suite("The worker and connections")
struct WorkerNATTests {
    private func syn(_ port: UInt16 = 40_000) -> TestFrame {
        TestFrame(destination: IPv4Address(10, 1, 0, 1)).tcp(port, 80, .syn)
    }

    @Test("a translated packet leaves with both ends rewritten and its reply finds the way back")
    func translates() throws {
        let node = try WorkerNode(Rules.nat)
        node.receive(syn())
        let out = parsed(try #require(node.right.sent.first?.bytes))
        #expect(out.destination == server)
        #expect(out.destinationPort == Port(8080))
        #expect(out.source == IPv4Address(10, 2, 0, 1))
        var reply = TestFrame(source: server, destination: IPv4Address(10, 2, 0, 1))
        reply.targetMAC = eth1MAC
        reply.sourceMAC = serverMAC
        node.right.inject(
            reply.tcp(8080, out.sourcePort.rawValue, [.syn, .ack], acknowledgement: 1001).bytes)
        node.dataplane.step(now: node.now)
        let back = parsed(try #require(node.left.sent.first?.bytes))
        #expect(back.source == IPv4Address(10, 1, 0, 1))
        #expect(back.sourcePort == Port(80))
        #expect(back.destination == client)
        #expect(back.destinationPort == Port(40_000))
    }

    @Test("an error about a translated packet quotes it as its sender sent it")
    func untranslatesErrors() throws {
        let node = try WorkerNode(Rules.nat, resolved: false)
        node.receive(syn())
        node.learn(server, eth1, nil, .failed)
        let bytes = try #require(node.left.sent.first?.bytes)
        let answer = parsed(bytes)
        #expect((answer.icmpType, answer.icmpCode) == (3, 1))
        #expect(answer.destination == client)
        let parsed = PacketView.parseQuoted(bytes.span.bytes, networkOffset: 42)
        let quoted = try #require(parsed)
        #expect(quoted.source == client)
        #expect(quoted.destination == IPv4Address(10, 1, 0, 1))
        #expect(quoted.destinationPort == Port(80))
    }
}

@Suite("The worker's traces")
struct WorkerTraceTests {
    @Test("a traced packet shows the hooks, its neighbour and its port; others cost nothing")
    func traces() throws {
        let node = try WorkerNode()
        var records: [TraceRecord] = []
        node.dataplane.traceFilter = { frame, _ in frame.u16(18) == 7 }
        node.dataplane.onTrace = { records.append($0) }
        var frame = TestFrame().udp(1, 2)
        node.receive(frame)
        #expect(records.isEmpty)
        frame.identification = 7
        node.receive(frame)
        let record = try #require(records.first)
        #expect(record.origin == .interface && record.ingress == eth0)
        let kinds = record.trace.events.map(\.kind)
        #expect(kinds.contains(.hook(.prerouting)))
        #expect(kinds.contains(.neighbour(server, serverMAC)))
        #expect(kinds.last == .sent(InterfaceName("eth1")!))
    }

    @Test("a refused frame is handed over with its reason, an answer behind what it answers")
    func refusalsAndAnswers() throws {
        let node = try WorkerNode()
        var records: [TraceRecord] = []
        node.dataplane.traceFilter = { _, _ in true }
        node.dataplane.onTrace = { records.append($0) }
        node.left.inject([1, 2, 3])
        node.dataplane.step(now: node.now)
        #expect(records.map(\.refused) == [.frameTooShort])
        records = []
        node.receive(TestFrame(timeToLive: 1).udp(1, 2))
        #expect(records.map(\.origin) == [.interface, .node])
        #expect(records[1].trace.events.contains { $0.kind == .hook(.output) })
    }

    @Test("an explained packet shows the same steps and leaves no trace in the node")
    func explains() throws {
        let node = try WorkerNode(Rules.nat)
        var bytes = TestFrame(destination: IPv4Address(10, 1, 0, 1)).tcp(1, 80, .syn).bytes
        var storage = bytes.mutableSpan
        var span = storage.mutableBytes
        let record = node.dataplane.explain(&span, ingress: eth0, now: node.now)
        #expect(record.refused == nil)
        #expect(record.trace.events.last?.kind == .sent(InterfaceName("eth1")!))
        #expect(record.trace.events.last?.view.destination == server)
        #expect(node.right.sent.isEmpty)
        #expect(node.dataplane.counters == DataplaneCounters())
        #expect(node.dataplane.engine.connections.count == 0)
    }
}
