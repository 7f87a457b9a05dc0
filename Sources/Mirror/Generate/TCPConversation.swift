// TCP as the wire sees it: two ends that count sequence numbers, and between them a path that loses,
// repeats, delays, damages and forges. The ends are as simple as can be; what is interesting about TCP
// to a connection tracker is what arrives, not why.

import Wire

struct TCPConversation {
    /// One end's view of its own sequence space.
    private struct End {
        /// The next sequence number to send.
        var next: UInt32
        /// What the other end has had of ours.
        var acknowledged: UInt32
        var scale: UInt8?
        var hasSACK: Bool
        var hasTimestamps: Bool
        var window: UInt16
    }

    private enum Side: Int { case client, server }

    private let world: World
    private let parties: Parties
    private var random: SeededRandom
    private var conversation = Conversation()
    private var ends: [End]
    /// The latest step of the client's that opened the connection: what the server answers.
    private var opening = 0
    private var clock: UInt32

    /// - Parameter random: advanced past everything this conversation draws.
    /// - Parameter parties: drawn where nobody names them.
    static func make(
        _ world: World, _ random: inout SeededRandom, between parties: Parties? = nil
    ) -> Conversation {
        var tcp = TCPConversation(world, SeededRandom(seed: random.next()), parties)
        tcp.run()
        return tcp.conversation
    }

    private init(_ world: World, _ random: SeededRandom, _ parties: Parties?) {
        self.world = world
        self.random = random
        if let parties {
            self.parties = parties
        } else {
            self.parties = Parties(world, &self.random)
        }
        clock = self.random.word()
        ends = []
        ends = (0...1).map { _ in makeEnd() }
    }

    private mutating func makeEnd() -> End {
        // Now and then a sequence space that wraps within the conversation.
        let start = random.chance(20) ? UInt32.max - UInt32(random.number(0...3000)) : random.word()
        return End(
            next: start, acknowledged: start,
            scale: random.chance(50) ? UInt8(random.pick([0, 2, 7, 14])) : nil,
            hasSACK: random.chance(50), hasTimestamps: random.chance(30),
            window: UInt16(random.pick([64_240, 65_535, 1000, 8192, 1])))
    }

    // MARK: The course of a conversation

    private mutating func run() {
        switch random.number(0...9) {
        case 0...5: handshake()
        case 6: simultaneousOpen()
        case 7: opening = data(.client)  // Mid-stream pickup.
        case 8:
            open()
            refuse()
            if random.chance(50) { handshake() }
        default: unanswered()
        }
        for _ in 0..<random.number(0...8) {
            if random.chance(25) { disturb() } else { exchange() }
        }
        switch random.number(0...9) {
        case 0...2: close(.client)
        case 3, 4: close(.server)
        case 5: simultaneousClose()
        case 6: halfClose()
        case 7: reset(random.chance(50) ? .client : .server)
        case 8:
            reset(
                random.chance(50) ? .client : .server, offset: random.pick([1, 100, -1, 1 << 30]))
            close(.client)
        default: return
        }
        if random.chance(40) { reopen() }
        if random.chance(30) { disturb() }
    }

    private mutating func handshake() {
        open()
        if random.chance(15) { open(again: true) }
        synAck()
        if random.chance(10) { synAck(again: true) }
        // The last acknowledgement of a handshake may be lost; data carries it then.
        if random.chance(85) { acknowledge(.client) }
    }

    private mutating func unanswered() {
        open()
        for _ in 0..<random.number(0...3) { open(again: true) }
    }

    private mutating func simultaneousOpen() {
        open()
        emit(.server, [.syn], options: synOptions(.server), "the other SYN")
        ends[1].next &+= 1
        ends[1].acknowledged = ends[1].next
        ends[0].acknowledged = ends[0].next
        emit(.client, [.syn, .ack], sequence: ends[0].next &- 1, "SYN-ACK to it")
        emit(.server, [.syn, .ack], sequence: ends[1].next &- 1, "SYN-ACK back")
        acknowledge(.client)
    }

    private mutating func exchange() {
        let side: Side = random.chance(60) ? .client : .server
        for _ in 0..<random.number(1...3) { data(side) }
        switch random.number(0...9) {
        case 0: retransmit(side)
        case 1: selectivelyAcknowledge(other(side))
        case 2: emit(side, [.ack], sequence: ends[side.rawValue].next &- 1, "keep-alive")
        case 3:
            ends[other(side).rawValue].window = UInt16(random.pick([0, 1000, 30_000]))
            acknowledge(other(side))
        default: if random.chance(80) { acknowledge(other(side)) }
        }
    }

