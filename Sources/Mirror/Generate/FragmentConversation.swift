// Datagrams in pieces: in order, out of order, twice, overlapping, never complete, impossible.

import Wire

enum FragmentConversation {
    static func make(_ world: World, _ random: inout SeededRandom) -> Conversation {
        var parties = Parties(world, &random)
        // A socket of the node's does not send pieces.
        while parties.clientIsNode { parties = Parties(world, &random) }
        var draft = whole(parties, &random)
        draft.identification = UInt16(truncatingIfNeeded: random.next())
        let pieces = arranged(cut(draft, random.pick([64, 256, 512, 1000]), &random), &random)
        var conversation = Conversation()
        for piece in pieces {
            conversation.send(parties.client, piece, "fragment at \(offset(piece))")
        }
        // Whatever was put together left with the last piece that came.
        guard let last = conversation.steps.indices.last, random.chance(60) else {
            return conversation
        }
        if draft.protocol == .udp {
            conversation.send(
                parties.server, .udp(parties.flow.reversed, data: PacketDraft.filler(40)),
                answers: last, "UDP server")
        } else if draft.protocol == .icmp {
            conversation.send(
                parties.server,
                .icmp(
                    parties.flow.destination, parties.client.address, type: 0, rest: 0x0007_0001,
                    data: PacketDraft.filler(20)),
                answers: last, "ICMP 0")
        }
        return conversation
    }

    private static func whole(_ parties: Parties, _ random: inout SeededRandom) -> PacketDraft {
        let length = random.pick([200, 700, 1400, 2600, 5000])
        switch random.number(0...5) {
        case 0...2: return .udp(parties.flow, data: PacketDraft.filler(length))
        case 3, 4:
            return .icmp(
                parties.client.address, parties.flow.destination, type: 8, rest: 0x0007_0001,
                data: PacketDraft.filler(length))
        default:
            return .tcp(
                parties.flow,
                Segment(
                    flags: random.chance(50) ? [.syn] : [.ack], sequence: random.word(),
                    length: length))
        }
    }

    private static func offset(_ draft: PacketDraft) -> Int {
        Int(draft.fragmentField & 0x1FFF) * 8
    }

    /// - Parameter size: bytes per piece, a multiple of eight.
    private static func cut(
        _ draft: PacketDraft, _ size: Int, _ random: inout SeededRandom
    ) -> [PacketDraft] {
        // The checksum is the whole datagram's: it is computed before the cut.
        let header = 20 + draft.options.count
        let payload = Array(draft.bytes[header...])
        let dontFragment: UInt16 = random.chance(10) ? 0x4000 : 0
        return stride(from: 0, to: payload.count, by: size).map { start in
            let end = min(start + size, payload.count)
            return piece(
                of: draft, payload, start..<end, more: end < payload.count, dontFragment)
        }
    }

    private static func piece(
        of draft: PacketDraft, _ payload: [UInt8], _ range: Range<Int>, more: Bool,
        _ dontFragment: UInt16 = 0
    ) -> PacketDraft {
        var piece = draft
        piece.checksumOffset = nil
        piece.payload = Array(payload[range])
        piece.fragmentField = UInt16(range.lowerBound / 8) | (more ? 0x2000 : 0) | dontFragment
        return piece
    }

    private static func arranged(
        _ pieces: [PacketDraft], _ random: inout SeededRandom
    ) -> [PacketDraft] {
        var result = pieces
        switch random.number(0...13) {
        case 0...3: break
        case 4, 5: result.reverse()
        case 6, 7: result.shuffle(using: &random)
        case 8: result.append(random.pick(pieces))  // One twice.
        case 9: result.remove(at: random.number(0...result.count - 1))  // Never complete.
        case 10:
            // Overlaps its predecessor by eight bytes.
            var extra = random.pick(pieces)
            if extra.fragmentField & 0x1FFF > 0 { extra.fragmentField -= 1 }
            result.insert(extra, at: random.number(0...result.count))
        case 11:
            // The same place with other bytes.
            var extra = random.pick(pieces)
            extra.payload = random.bytes(extra.payload.count)
            result.insert(extra, at: random.number(0...result.count))
        case 12:
            // A piece that is not the last and whose length is no multiple of eight.
            if result[0].payload.count > 8 { result[0].payload.removeLast(3) }
        default:
            // Ends beyond 65,535 bytes.
            result[result.count - 1].fragmentField = 0x1FFE
        }
        return result
    }
}
