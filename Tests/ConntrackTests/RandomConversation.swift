import Wire

@testable import Conntrack

/// A conversation that mostly makes sense.
struct RandomConversation {
    var random: SeededRandom
    private let flow: Flow
    /// The next sequence number of either end.
    private var sequence: [UInt32]
    private var step = 0
    private var last: (Frame, KernelTracker.Side, String)?

    /// Most conversations begin as they should.
    private let beginsWell: Bool

    init(port: UInt16, random: SeededRandom) {
        self.random = random
        beginsWell = self.random.next() % 6 != 0
        flow = Flow(port)
        sequence = [1_000_000, 2_000_000]
    }

    private mutating func pick<T>(_ choices: [T]) -> T {
        choices[Int(random.next() % UInt64(choices.count))]
    }

    mutating func next() -> (Frame, KernelTracker.Side, String) {
        defer { step += 1 }
        // Sometimes the same segment comes again.
        if step > 3, let last, random.next() % 6 == 0 { return last }
        let scripted: [(Int, TCPFlags)] = [(0, .syn), (1, [.syn, .ack]), (0, .ack)]
        var side = Int(random.next() % 2)
        var flags: TCPFlags = pick([
            .ack, .ack, .ack, [.ack, .psh], [.fin, .ack], [.fin, .ack], .syn, [.syn, .ack], .rst,
            [.rst, .ack],
        ])
        let orderly = step < scripted.count && beginsWell && random.next() % 12 != 0
        if orderly { (side, flags) = scripted[step] }
        let offsets: [UInt32] = [
            0, 0, 0, 0, 0, 0, 1, .max, 100, 0 &- 100, 70_000, 0 &- 70_000, 5_000_000,
        ]
        let seq = orderly ? sequence[side] : sequence[side] &+ pick(offsets)
        let ack =
            flags.contains(.ack) || random.next() % 4 == 0
            ? sequence[1 - side] &+ (orderly ? 0 : pick([0, 0, 0, 0, 1, .max, 200, 0 &- 66_500]))
            : 0
        let data = flags.contains(.psh) ? pick([1, 500, 1400]) : 0
        let window: UInt16 = pick([64_240, 64_240, 500, 0])
        let options: [UInt8] =
            flags.contains(.syn) ? pick([[], [3, 3, 7, 1], [4, 2, 3, 3, 5, 1, 1, 1]]) : []
        if seq == sequence[side] {
            let length = flags.isDisjoint(with: [.syn, .fin]) ? 0 : 1
            sequence[side] &+= UInt32(data + length)
        }
        let frame = Frame.tcp(
            side == 0 ? flow : flow.back, flags, seq: seq, ack: ack, window: window,
            options: options, data: data)
        let note = "side \(side) flags \(flags.rawValue) seq \(seq) ack \(ack) win \(window)"
        last = (frame, side == 0 ? .left : .right, note)
        return (frame, side == 0 ? .left : .right, note)
    }
}