    /// Opens the same pair of ports anew, as a client does whose ports come round.
    private mutating func reopen() {
        switch random.number(0...3) {
        case 0: ends[0].next &-= UInt32(random.number(1...100_000))
        case 1: ends[0].next &+= UInt32(random.number(1...100_000))
        case 2: ends[0].next = random.word()
        default: break
        }
        ends[1].next = random.chance(50) ? random.word() : ends[1].next &+ 70_000
        handshake()
        if random.chance(50) { exchange() }
        if random.chance(50) { close(random.chance(50) ? .client : .server) }
    }

    // MARK: Segments

    private mutating func open(again: Bool = false) {
        if !again { ends[0].acknowledged = ends[0].next } else { ends[0].next &-= 1 }
        var flags: TCPFlags = [.syn]
        if random.chance(10) { flags.formUnion([.ece, .cwr]) }
        let step = emit(
            .client, flags, acknowledgement: 0, options: synOptions(.client),
            length: random.chance(3) ? 20 : 0, again ? "SYN again" : "SYN")
        if !again { opening = step }
        ends[0].next &+= 1
    }

    private mutating func synAck(again: Bool = false) {
        if again { ends[1].next &-= 1 }
        ends[0].acknowledged = ends[0].next
        emit(
            .server, [.syn, .ack], options: synOptions(.server),
            again ? "SYN-ACK again" : "SYN-ACK")
        ends[1].next &+= 1
        ends[1].acknowledged = ends[1].next
    }

    private mutating func refuse() {
        emit(
            .server, [.rst, .ack], sequence: 0, acknowledgement: ends[0].next, "refused")
    }

    @discardableResult
    private mutating func data(_ side: Side) -> Int {
        let length = min(random.pick([1, 10, 100, 536, 1200]), limit(side))
        let step = emit(side, [.ack, .psh], length: length, "data")
        ends[side.rawValue].next &+= UInt32(length)
        return step
    }

    private mutating func acknowledge(_ side: Side) {
        ends[other(side).rawValue].acknowledged = ends[other(side).rawValue].next
        emit(side, [.ack], "acknowledgement")
    }

    private mutating func retransmit(_ side: Side) {
        let back = UInt32(random.pick([1, 100, 1200, 5000]))
        emit(
            side, [.ack, .psh], sequence: ends[side.rawValue].next &- back,
            length: min(Int(back), 1200, limit(side)), "retransmission")
    }

    /// What the server says may turn out to be the node's to send.
    private func limit(_ side: Side) -> Int {
        side == .server || parties.clientIsNode ? world.smallData : 1200
    }

    private mutating func selectivelyAcknowledge(_ side: Side) {
        let peer = ends[other(side).rawValue]
        var options: [UInt8] = [1, 1]
        let blocks = random.number(1...3)
        options.append(UInt8(5))
        options.append(UInt8(2 + 8 * blocks))
        for block in 0..<blocks {
            let from = peer.next &- UInt32(random.number(0...2000)) &+ UInt32(block * 3000)
            options.append(from)
            options.append(from &+ UInt32(random.number(1...1500)))
        }
        emit(side, [.ack], options: options, "selective acknowledgement")
    }

    private mutating func close(_ side: Side) {
        let peer = other(side)
        fin(side)
        if random.chance(50) {
            acknowledge(peer)
            if random.chance(30) { data(peer) }
            fin(peer)
        } else {
            ends[side.rawValue].acknowledged = ends[side.rawValue].next
            fin(peer)
        }
        if random.chance(85) { acknowledge(side) }
        if random.chance(20) { acknowledge(peer) }
    }

    private mutating func halfClose() {
        fin(.client)
        acknowledge(.server)
        for _ in 0..<random.number(1...4) {
            data(.server)
            acknowledge(.client)
        }
        if random.chance(50) {
            fin(.server)
            acknowledge(.client)
        }
    }

    private mutating func simultaneousClose() {
        fin(.client)
        fin(.server)
        acknowledge(.client)
        acknowledge(.server)
    }

    private mutating func fin(_ side: Side) {
        let length = random.chance(20) ? 10 : 0
        emit(side, [.fin, .ack], length: length, "FIN")
        ends[side.rawValue].next &+= 1 &+ UInt32(length)
    }

    private mutating func reset(_ side: Side, offset: Int32 = 0) {
        let end = ends[side.rawValue]
        let withACK = random.chance(40)
        emit(
            side, withACK ? [.rst, .ack] : [.rst],
            sequence: end.next &+ UInt32(bitPattern: offset),
            acknowledgement: withACK ? nil : 0, offset == 0 ? "RST" : "RST at a wrong place")
    }

    // MARK: What ought not to happen

