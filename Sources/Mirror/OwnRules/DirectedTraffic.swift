// Conversations that are about single rules: packets that ought to hit, and others that miss by little.
// Whether one hits is the engines' to say: an earlier rule may have the packet first.

import Ruleset
import Wire

struct DirectedTraffic {
    let surroundings: RuleSurroundings
    private let paths: RulePaths

    init(_ surroundings: RuleSurroundings, _ paths: RulePaths) {
        self.surroundings = surroundings
        self.paths = paths
    }

    /// For every rule that packets come to, in the order of the rules.
    func conversations(_ ruleset: Ruleset, _ random: inout SeededRandom) -> [Conversation] {
        var conversations: [Conversation] = []
        for table in ruleset.tables {
            for chain in table.chains {
                for rule in chain.rules {
                    for isFirst in [true, false] {
                        conversations += attempt(&random, nearMisses: isFirst ? 2 : 0) {
                            paths.path(to: rule, in: chain.name, of: table.name, &$0)
                        }
                    }
                }
            }
        }
        return conversations
    }

    /// Along the first of some ways to a rule that a packet can be made for.
    private func attempt(
        _ random: inout SeededRandom, nearMisses: Int,
        along path: (inout SeededRandom) -> RulePaths.Path?
    ) -> [Conversation] {
        for _ in 0..<8 {
            guard let path = path(&random) else { return [] }
            let aim = Aim(path)
            guard let shot = Shot.aimed(aim, surroundings, &random) else { continue }
            var conversations = hits(aim, shot, &random)
            for _ in 0..<nearMisses { conversations.append(nearMiss(shot, aim, &random)) }
            for number in 1..<max(aim.repetitions, 1) {
                // The same sender from another port: what counts, counts by addresses.
                var again = shot
                if aim.sourcePorts.isEmpty { again.sourcePort &+= UInt16(number) }
                conversations.append(exchange(again, &random))
            }
            return conversations
        }
        return []
    }

    // MARK: Packets that hit

    private func hits(_ aim: Aim, _ shot: Shot, _ random: inout SeededRandom) -> [Conversation] {
        var conversations: [Conversation] = []
        let isSound = !shot.isLaterFragment
        if aim.allows(.new) || aim.allows(.untracked) || aim.allows(.invalid) {
            conversations.append(isSound ? exchange(shot, &random) : single(shot))
        }
        if aim.allows(.established), !aim.states.isEmpty, isSound {
            conversations.append(answered(shot, &random))
        }
        if aim.allows(.related), !aim.states.isEmpty, isSound {
            conversations.append(error(shot, &random))
        }
        if aim.allows(.invalid), !aim.states.isEmpty { conversations.append(invalid(shot)) }
        if shot.protocol == .tcp, aim.allows(.new), random.chance(25) {
            conversations.append(
                TCPConversation.make(surroundings.world, &random, between: parties(shot)))
        }
        return conversations
    }

    private func single(_ shot: Shot) -> Conversation {
        var conversation = Conversation()
        conversation.send(shot.sender, shot.draft, "for a rule")
        return conversation
    }

    /// The packet, what the other end says to it, and a word back.
    private func exchange(_ shot: Shot, _ random: inout SeededRandom) -> Conversation {
        var conversation = single(shot)
        guard let reply = reply(to: shot) else { return conversation }
        let server = surroundings.world.endpoint(shot.destination)
        conversation.send(server, reply, answers: 0, "the answer")
        if shot.protocol == .tcp, shot.flags == [.syn], random.chance(60) {
            conversation.send(
                shot.sender,
                .tcp(
                    shot.flow,
                    Segment(
                        flags: [.ack, .psh], sequence: 1001, acknowledgement: 5001, length: 20)),
                "and on")
        }
        return conversation
    }

    /// The other end begins, so that the packet belongs to a connection; then it is one's answer.
    private func answered(_ shot: Shot, _ random: inout SeededRandom) -> Conversation {
        var opener = shot
        let other = surroundings.world.endpoint(shot.destination)
        opener.source = shot.destination
        opener.destination = shot.source
        opener.sourcePort = shot.destinationPort
        opener.destinationPort = shot.sourcePort
        opener.place = other.place
        opener.flags = [.syn]
        opener.timeToLive = 64
        // Where the opposite way is no way for a packet to begin, its own way must do.
        if !surroundings.isUnicast(opener.destination) { return exchange(shot, &random) }
        var conversation = Conversation()
        conversation.send(opener.sender, opener.draft, "so that a rule has something to know")
        guard var draft = reply(to: opener) else { return conversation }
        draft.typeOfService = shot.typeOfService
        conversation.send(shot.sender, draft, answers: 0, "for a rule, as an answer")
        return conversation
    }

