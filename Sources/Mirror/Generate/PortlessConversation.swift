// Conversations in protocols that the kernel tracks by addresses alone: ESP, AH, and DCCP by Linux 6.18.

import Wire

enum PortlessConversation {
    static func make(_ world: World, _ random: inout SeededRandom) -> Conversation {
        var conversation = Conversation()
        let parties = Parties(world, &random)
        let number = random.pick([33, 50, 51] as [UInt8])
        var asked = 0
        for round in 0..<random.number(1...4) {
            let answers = round > 0 && random.chance(60)
            let (from, to) =
                answers
                ? (parties.flow.destination, parties.flow.source)
                : (parties.flow.source, parties.flow.destination)
            // Long enough for the headers that the matches read, but now and then.
            let data = random.bytes(random.weighted([(9, random.number(16...80)), (1, 6)]))
            let draft = PacketDraft(
                source: from, destination: to, protocol: IPProtocol(rawValue: number), payload: data
            )
            let sent = conversation.send(
                answers ? parties.server : parties.client, draft, answers: answers ? asked : nil,
                "protocol \(number)")
            if !answers { asked = sent }
            if !answers, random.chance(15) {
                ICMPErrors.append(
                    to: &conversation, about: sent, world, parties.server, parties.flow, &random)
            }
        }
        return conversation
    }
}