    private mutating func disturb() {
        let side: Side = random.chance(60) ? .client : .server
        let end = ends[side.rawValue]
        switch random.number(0...15) {
        case 0: reset(side, offset: random.pick([-1, 1, 70_000, -70_000]))
        case 1: emit(side, [.syn], sequence: random.word(), acknowledgement: 0, "SYN within")
        case 2: emit(side, [.syn, .ack], "SYN-ACK within")
        case 3: emit(side, [.ack], sequence: end.next &+ 1_000_000, "far ahead")
        case 4: emit(side, [.ack], sequence: end.next &- 1_000_000, length: 10, "far behind")
        case 5: emit(side, [.ack], acknowledgement: random.word(), "acknowledges the unsent")
        case 6:
            emit(
                side, random.pick([[], [.syn, .fin], [.fin, .psh, .urg], [.syn, .rst], [.fin]]),
                "a nonsense of flags")
        case 7: emit(side, [.ack, .urg, .psh], length: 4, "urgent data")
        case 8: emit(side, [.ack, .psh], length: 10, damage: .checksum, "a bad checksum")
        case 9: emit(side, [.ack], damage: .cut(random.pick([0, 4, 8, 12, 19])), "cut short")
        case 10: emit(side, [.ack], damage: .headerLength, "a wrong header length")
        case 11: spoof(side)
        case 12:
            emit(side, [.ack], options: random.pick(Self.oddOptions), "odd TCP options")
        case 13: repeatEarlier()
        case 14: quote()
        default: emit(side, [.ack], timeToLive: random.pick([1, 2, 0, 255]), "another TTL")
        }
    }

    /// The same segment from an interface where its sender does not live.
    private mutating func spoof(_ side: Side) {
        let step = emit(side, [.ack, .psh], length: 7, "spoofed")
        let link = random.number(0...world.links.count - 1)
        conversation.steps[step].sender = .link(link, mac: world.links[link].hosts[0].mac)
        conversation.steps[step].answers = nil
    }

    /// An old packet once more, whole.
    private mutating func repeatEarlier() {
        guard var step = conversation.steps.randomElement(using: &random) else { return }
        step.note = "a repetition of an old packet"
        conversation.steps.append(step)
    }

    private mutating func quote() {
        let flow = parties.flow
        ICMPErrors.append(
            to: &conversation, about: conversation.steps.count - 1, world, parties.server,
            flow, &random)
    }

    private static let oddOptions: [[UInt8]] = [
        [8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0], [254, 4, 1, 2], [3, 3, 15, 0], [2, 4, 0, 1],
        [1, 1, 1, 1], [5, 2, 0, 0], [2, 40, 0, 0], [0, 0, 0, 0], [8, 0, 1, 1],
    ]

    // MARK: Emission

    private enum Damage {
        case checksum
        case cut(Int)
        case headerLength
    }

    private func other(_ side: Side) -> Side { side == .client ? .server : .client }

    private mutating func synOptions(_ side: Side) -> [UInt8] {
        let end = ends[side.rawValue]
        var options: [UInt8] = []
        if random.chance(85) {
            options += [2, 4]
            options.append(UInt16(random.pick([1460, 1400, 536, 65_495])))
        }
        if end.hasSACK { options += [4, 2, 1, 1] }
        if let scale = end.scale { options += [3, 3, scale, 1] }
        return options
    }

    /// Sends a segment; what is not said is what a sound end would send now.
    @discardableResult
    private mutating func emit(
        _ side: Side, _ flags: TCPFlags, sequence: UInt32? = nil, acknowledgement: UInt32? = nil,
        options: [UInt8] = [], length: Int = 0, timeToLive: UInt8 = 64, damage: Damage? = nil,
        _ note: String
    ) -> Int {
        let end = ends[side.rawValue]
        let peer = ends[other(side).rawValue]
        var all = options
        if end.hasTimestamps, options.count <= 20 {
            clock &+= 1
            all += [1, 1, 8, 10]
            all.append(clock)
            all.append(clock &- 5)
        }
        var draft = PacketDraft.tcp(
            side == .client ? parties.flow : parties.flow.reversed,
            Segment(
                flags: flags, sequence: sequence ?? end.next,
                acknowledgement: acknowledgement ?? peer.acknowledged,
                window: end.window, options: all, length: length))
        draft.identification = UInt16(truncatingIfNeeded: random.next())
        draft.fragmentField = random.chance(80) ? 0x4000 : 0
        draft.timeToLive = timeToLive
        draft.typeOfService = random.chance(20) ? random.pick(world.typesOfService) : 0
        apply(damage, to: &draft)
        return conversation.send(
            side == .client ? parties.client : parties.server, draft,
            answers: side == .server && !conversation.steps.isEmpty ? opening : nil,
            "TCP \(side): \(note)")
    }

    private func apply(_ damage: Damage?, to draft: inout PacketDraft) {
        switch damage {
        case nil: break
        case .checksum:
            draft.checksumOffset = nil
            draft.payload[16] = 0x12
        case .cut(let length):
            draft.payload.removeLast(draft.payload.count - length)
            draft.checksumOffset = nil
        case .headerLength: draft.payload[12] = 0x40
        }
    }
}
