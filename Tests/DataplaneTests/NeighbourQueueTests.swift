import Testing
import Wire

@testable import Dataplane

private let now = Timestamp(nanoseconds: 5_000_000_000)

private final class Queue {
    var queue: NeighbourQueue<Int>
    var displaced: [Int] = []

    init(_ limits: NeighbourQueue<Int>.Limits = .init()) { queue = NeighbourQueue(limits: limits) }

    func hold(_ key: NeighbourKey, _ context: Int, bytes: Int) -> String {
        let frame = [UInt8](repeating: UInt8(truncatingIfNeeded: context), count: bytes)
        let outcome = queue.hold(
            frame.span.bytes, length: bytes, for: key, context, now: now
        ) { displaced.append($0) }
        switch outcome {
        case .held(let isFirst): return isFirst ? "first" : "held"
        case .full: return "full"
        }
    }

    func drain(_ index: Int) -> [Int] {
        var contexts: [Int] = []
        while let length = queue.nextLength(index) {
            var out = [UInt8](repeating: 0, count: length)
            var storage = out.mutableSpan
            var span = storage.mutableBytes
            let context = queue.takeNext(index, into: &span)
            #expect(out.allSatisfy { $0 == UInt8(truncatingIfNeeded: context) })
            contexts.append(context)
        }
        queue.close(index)
        return contexts
    }
}

@Suite("Waiting for a neighbour")
struct NeighbourQueueTests {
    private let a = NeighbourKey(
        interface: InterfaceIndex(rawValue: 2), address: IPv4Address(10, 0, 0, 1))
    private let b = NeighbourKey(
        interface: InterfaceIndex(rawValue: 2), address: IPv4Address(10, 0, 0, 2))

    @Test("frames wait per neighbour and come out in order, whole")
    func order() {
        let queue = Queue()
        #expect(queue.hold(a, 1, bytes: 5000) == "first")
        #expect(queue.hold(b, 2, bytes: 60) == "first")
        #expect(queue.hold(a, 3, bytes: 60) == "held")
        #expect(queue.drain(0) == [1, 3])
        #expect(queue.drain(0) == [2])
        let empty = queue.queue.isEmpty
        #expect(empty)
    }

    @Test("the oldest frames give way to a new one, and are handed back to be counted")
    func displacement() {
        var limits = NeighbourQueue<Int>.Limits()
        limits.frames = 3
        limits.bytes = 10_000
        let queue = Queue(limits)
        for context in 1...4 { _ = queue.hold(a, context, bytes: 100) }
        #expect(queue.displaced == [1])
        _ = queue.hold(a, 5, bytes: 9_900)
        #expect(queue.displaced == [1, 2, 3])
        #expect(queue.drain(0) == [4, 5])
    }

    @Test("when the pool or the neighbours are used up, a frame is refused and nothing leaks")
    func full() {
        var limits = NeighbourQueue<Int>.Limits()
        limits.neighbours = 1
        limits.poolBytes = 4 * ChunkPool.chunkSize
        let queue = Queue(limits)
        #expect(queue.hold(a, 1, bytes: 3 * ChunkPool.chunkSize) == "first")
        #expect(queue.hold(b, 2, bytes: 10) == "full")
        #expect(queue.hold(a, 3, bytes: ChunkPool.chunkSize + 1) == "full")
        #expect(queue.hold(a, 4, bytes: 1) == "held")
        #expect(queue.drain(0) == [1, 4])
        #expect(queue.hold(b, 5, bytes: 4 * ChunkPool.chunkSize) == "first")
    }

    @Test("a neighbour is overdue when its time is up")
    func overdue() {
        let queue = Queue()
        _ = queue.hold(a, 1, bytes: 60)
        let before = queue.queue.isOverdue(at: 0, now: now + Seconds(4))
        let after = queue.queue.isOverdue(at: 0, now: now + Seconds(5))
        #expect(!before)
        #expect(after)
        let deadline = queue.queue.nextDeadline
        #expect(deadline == now + Seconds(5))
    }
}
