// Packets on stored paths, in batches with others.

import FrameFixture
import Hooks
import PacketIO
import Ruleset
import Testing
import Wire

@testable import Dataplane

@Suite("Batches")
struct BatchTests {
    /// A node that translates to the server, with an answered UDP flow through it whose path is stored.
    private func node() throws -> WorkerNode {
        var rules = Rules()
        rules.add(.filter, "FORWARD", .accept, matches: [.state(Invertible(.established))])
        rules.add(
            .nat, "PREROUTING", .dnat(NATTarget(addresses: AddressRange(server, server))),
            protocol: .udp, port: 2000)
        let node = try WorkerNode(rules.ruleset)
        node.receive(datagram(1))
        var reply = TestFrame(source: server, destination: client)
        reply.targetMAC = eth1MAC
        node.right.inject(reply.udp(2000, 1000, pattern(8)).bytes)
        node.dataplane.step(now: node.now)
        node.receive(datagram(2))
        node.right.sent = []
        return node
    }

    private func datagram(_ number: UInt8, port: UInt16 = 1000) -> TestFrame {
        TestFrame(destination: IPv4Address(10, 1, 0, 1)).udp(port, 2000, [number])
    }

    private func numbers(_ node: WorkerNode) -> [UInt8] { node.right.sent.compactMap(\.bytes.last) }

    @Test("what takes a path leaves in its turn, between what walks and what is dropped")
    func order() throws {
        let node = try node()
        let paths = node.dataplane.engine.storedPathUses
        let before = node.received
        var expired = datagram(5)
        expired.timeToLive = 1
        var other = datagram(6)
        other.targetMAC = MACAddress(rawValue: 0x0200_0000_0099)
        for frame in [
            datagram(3), datagram(4, port: 1001), expired, other, datagram(7), datagram(8),
        ] {
            node.left.inject(frame.bytes)
        }
        node.left.inject([1, 2, 3])
        node.left.inject(datagram(9).bytes)
        node.dataplane.step(now: node.now)
        #expect(numbers(node) == [3, 4, 7, 8, 9])
        #expect(node.right.sent.allSatisfy { parsed($0.bytes).destination == server })
        #expect(node.dataplane.engine.storedPathUses - paths == 4)
        #expect(node.received.received - before.received == 8)
        #expect(node.received.forwarded - before.forwarded == 5)
        #expect(node.received.waiting == 0)
    }

    @Test("a neighbour's new address holds from the next packet on, and without one it waits")
    func neighbours() throws {
        let node = try node()
        let other = MACAddress(rawValue: 0x0200_0000_0077)
        node.receive(datagram(3))
        node.learn(server, eth1, other)
        node.receive(datagram(4))
        node.learn(server, eth1, nil, .failed)
        node.receive(datagram(5))
        #expect(node.right.sent.map { $0.bytes.span.bytes.mac(0) } == [serverMAC, other])
        #expect(node.received.waiting == 1 && node.probed == [server])
        node.learn(server, eth1, serverMAC)
        node.dataplane.step(now: node.now)
        #expect(numbers(node) == [3, 4, 5])
        #expect(node.received.waiting == 0)
    }

    @Test("a port that is gone takes nothing with it")
    func ports() throws {
        let node = try node()
        node.receive(datagram(3))
        node.dataplane.removePort(eth1)
        node.receive(datagram(4))
        #expect(node.received.drops[.noPort] == 1)
        node.dataplane.add(node.right)
        node.receive(datagram(5))
        #expect(numbers(node) == [3, 5])
    }
}
