import FrameFixture
import Testing
import Wire

@testable import Dataplane

@Suite("Settings of a node")
struct NodeSettingsTests {
    /// The time to live of each answer to `count` packets whose own has run out.
    private func answers(_ node: WorkerNode, _ count: Int) -> [UInt8] {
        let before = node.left.sent.count
        for _ in 0..<count { node.receive(TestFrame(timeToLive: 1).udp(1, 2, [])) }
        return node.left.sent.dropFirst(before).map { $0.bytes[22] }
    }

    @Test("what is read is what is set, and holds from the next packet on")
    func liveChange() throws {
        let node = try WorkerNode()
        #expect(node.dataplane.settings.answers == AnswerLimits())
        #expect(answers(node, 10) == [UInt8](repeating: 64, count: 6))
        node.dataplane.settings.answers.ratelimitMilliseconds = 0
        node.dataplane.settings.defaultTimeToLive = 17
        #expect(node.dataplane.settings.defaultTimeToLive == 17)
        #expect(answers(node, 10) == [UInt8](repeating: 17, count: 10))
        node.dataplane.settings.conntrack.maximum = 3
        #expect(node.dataplane.engine.connections.settings.maximum == 3)
        #expect(node.dataplane.settings.capacity == 64)
    }

    @Test(
        "a shorter ipfrag_time ends the datagrams that begin from then on, in the order of their time"
    )
    func fragmentTime() throws {
        let node = try WorkerNode(Rules.tracking)
        let start = node.now
        func begin(_ identification: UInt16) {
            var whole = TestFrame().udp(1, 2, pattern(2000))
            whole.identification = identification
            node.receive(whole.fragments(of: 800)[0])
        }
        begin(1)
        node.dataplane.settings.fragmentTimeout = Seconds(2)
        begin(2)
        begin(3)
        #expect(node.dataplane.reassembly.nextDeadline == start + Seconds(2))
        node.dataplane.expire(now: start + Seconds(2))
        #expect(node.received.drops[.fragmentTimeout] == 2)
        #expect(node.dataplane.reassembly.nextDeadline == start + Seconds(30))
        node.dataplane.expire(now: start + Seconds(30))
        #expect(node.received.drops[.fragmentTimeout] == 3)
    }
}
