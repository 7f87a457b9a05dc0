// A conversation is a list of packets in the order in which they are sent; later ones may answer or
// quote earlier ones. Several are interleaved by `TrafficGenerator`. A conversation never learns what a
// node made of its packets: answers are turned round on each side of the mirror, after the fact.

import Wire

/// One packet of a conversation.
struct Step {
    var sender: Endpoint.Place
    /// The IPv4 packet, without link layer.
    var packet: [UInt8]
    /// The step, counted from 0 within the conversation, to whose outcome this is the reply.
    var answers: Int?
    var note: String
}

struct Conversation {
    var steps: [Step] = []

    /// - Returns: the number of the step, for later ones that answer it.
    @discardableResult
    mutating func send(
        _ sender: Endpoint, _ draft: PacketDraft, answers: Int? = nil, _ note: String
    ) -> Int {
        var draft = draft
        // A socket's packet with identification 0 is given another one by the kernel.
        if draft.identification == 0 { draft.identification = UInt16(0x4001 + steps.count) }
        return send(sender, bytes: draft.bytes, answers: answers, note)
    }

    @discardableResult
    mutating func send(
        _ sender: Endpoint, bytes: [UInt8], answers: Int? = nil, _ note: String
    ) -> Int {
        steps.append(Step(sender: sender.place, packet: bytes, answers: answers, note: note))
        return steps.count - 1
    }
}

/// Who talks to whom.
struct Parties {
    var client: Endpoint
    /// Where the answers would come from if nothing were translated.
    var server: Endpoint
    var flow: Flow

    var clientIsNode: Bool {
        if case .node = client.place { true } else { false }
    }

    init(client: Endpoint, server: Endpoint, flow: Flow) {
        self.client = client
        self.server = server
        self.flow = flow
    }

    /// Mostly a host to another link's host; also to and from the node, to a service, to its own link.
    init(_ world: World, _ random: inout SeededRandom, sourcePort: UInt16? = nil) {
        let hosts = world.endpoints
        let own = world.ownAddresses
        client = random.pick(hosts)
        var target = random.pick(hosts).address
        switch random.number(0...19) {
        case 0...8: break
        case 9...11: target = random.pick(world.services)
        case 12...14: target = random.pick(own)
        case 15...17:
            client = Endpoint(
                address: random.pick(own),
                place: .node(
                    mark: random.chance(30) ? random.pick(world.marks) : 0,
                    user: random.pick(world.users), group: random.pick(world.groups)))
        case 18:
            // The node to itself.
            let address = random.chance(50) ? IPv4Address.loopback : random.pick(own)
            client = Endpoint(
                address: address, place: .node(mark: 0, user: random.pick(world.users)))
            target = random.chance(50) ? .loopback : random.pick(own)
        default:
            // A neighbour on the same link: a hairpin.
            if case .link(let link, _) = client.place {
                target = random.pick(world.links[link].hosts).address
            }
        }
        server = world.endpoint(target)
        flow = Flow(
            source: client.address, sourcePort: sourcePort ?? world.clientPort(&random),
            destination: target, destinationPort: world.port(&random))
    }
}
