// UDP and ICMP conversations, and the errors that quote a packet of any of them.

import Wire

enum UDPConversation {
    static func make(_ world: World, _ random: inout SeededRandom) -> Conversation {
        let sourcePort = random.chance(10) ? world.port(&random) : world.clientPort(&random)
        let parties = Parties(world, &random, sourcePort: sourcePort)
        var conversation = Conversation()
        var first: Int?
        for _ in 0..<random.number(1...6) {
            let fromClient = first == nil || random.chance(55)
            let limit = fromClient && !parties.clientIsNode ? 1200 : world.smallData
            var draft = PacketDraft.udp(
                fromClient ? parties.flow : parties.flow.reversed,
                data: PacketDraft.filler(min(random.pick([0, 1, 33, 512, 1200]), limit)))
            draft.identification = UInt16(truncatingIfNeeded: random.next())
            draft.typeOfService = random.pick(world.typesOfService)
            damage(&draft, &random)
            let step = conversation.send(
                fromClient ? parties.client : parties.server, draft,
                answers: fromClient ? nil : first, "UDP \(fromClient ? "client" : "server")")
            if first == nil { first = step }
            if random.chance(12) {
                ICMPErrors.append(
                    to: &conversation, about: step, world, parties.server, parties.flow, &random)
            }
        }
        return conversation
    }

    private static func damage(_ draft: inout PacketDraft, _ random: inout SeededRandom) {
        switch random.number(0...39) {
        case 0...3: draft.checksumOffset = nil  // Zero: none was computed.
        case 4:
            draft.checksumOffset = nil
            draft.payload[6] = 0xBA
        case 5:
            // A length that is not the packet's.
            draft.payload[4] = 0
            draft.payload[5] = UInt8(random.pick([0, 7, 8, 9, 200]))
        case 6: draft.payload.removeLast(draft.payload.count - random.number(0...7))
        case 7: draft.timeToLive = 1
        default: break
        }
    }
}

enum ICMPConversation {
    static func make(_ world: World, _ random: inout SeededRandom) -> Conversation {
        let parties = Parties(world, &random)
        var conversation = Conversation()
        // Types with a question and an answer that conntrack knows as a pair.
        let (ask, answer): (UInt8, UInt8) = random.weighted([
            (8, (8, 0)), (1, (13, 14)), (1, (15, 16)), (1, (17, 18)),
        ])
        let identifier = random.chance(20) ? 1 : UInt16(random.number(2...65_000))
        var first: Int?
        for sequence in 0..<UInt16(random.number(1...5)) {
            let rest = UInt32(identifier) << 16 | UInt32(sequence)
            var question = PacketDraft.icmp(
                parties.client.address, parties.flow.destination, type: ask, rest: rest,
                data: PacketDraft.filler(
                    random.pick(parties.clientIsNode ? [0, 12, 56] : [0, 12, 56, 1000])))
            if random.chance(5) { question.timeToLive = 1 }
            if random.chance(4) {
                question.checksumOffset = nil
                question.payload[2] = 1
            }
            let asked = conversation.send(parties.client, question, "ICMP \(ask)")
            if first == nil { first = asked }
            for _ in 0..<random.weighted([(2, 0), (6, 1), (1, 2)]) {
                conversation.send(
                    parties.server,
                    .icmp(
                        parties.flow.destination, parties.client.address, type: answer, rest: rest,
                        data: PacketDraft.filler(12)),
                    answers: asked, "ICMP \(answer)")
            }
            if random.chance(15) {
                ICMPErrors.append(
                    to: &conversation, about: asked, world, parties.server, parties.flow, &random)
            }
        }
        if random.chance(10) {
            conversation.send(
                parties.client,
                .icmp(
                    parties.client.address, parties.flow.destination,
                    type: random.pick([0, 1, 5, 9, 10, 14, 40, 255]), rest: random.word(),
                    data: PacketDraft.filler(random.pick([0, 8, 40]))),
                "ICMP unasked")
        }
        return conversation
    }
}

/// Errors about packets of a conversation (RFC 792, RFC 1812, 5.2.7).
enum ICMPErrors {
    /// From the other end or a router on the way, quoting what step `number` became.
    static func append(
        to conversation: inout Conversation, about number: Int, _ world: World,
        _ server: Endpoint, _ flow: Flow, _ random: inout SeededRandom
    ) {
        guard conversation.steps.indices.contains(number) else { return }
        let subject = conversation.steps[number]
        guard subject.packet.count >= 28 else { return }
        let (type, code) = kind(&random)
        // The next hop's MTU in code 4, the pointer of a parameter problem, a redirect's gateway.
        let rest: UInt32 =
            switch (type, code) {
            case (3, 4): UInt32(random.pick([576, 1200, 0, 68]))
            case (12, _): 20 << 24
            case (5, _): random.pick(world.ownAddresses).rawValue
            default: 0
            }
        let length = random.weighted([
            (5, 28), (5, subject.packet.count), (2, 60), (1, 27), (1, 20),
        ])
        // Short enough for the node to send, if it should be the one.
        let quoted = Array(subject.packet.prefix(min(length, world.smallData)))
        let from = IPv4Address(rawValue: subject.packet.withRawSpan { $0.u32(12) })
        let to = IPv4Address(rawValue: subject.packet.withRawSpan { $0.u32(16) })
        let far = to == flow.destination ? server : world.endpoint(to)
        var router = far
        if random.chance(30) { router.address = IPv4Address(192, 0, 2, 77) }
        var draft = PacketDraft.icmp(
            router.address, from, type: type, code: code, rest: rest, data: quoted)
        if random.chance(5) {
            draft.checksumOffset = nil
            draft.payload[3] = 0x77
        }
        let bare = random.chance(15)
        conversation.send(
            router, draft, answers: bare ? nil : number,
            "ICMP error \(type)/\(code) about packet \(number)")
    }

    private static func kind(_ random: inout SeededRandom) -> (UInt8, UInt8) {
        switch random.number(0...11) {
        case 0...4: (3, UInt8(random.pick([0, 1, 2, 3, 9, 10, 13])))
        case 5, 6: (3, 4)
        case 7: (3, UInt8(random.number(0...16)))
        case 8, 9: (11, UInt8(random.number(0...1)))
        case 10: (12, 0)
        default: random.pick([(4, 0), (5, 1), (5, 0)])
        }
    }
}
