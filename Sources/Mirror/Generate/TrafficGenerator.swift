// Many conversations at once, on one clock.

import Scenario
import Wire

struct TrafficGenerator {
    let world: World

    /// Nanoseconds between two packets. All of a case passes within a fraction of a second, so that nothing depends
    /// on how fast an engine is: no entry expires, and no bucket gains a token.
    static let interval: UInt64 = 20_000

    func packets(_ count: Int, _ random: inout SeededRandom) -> [CasePacket] {
        var packets: [CasePacket] = []
        append(count, to: &packets, &random) { conversation(&$0) }
        return packets
    }

    /// These conversations to their ends, then others, as many packets as `count` says.
    func packets(
        _ directed: [Conversation], then count: Int, _ random: inout SeededRandom
    ) -> [CasePacket] {
        var packets: [CasePacket] = []
        var left = directed[...]
        let total = directed.reduce(0) { $0 + $1.steps.count }
        append(total, to: &packets, &random) { _ in left.popFirst() }
        append(count, to: &packets, &random) { conversation(&$0) }
        return packets
    }

    /// Several conversations at a time, until there are `count` packets more or no conversation is left.
    private func append(
        _ count: Int, to packets: inout [CasePacket], _ random: inout SeededRandom,
        next: (inout SeededRandom) -> Conversation?
    ) {
        let count = packets.count + count
        var running: [Running] = []
        while packets.count < count {
            while running.count < 4 || running.count < 12 && random.chance(30) {
                guard let conversation = next(&random) else { break }
                running.append(Running(conversation: conversation))
            }
            if running.isEmpty { return }
            let index = random.number(0...running.count - 1)
            // A burst of one conversation, so that others do not always come between.
            for _ in 0..<random.number(1...4) where packets.count < count {
                guard let step = running[index].next() else { break }
                let answers = step.answers.map { running[index].numbers[$0] }
                running[index].numbers.append(packets.count)
                packets.append(packet(step, answers: answers, number: packets.count))
            }
            if running[index].isOver { running.remove(at: index) }
        }
    }

    private struct Running {
        let conversation: Conversation
        /// Which packets of the case its steps became.
        var numbers: [Int] = []

        var isOver: Bool { numbers.count == conversation.steps.count }
        mutating func next() -> Step? { isOver ? nil : conversation.steps[numbers.count] }
    }

    private func conversation(_ random: inout SeededRandom) -> Conversation {
        if world.leavesMuchToChance, random.chance(20) {
            return PortlessConversation.make(world, &random)
        }
        return switch random.number(0...19) {
        case 0...9: TCPConversation.make(world, &random)
        case 10...13: UDPConversation.make(world, &random)
        case 14...16: ICMPConversation.make(world, &random)
        case 17, 18: FragmentConversation.make(world, &random)
        default: Rubbish.make(world, &random)
        }
    }

    private func packet(_ step: Step, answers: Int?, number: Int) -> CasePacket {
        let time = Timestamp(nanoseconds: UInt64(number + 1) * Self.interval)
        switch step.sender {
        case .node(let mark, let user, let group):
            return CasePacket(
                time: time, origin: .node(mark: mark, userID: user, groupID: group),
                bytes: step.packet, answers: answers, note: step.note)
        case .link(let index, let mac):
            let link = world.links[index]
            return CasePacket(
                time: time, origin: .wire(link: link.name),
                bytes: frame(to: link.mac, from: mac, step.packet), answers: answers,
                note: step.note)
        }
    }

    private func frame(to: MACAddress, from: MACAddress, _ packet: [UInt8]) -> [UInt8] {
        var header: [UInt8] = []
        for address in [to, from] {
            header.append(UInt16(truncatingIfNeeded: address.rawValue >> 32))
            header.append(UInt32(truncatingIfNeeded: address.rawValue))
        }
        header.append(EtherType.ipv4.rawValue)
        return header + packet
    }
}
