// What the programs in the kernel carry, against a data plane that walks every packet.

import FrameFixture
import NamespaceFixture
import PacketIO
import Testing
import Wire

@testable import Conntrack
@testable import Offload

let rules = """
    *mangle
    :PREROUTING ACCEPT [0:0]
    -A PREROUTING -m conntrack --ctstate INVALID -j DROP
    COMMIT
    *nat
    :PREROUTING ACCEPT [0:0]
    :POSTROUTING ACCEPT [0:0]
    -A PREROUTING -d 192.0.2.1/32 -p tcp --dport 8080 -j DNAT --to-destination 10.0.0.1:80
    -A PREROUTING -d 192.0.2.1/32 -p udp --dport 8080 -j DNAT --to-destination 10.0.0.1:80
    -A PREROUTING -d 192.0.2.1/32 -p icmp -j DNAT --to-destination 10.0.0.1
    -A POSTROUTING -o inner -p udp -j MASQUERADE
    -A POSTROUTING -o inner -p icmp -j MASQUERADE
    COMMIT
    *filter
    :FORWARD ACCEPT [0:0]
    -A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT
    -A FORWARD -i outer -j ACCEPT
    COMMIT

    """

@Suite("Carried flows", .enabled(if: isRoot, needsRoot))
struct TwinTests {
    @Test(
        "leave, count and are remembered as if every packet had walked", arguments: Kind.allCases,
        [Road.Hook.tc, .xdp])
    func agreement(kind: Kind, hook: Road.Hook) throws {
        let seed = UInt64.random(in: 0 ... .max)
        print("seed of \(kind) at \(hook): \(seed)")
        var random = SeededRandom(seed: seed)
        let site = try Site()
        try site.namespace.inside {
            let walking = try Plane(site, rules: rules)
            walking.dataplane.engine.storesPaths = false
            let carrying = try CarryingPlane(site, rules: rules, at: hook)
            for _ in 0..<12 {
                var conversation = Conversation(kind, &random)
                let port = conversation.clientPort
                // The server's end of the translated connection, learnt from the first packet.
                var server: (address: IPv4Address, port: UInt16)?
                func exchange(_ direction: Int, _ draft: Draft) throws {
                    let (ends, ingress) = ends(port, direction, server, site)
                    let frame = draft.frame(ends, kind)
                    let expected = walking.handle(frame, on: ingress)
                    let found = try carrying.handle(frame, on: ingress)
                    try #require(found == expected, "seed \(seed), \(draft)")
                    if server == nil, let first = expected.first, direction == 0 {
                        let view = parsed(first.bytes)
                        server = (
                            view.source,
                            kind == .icmp ? view.icmpIdentifier : view.sourcePort.rawValue
                        )
                    }
                }
                if kind == .tcp {
                    try shakeHands(&conversation, exchange)
                } else {
                    // Without an answer its packets are NEW.
                    for _ in 0..<Int.random(in: 1...5, using: &random) {
                        try exchange(0, Draft())
                    }
                    try exchange(1, Draft())
                }
                for step in 0..<60 {
                    let direction = Int.random(in: 0...1, using: &random)
                    try exchange(direction, conversation.draw(direction, &random))
                    if step % 10 == 0 {
                        try #require(
                            carrying.plane.portrait() == walking.portrait(), "seed \(seed)")
                    }
                }
                let (counted, expected) = (carrying.plane.ruleCounters(), walking.ruleCounters())
                try #require(counted == expected, "seed \(seed)")
                try #require(windows(carrying.plane) == windows(walking), "seed \(seed)")
            }
            #expect(carrying.carried > 100, "carried \(carrying.carried)")
            #expect(carrying.handedBack > 1, "handed back \(carrying.handedBack)")
        }
    }

    @Test(
        "are the kernel's while the daemon's heart does not beat", arguments: [Road.Hook.tc, .xdp])
    func heartbeat(hook: Road.Hook) throws {
        let site = try Site()
        try site.namespace.inside {
            let carrying = try CarryingPlane(site, rules: rules, at: hook)
            let outward = ends(4000, 0, nil, site)
            let inward = ends(4000, 1, (Site.gateway, 4000), site)
            for _ in 0..<2 {
                for (ends, ingress) in [outward, inward] {
                    _ = try carrying.handle(Draft().frame(ends, .udp), on: ingress)
                }
            }
            #expect(carrying.carried > 0)
            let frame = Draft().frame(outward.0, .udp)
            #expect(try carrying.passesWithoutHeartbeat(frame, on: outward.1))
        }
    }

    @Test(
        "beyond the flows that there are, connections walk; an ended one makes room",
        arguments: [Road.Hook.tc, .xdp])
    func capacity(hook: Road.Hook) throws {
        let site = try Site()
        try site.namespace.inside {
            let carrying = try CarryingPlane(site, rules: rules, at: hook, capacity: 2)
            func talk(_ port: UInt16) throws {
                for _ in 0..<3 {
                    for (ends, ingress) in [
                        ends(port, 0, nil, site), ends(port, 1, (Site.gateway, port), site),
                    ] {
                        let sent = try carrying.handle(
                            Draft().frame(ends, .udp), on: ingress)
                        #expect(sent.count == 1)
                    }
                }
            }
            for port in [UInt16(4001), 4002, 4003] { try talk(port) }
            #expect(carrying.offload.summary.connections == 2)
            #expect(carrying.offload.summary.refused > 0)
            carrying.plane.connections.flush(now: MonotonicClock.now())
            #expect(carrying.offload.summary.connections == 0)
            let before = carrying.carried
            try talk(4003)
            #expect(carrying.offload.summary.connections == 1 && carrying.carried > before)
        }
    }

    @Test(
        "are carried without an answer, as NEW, and both ways once it has come",
        arguments: [Kind.udp, .icmp], [Road.Hook.tc, .xdp])
    func unanswered(kind: Kind, hook: Road.Hook) throws {
        let site = try Site()
        try site.namespace.inside {
            let carrying = try CarryingPlane(site, rules: rules, at: hook)
            func send(_ direction: Int, carried: Int) throws {
                let (ends, ingress) = ends(
                    4000, direction, direction == 0 ? nil : (Site.gateway, 4000), site)
                let before = carrying.carried
                let sent = try carrying.handle(Draft().frame(ends, kind), on: ingress)
                #expect(sent.count == 1)
                #expect(carrying.carried - before == carried, "\(direction)")
            }
            // One opens the connection, the next shows the way of those that follow.
            for carried in [0, 0, 1, 1] { try send(0, carried: carried) }
            try send(1, carried: 0)
            // They are ESTABLISHED from now on.
            for carried in [0, 1] { try send(0, carried: carried) }
            try send(1, carried: 1)
        }
    }

    private func windows(_ plane: Plane) -> [String] {
        (0..<plane.connections.slotsTouched).map { index in
            plane.connections.catchUp(index)
            return "\(plane.connections.storage[index].tcp)"
        }
    }

    private func shakeHands(
        _ conversation: inout Conversation, _ exchange: (Int, Draft) throws -> Void
    ) throws {
        var options: [UInt8] = [3, 3, 4, 1]
        if conversation.offersSACK { options += [4, 2, 1, 1] }
        for (direction, flags) in [(0, TCPFlags.syn), (1, [.syn, .ack])] {
            var draft = Draft()
            draft.flags = flags
            draft.options = options
            draft.sequence = conversation.next[direction]
            draft.acknowledgement = direction == 0 ? 0 : conversation.next[0]
            conversation.next[direction] &+= 1
            try exchange(direction, draft)
        }
        for direction in [0, 1, 0] {
            var draft = Draft()
            draft.sequence = conversation.next[direction]
            draft.acknowledgement = conversation.next[1 - direction]
            try exchange(direction, draft)
        }
    }

    private func ends(
        _ port: UInt16, _ direction: Int,
        _ server: (address: IPv4Address, port: UInt16)?, _ site: Site
    ) -> (Ends, InterfaceIndex) {
        if direction == 0 {
            return (
                Ends(
                    source: Site.client, destination: Site.node,
                    sourcePort: port, destinationPort: 8080,
                    target: site.macs[site.outer]!, isReply: false), site.outer
            )
        }
        return (
            Ends(
                source: Site.server, destination: server?.address ?? Site.client, sourcePort: 80,
                destinationPort: server?.port ?? port,
                target: site.macs[site.inner]!, isReply: true), site.inner
        )
    }
}
