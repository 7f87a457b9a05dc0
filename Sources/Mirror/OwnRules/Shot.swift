// A packet for an aim: values that pass every test that packets can be made for.

import Ruleset
import Wire

struct Shot {
    var source: IPv4Address
    var destination: IPv4Address
    var place: Endpoint.Place
    var `protocol`: IPProtocol
    var sourcePort: UInt16
    var destinationPort: UInt16
    var flags: TCPFlags
    var tcpOption: UInt8?
    var icmpType: UInt8 = 8
    var icmpCode: UInt8 = 0
    var typeOfService: UInt8
    var timeToLive: UInt8
    /// Of the whole packet.
    var length: Int?
    var isLaterFragment: Bool

    var flow: Flow {
        Flow(
            source: source, sourcePort: sourcePort, destination: destination,
            destinationPort: destinationPort)
    }
    var sender: Endpoint { Endpoint(address: source, place: place) }

    /// - Returns: `nil` where no packet passes, or none that both engines could be compared on.
    static func aimed(
        _ aim: Aim, _ surroundings: RuleSurroundings, _ random: inout SeededRandom
    ) -> Shot? {
        let world = surroundings.world
        guard let transport = transport(aim, &random),
            let sourcePort = port(aim.sourcePorts, world.clientPort(&random), &random),
            let destinationPort = port(
                aim.destinationPorts, random.pick(world.serverPorts), &random)
        else { return nil }
        let fromNode = aim.comesFromNode(&random)
        guard let destination = destination(aim, surroundings, fromNode: fromNode, &random),
            let (source, link) = source(
                aim, surroundings, to: destination, fromNode: fromNode, &random)
        else { return nil }
        var place = Endpoint.Place.node(
            mark: aim.mark(world, &random), user: aim.users.example(world.users, &random) ?? 0,
            group: aim.groups.example(world.groups, &random) ?? 0)
        if let link {
            let known = world.links[link].hosts.first { $0.address == source }
            place = .link(link, mac: aim.mac ?? known?.mac ?? world.links[link].hosts[0].mac)
        }
        let combinations: [TCPFlags] = [
            [.syn], [.ack], [.syn, .ack], [.fin, .ack], [.rst], [.rst, .ack], [], [.fin],
            [.fin, .psh, .urg], [.syn, .fin], [.syn, .rst], TCPFlags(rawValue: 0x3F),
            [.ack, .psh], [.ack, .urg],
        ]
        let flags = combinations.first { flags in
            aim.flags.allSatisfy {
                (flags.intersection($0.value.mask) == $0.value.compare) != $0.inverted
            }
        }
        var shot = Shot(
            source: source, destination: destination, place: place, protocol: transport,
            sourcePort: sourcePort, destinationPort: destinationPort, flags: flags ?? [.syn],
            tcpOption: aim.tcpOption, typeOfService: aim.typeOfService,
            timeToLive: aim.timeToLive, length: aim.length, isLaterFragment: aim.isLaterFragment)
        if let icmp = aim.icmp, icmp.type != ICMPMatch.anyType {
            shot.icmpType = icmp.type
            shot.icmpCode = icmp.codes.lowerBound
        }
        return shot
    }

    /// SCTP, UDP-Lite and GRE are tracked otherwise than Linux does (Docs/Differences.md).
    private static func transport(_ aim: Aim, _ random: inout SeededRandom) -> IPProtocol? {
        var candidates = aim.protocols.filter { !$0.inverted }.map(\.value)
        if candidates.isEmpty { candidates = [.tcp, .udp, .icmp].shuffled(using: &random) }
        return candidates.first { candidate in
            ![.sctp, .udplite, .gre].contains(candidate)
                && aim.protocols.allSatisfy { ($0.value == candidate) != $0.inverted }
        }
    }

    private static func port(
        _ tests: [PortTest], _ usual: UInt16, _ random: inout SeededRandom
    ) -> UInt16? {
        let candidates = [usual] + tests.flatMap { $0.inverted ? $0.neighbours : $0.edges }
        return candidates.filter { port in tests.allSatisfy { $0.holds(port) } }
            .randomElement(using: &random)
    }

    private static func destination(
        _ aim: Aim, _ surroundings: RuleSurroundings, fromNode: Bool, _ random: inout SeededRandom
    ) -> IPv4Address? {
        let world = surroundings.world
        var candidates = world.endpoints.map(\.address) + world.services + world.ownAddresses
        if fromNode { candidates.append(.loopback) }
        for test in aim.destinations { candidates += test.examples(&random) }
        let fitting = candidates.filter { address in
            surroundings.isUnicast(address)
                && aim.destinations.allSatisfy { $0.holds(address, surroundings) }
        }
        let preferred = fitting.filter { address in
            let isOwn = surroundings.isOwn(address)
            switch aim.hook {
            case .input: if !isOwn { return false }
            case .prerouting where fromNode: if !isOwn { return false }
            case .forward: if isOwn { return false }
            case .prerouting, .output, .postrouting: break
            }
            let egress = isOwn ? "lo" : world.links[surroundings.link(to: address)].name
            return aim.egress.allSatisfy { $0.holds(egress) }
        }
        return preferred.randomElement(using: &random) ?? fitting.randomElement(using: &random)
    }

