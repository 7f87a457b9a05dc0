// A packet of the node itself: OUTPUT, routed again where a rule changed what routing reads, then
// POSTROUTING; and, if it stays on the node, PREROUTING and INPUT of the loopback interface.

import Conntrack
import Routing
import Ruleset
import Wire

extension HookEngine {
    func send<O: WalkObserver>(
        _ bytes: inout MutableRawSpan, _ packet: inout Packet, _ observer: inout O
    ) -> Disposition {
        finish(output(&bytes, &packet, &observer), packet, &observer)
    }

    private func output<O: WalkObserver>(
        _ bytes: inout MutableRawSpan, _ packet: inout Packet, _ observer: inout O
    ) -> Disposition {
        var question = query(packet)
        if packet.takesSourceOfRoute { question.source = .any }
        var decision = routes.route(output: question)
        observer.note(packet, .routed(decision))
        guard decision.leadsSomewhere else { return .drop(.noRoute) }
        // Every OUTPUT chain sees the interface of this first decision, POSTROUTING the last one's.
        setEgress(decision, &packet)
        observer.note(packet, .hook(.output))
        let answered = packet.answers.flatMap { $0.connection == nil ? nil : $0 }
        if let answered { attach(answered, &packet, &observer) }
        if let end = filter(.raw, .output, &bytes, &packet, &observer) { return end }
        if answered == nil, let end = track(bytes.bytes, &packet, &observer) { return end }
        let before = RouteInputs(packet)
        if let end = filter(.mangle, .output, &bytes, &packet, &observer) { return end }
        if before != RouteInputs(packet) { decision = reroute(&packet, &observer) }
        if let end = nat(.output, .destination, &bytes, &packet, &observer) { return end }
        if isDestinationTranslated(packet) { decision = reroute(&packet, &observer) }
        guard decision.leadsSomewhere else { return .drop(.noRoute) }
        if let end = filter(.filter, .output, &bytes, &packet, &observer) { return end }
        setEgress(decision, &packet)
        if let end = postrouting(&bytes, &packet, &observer) { return end }
        guard decision.kind != .local else { return loopBack(&bytes, &packet, &observer) }
        return .forward(
            Egress(
                interface: decision.outInterface, nextHop: decision.nextHop, mtu: decision.mtu))
    }

    /// What mangle may change so that the packet is routed again (`ipt_mangle_out`).
    private struct RouteInputs: Equatable {
        var source, destination: IPv4Address
        var mark: UInt32
        var typeOfService: UInt8

        init(_ packet: Packet) {
            source = packet.view.source
            destination = packet.view.destination
            mark = packet.mark
            typeOfService = packet.view.typeOfService
        }
    }

    /// Whether the packet's connection has another destination in this direction than the one it was sent to
    /// (`nf_nat_ipv4_local_fn`). The packet itself may have had the right one all along: an error about a
    /// connection with a translated source goes to the sender that it quotes.
    private func isDestinationTranslated(_ packet: Packet) -> Bool {
        guard hasNAT, let id = packet.tracked.connection else { return false }
        let direction = packet.tracked.direction
        return connections.tuple(id, direction)?.destination
            != connections.tuple(id, direction.opposite)?.source
    }

    private func reroute<O: WalkObserver>(
        _ packet: inout Packet, _ observer: inout O
    ) -> RouteDecision {
        let decision = routes.route(output: query(packet))
        packet.routeMTU = decision.mtu
        observer.note(packet, .routed(decision))
        return decision
    }

    /// An answer to a packet is related to that packet's connection, seen from its other side, from
    /// its making on (`nf_conntrack_attach`). A reset closes it (`nf_ct_set_closing`).
    private func attach<O: WalkObserver>(
        _ answered: Tracked, _ packet: inout Packet, _ observer: inout O
    ) {
        if packet.view.protocol == .tcp, let id = answered.connection {
            connections.close(id, now: now)
        }
        packet.tracked = Tracked(
            state: .related, connection: answered.connection,
            direction: answered.direction.opposite)
        observer.note(packet, .tracked(packet.tracked))
    }

    /// The packet comes back on the loopback interface with the tracking it already has: conntrack
    /// looks at it once (`nf_conntrack_in`, "previously seen").
    private func loopBack<O: WalkObserver>(
        _ bytes: inout MutableRawSpan, _ packet: inout Packet, _ observer: inout O
    ) -> Disposition {
        packet.inInterface = packet.outInterface
        packet.inName = packet.outName
        packet.outInterface = .none
        packet.outName = InterfaceName()
        packet.isLoopedBack = true
        return arrive(&bytes, &packet, &observer)
    }
}

extension RouteDecision {
    var leadsSomewhere: Bool {
        switch kind {
        case .unicast, .local, .broadcast, .multicast: true
        case .blackhole, .unreachable, .prohibit, .noRoute, .invalid: false
        }
    }
}
