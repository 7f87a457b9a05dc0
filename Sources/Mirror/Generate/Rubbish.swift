// What attackers and broken hosts send: single packets that belong to no conversation.

import Wire

enum Rubbish {
    static func make(_ world: World, _ random: inout SeededRandom) -> Conversation {
        var conversation = Conversation()
        let parties = Parties(world, &random)
        for _ in 0..<random.number(1...3) { send(&conversation, parties, world, &random) }
        return conversation
    }

    private static func send(
        _ conversation: inout Conversation, _ parties: Parties, _ world: World,
        _ random: inout SeededRandom
    ) {
        var draft = PacketDraft.udp(parties.flow, data: PacketDraft.filler(20))
        // Packets of the node itself are sound: its stack would not let others out.
        guard case .link = parties.client.place else {
            conversation.send(parties.client, draft, "a datagram")
            return
        }
        var note = "rubbish"
        switch random.number(0...9) {
        case 0:
            // Protocols without ports, and some whose ports nobody reads. Not GRE, of which Linux knows
            // more (Docs/Differences.md).
            draft.protocol = IPProtocol(
                rawValue: random.pick([89, 50, 4, 255, 2, 0]))
            draft.payload = random.bytes(random.pick([0, 4, 24, 100]))
            draft.checksumOffset = nil
            note = "protocol \(draft.protocol.rawValue)"
        case 1:
            draft.source = random.pick(impossibleSources) ?? random.pick(world.ownAddresses)
            note = "from \(draft.source)"
        case 2:
            draft.destination = random.pick([IPv4Address(240, 0, 0, 1), .loopback, .any])
            note = "to \(draft.destination)"
        case 3:
            draft.timeToLive = random.pick([0, 1])
            note = "TTL \(draft.timeToLive)"
        case 4:
            draft.protocol = random.pick([.tcp, .udp, .icmp])
            draft.payload = random.bytes(random.number(0...60))
            draft.checksumOffset = nil
            note = "random bytes behind the header"
        case 5:
            draft.options = random.pick([
                [1, 1, 1, 1], [0, 0, 0, 0], [148, 4, 0, 0], [1, 1, 1, 0],
                [136, 4, 0, 1], [1, 148, 4, 0, 0, 0, 0, 0],
                // Recorded routes and timestamps whose length or pointer is impossible, or which are full;
                // source routes that lead nowhere. A timestamp with room would tell the time.
                [7, 7, 4, 0, 0, 0, 0, 0], [7, 7, 3, 0, 0, 0, 0, 0], [7, 40, 4, 0], [7, 2, 4, 0],
                [68, 8, 9, 0, 0, 0, 0, 0], [68, 3, 5, 0], [68, 8, 9, 0xF0, 0, 0, 0, 0],
                [131, 3, 3, 0], [131, 7, 4, 10, 9, 9, 9, 0],
            ])
            note = "IP options"
        case 6:
            draft.destination = random.pick([IPv4Address(10, 66, 0, 1), IPv4Address(172, 16, 9, 9)])
            note = "to \(draft.destination)"
        case 7:
            draft.payload += PacketDraft.filler(random.pick([1400, 1452, 1453, 1600]))
            draft.fragmentField = random.chance(50) ? 0x4000 : 0
            draft.payload[4] = UInt8(draft.payload.count >> 8)
            draft.payload[5] = UInt8(draft.payload.count & 255)
            note = "\(draft.payload.count + 20) bytes"
        default:
            conversation.send(
                parties.client, bytes: damaged(draft.bytes, &random), "a damaged IP header")
            return
        }
        conversation.send(parties.client, draft, note)
    }

    /// `nil` stands for an address of the node's own.
    private static let impossibleSources: [IPv4Address?] = [
        .loopback, .any, IPv4Address(0, 0, 0, 7), IPv4Address(240, 0, 0, 1), nil,
        IPv4Address(224, 0, 0, 5), .broadcast, IPv4Address(172, 16, 9, 9),
    ]

    /// Something wrong that the first look at the header sees; half of the time under a right checksum.
    private static func damaged(_ bytes: [UInt8], _ random: inout SeededRandom) -> [UInt8] {
        var bytes = bytes
        switch random.number(0...4) {
        case 0: bytes[0] = random.pick([0x65, 0x44, 0x4F, 0x35])
        case 1: bytes[3] = random.pick([0, 19, 20, 27, 255])
        case 2: bytes[10] ^= 0x5A
        case 3: bytes.removeLast(random.number(1...bytes.count - 1))
        default: bytes += random.bytes(random.number(1...30))  // Padding, which is none of IP's.
        }
        if random.chance(50), bytes.count >= 20, bytes[0] == 0x45 {
            bytes[10] = 0
            bytes[11] = 0
            bytes.set(bytes.checksum(0..<20), at: 10)
        }
        return bytes
    }
}