    /// - Returns: with the link that it comes in on, or none for a packet of the node's own.
    private static func source(
        _ aim: Aim, _ surroundings: RuleSurroundings, to destination: IPv4Address, fromNode: Bool,
        _ random: inout SeededRandom
    ) -> (IPv4Address, Int?)? {
        let world = surroundings.world
        if fromNode {
            let isOwn = surroundings.isOwn(destination)
            let usual =
                isOwn ? [destination] : world.links[surroundings.link(to: destination)].addresses
            let fits = { (address: IPv4Address) in
                aim.sources.allSatisfy { $0.holds(address, surroundings) }
            }
            // Over lo, every address of 127.0.0.0/8 is one of the node's.
            let local = aim.sources.flatMap { $0.examples(&random) }.filter(\.isLoopback)
            let others = (world.ownAddresses + (isOwn ? [.loopback] + local : [])).filter(fits)
            return (usual.filter(fits) + others).first.map { ($0, nil) }
        }
        var candidates = world.endpoints.map(\.address)
        for test in aim.sources { candidates += test.examples(&random) }
        let fitting = candidates.filter { address in
            surroundings.isUnicast(address) && !surroundings.isOwn(address)
                && aim.sources.allSatisfy { $0.holds(address, surroundings) }
        }
        let links = world.links.indices.filter { index in
            aim.ingress.allSatisfy { $0.holds(world.links[index].name) }
        }
        guard !fitting.isEmpty, !links.isEmpty else { return nil }
        let honest = fitting.filter { links.contains(surroundings.link(to: $0)) }
        let away = honest.filter { surroundings.link(to: $0) != surroundings.link(to: destination) }
        // Mostly from one link to another; a hairpin now and then.
        if random.chance(85), let address = away.randomElement(using: &random) {
            return (address, surroundings.link(to: address))
        }
        if let address = honest.randomElement(using: &random) {
            return (address, surroundings.link(to: address))
        }
        return (random.pick(fitting), random.pick(links))
    }

    // MARK: As bytes

    /// The packet itself, beginning a connection where it is one's first.
    var draft: PacketDraft {
        var draft: PacketDraft
        switch self.protocol {
        case .tcp:
            var options: [UInt8] = flags.contains(.syn) ? [2, 4, 5, 180] : []
            if let tcpOption, tcpOption > 1, tcpOption != 2 { options += [tcpOption, 4, 0, 0] }
            draft = .tcp(
                flow,
                Segment(
                    flags: flags, sequence: 1000, options: options,
                    length: filling(40 + options.count)))
        case .udp: draft = .udp(flow, data: PacketDraft.filler(filling(28)))
        case .icmp:
            draft = .icmp(
                source, destination, type: icmpType, code: icmpCode,
                rest: UInt32(sourcePort) << 16 | 1, data: PacketDraft.filler(filling(28)))
        default:
            draft = PacketDraft(source: source, destination: destination, protocol: self.protocol)
            draft.payload.append(sourcePort)
            draft.payload.append(destinationPort)
            draft.payload += [UInt8](repeating: 0, count: max(20, filling(24)))
        }
        draft.typeOfService = typeOfService
        draft.timeToLive = timeToLive
        if isLaterFragment { draft.fragmentField = 10 }
        return draft
    }

    private func filling(_ headers: Int) -> Int { min(max((length ?? headers) - headers, 0), 1400) }
}

extension Aim {
    /// Whether a socket of the node sends the packet.
    fileprivate func comesFromNode(_ random: inout SeededRandom) -> Bool {
        let usesLoopback = (ingress + egress).contains { $0.name == "lo" && !$0.inverted }
        switch hook {
        case .output: return true
        case .postrouting:
            return usesLoopback || !users.isEmpty || !groups.isEmpty || random.chance(40)
        case .prerouting, .input:
            // What comes in over lo still has the mark of its socket.
            let isMarked = marks.contains { !$0.inverted && $0.value.value != 0 }
            return usesLoopback || isMarked && random.chance(50)
        case .forward: return false
        }
    }

    fileprivate func mark(_ world: World, _ random: inout SeededRandom) -> UInt32 {
        let candidates = marks.filter { !$0.inverted }.map(\.value.value) + [0] + world.marks
        let fitting = candidates.filter { mark in
            marks.allSatisfy { ((mark & $0.value.mask) == $0.value.value) != $0.inverted }
        }
        return random.chance(75) ? fitting.first ?? 0 : fitting.randomElement(using: &random) ?? 0
    }
}

extension InterfaceMatch {
    func holds(_ link: String) -> Bool {
        (wildcard ? link.hasPrefix(name) : link == name) != inverted
    }
}