    private func error(_ shot: Shot, _ random: inout SeededRandom) -> Conversation {
        var conversation = Conversation()
        // An error comes from where the packet went.
        var opener = shot
        if shot.protocol == .icmp, shot.icmpType != 8 {
            opener.protocol = .udp
        }
        opener.source = shot.destination
        opener.destination = shot.source
        opener.place = surroundings.world.endpoint(shot.destination).place
        opener.flags = [.syn]
        conversation.send(opener.sender, opener.draft, "so that an error has something to quote")
        ICMPErrors.append(
            to: &conversation, about: 0, surroundings.world, shot.sender, opener.flow, &random)
        return conversation
    }

    private func invalid(_ shot: Shot) -> Conversation {
        var wrong = shot
        switch shot.protocol {
        case .tcp: wrong.flags = [.syn, .fin]
        default:
            wrong.protocol = .icmp
            wrong.icmpType = 0
        }
        return single(wrong)
    }

    private func reply(to shot: Shot) -> PacketDraft? {
        switch shot.protocol {
        case .tcp:
            let flags: TCPFlags = shot.flags == [.syn] ? [.syn, .ack] : [.ack]
            return .tcp(
                shot.flow.reversed,
                Segment(
                    flags: flags, sequence: 5000, acknowledgement: 1001,
                    options: flags.contains(.syn) ? [2, 4, 5, 180] : []))
        case .udp: return .udp(shot.flow.reversed, data: PacketDraft.filler(12))
        case .icmp:
            guard shot.icmpType == 8 else { return nil }
            return .icmp(
                shot.destination, shot.source, type: 0, rest: UInt32(shot.sourcePort) << 16 | 1)
        default: return nil
        }
    }

    private func parties(_ shot: Shot) -> Parties {
        Parties(
            client: shot.sender, server: surroundings.world.endpoint(shot.destination),
            flow: shot.flow)
    }

    // MARK: Packets that miss by little

    private func nearMiss(_ shot: Shot, _ aim: Aim, _ random: inout SeededRandom) -> Conversation {
        var miss = shot
        switch random.number(0...6) {
        case 0:
            let ports = aim.destinationPorts.flatMap(\.neighbours)
            miss.destinationPort = ports.randomElement(using: &random) ?? shot.destinationPort &+ 1
        case 1:
            let ports = aim.sourcePorts.flatMap(\.neighbours)
            miss.sourcePort = ports.randomElement(using: &random) ?? shot.sourcePort &+ 1
        case 2: miss.protocol = shot.protocol == .tcp ? .udp : .tcp
        case 3: miss.flags = random.pick([[.ack], [.fin, .ack], [.rst], [.syn, .ack]])
        case 4:
            let beside = aim.destinations.flatMap(\.neighbours).filter(surroundings.isUnicast)
            if let address = beside.randomElement(using: &random) { miss.destination = address }
        case 5: missSource(&miss, aim, &random)
        default: missPlace(&miss, &random)
        }
        var conversation = Conversation()
        conversation.send(miss.sender, miss.draft, "a near miss")
        if random.chance(50), let reply = reply(to: miss) {
            conversation.send(
                surroundings.world.endpoint(miss.destination), reply, answers: 0, "the answer")
        }
        return conversation
    }

    /// Packets of the node's own have its addresses.
    private func missSource(_ miss: inout Shot, _ aim: Aim, _ random: inout SeededRandom) {
        guard case .link = miss.place else { return missPlace(&miss, &random) }
        let beside = aim.sources.flatMap(\.neighbours).filter {
            surroundings.isUnicast($0) && !surroundings.isOwn($0)
        }
        if let address = beside.randomElement(using: &random) { miss.source = address }
    }

    /// From another link, another user or with another mark.
    private func missPlace(_ miss: inout Shot, _ random: inout SeededRandom) {
        let world = surroundings.world
        switch miss.place {
        case .link:
            let link = random.number(0...world.links.count - 1)
            miss.place = .link(link, mac: world.links[link].hosts[0].mac)
        case .node(let mark, let user, let group):
            miss.place =
                switch random.number(0...2) {
                case 0: .node(mark: random.pick(world.marks), user: user, group: group)
                case 1: .node(mark: mark, user: random.pick(world.users), group: group)
                default: .node(mark: mark, user: user, group: random.pick(world.groups))
                }
        }
    }
}
