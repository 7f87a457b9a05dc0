// Conntrack and NAT as the hooks use them: who is tracked when, which packets walk a nat chain, and what
// a NAT target makes of its options (net/netfilter/nf_nat_core.c, nf_nat_inet_fn).

import Conntrack
import Routing
import Ruleset
import Wire

extension HookEngine {
    /// Tracks the packet if some rule needs tracking; a packet that went around the loopback keeps
    /// the tracking it has.
    func track<O: WalkObserver>(
        _ bytes: RawSpan, _ packet: inout Packet, _ observer: inout O
    ) -> Disposition? {
        guard needsTracking else {
            packet.tracked = .untracked
            return nil
        }
        // Once is enough, but what was INVALID on its way out is looked at again on its way in.
        guard packet.tracked.connection == nil, packet.tracked.state != .untracked else {
            return nil
        }
        if let foreseen = packet.foreseen {
            packet.foreseen = nil
            packet.tracked = foreseen
            observer.note(packet, .tracked(foreseen))
            return nil
        }
        let template = trackingTemplate(packet)
        packet.template = nil
        // The node's own packets are not verified (nf_checksum at LOCAL_OUT).
        let verify = packet.inInterface != .none
        packet.tracked =
            counting
            ? connections.track(
                bytes, packet.view, offload: packet.offload, verifyChecksum: verify,
                template: template, now: now)
            : connections.rehearse(
                bytes, packet.view, offload: packet.offload, verifyChecksum: verify,
                template: template, now: now)
        // What opens a connection passes the nat table, and others do not.
        if packet.tracked.created { packet.keepsPath = false }
        observer.note(packet, .tracked(packet.tracked))
        return packet.tracked.drop.map { .drop($0) }
    }

    func confirm<O: WalkObserver>(
        _ packet: inout Packet, _ observer: inout O
    ) -> Disposition? {
        guard let id = packet.tracked.connection else { return nil }
        let created = packet.tracked.created
        if counting, let reason = connections.confirm(&packet.tracked, now: now) {
            return .drop(reason)
        }
        if created { observer.note(packet, .confirmed(id)) }
        return nil
    }

    /// One NAT hook: binds this end of a new connection by the chain or by a null binding, then
    /// applies the connection's translation to the packet.
    func nat<O: WalkObserver>(
        _ hook: BuiltinChain, _ end: PacketEnd, _ bytes: inout MutableRawSpan,
        _ packet: inout Packet, _ observer: inout O
    ) -> Disposition? {
        guard hasNAT, let id = packet.tracked.connection else { return nil }
        let isRelated = packet.tracked.state == .related
        // Errors about a connection are translated, whatever binds or does not, and wherever they go out.
        if isRelated, packet.view.protocol == .icmp {
            return translate(end, &bytes, &packet, &observer)
        }
        if end == .destination, hasServices, let drop = dropLost(id, packet) { return drop }
        if isRelated || packet.tracked.state == .new, connections.needsBinding(id, end) {
            if let drop = bind(id, hook, end, &bytes, &packet, &observer) { return drop }
        } else if hook == .postrouting, packet.tracked.direction == .original,
            egressChanged(id, packet)
        {
            if counting { connections.delete(id, now: now) }
            return .drop(.egressChanged)
        }
        return translate(end, &bytes, &packet, &observer)
    }

    private func bind<O: WalkObserver>(
        _ id: ConnectionID, _ hook: BuiltinChain, _ end: PacketEnd, _ bytes: inout MutableRawSpan,
        _ packet: inout Packet, _ observer: inout O
    ) -> Disposition? {
        if let drop = filter(.nat, hook, &bytes, &packet, &observer) { return drop }
        guard connections.needsBinding(id, end) else { return nil }
        if end == .destination, hasServices {
            switch direct(id, packet, &observer) {
            case .noService: break
            case .bound: return nil
            case .refused(let end): return end
            }
        }
        if let reason = connections.bind(id, end, range: nil, now: now) { return .drop(reason) }
        observer.note(packet, .bound(id, end, byRule: false))
        return nil
    }

    private func translate<O: WalkObserver>(
        _ end: PacketEnd, _ bytes: inout MutableRawSpan, _ packet: inout Packet,
        _ observer: inout O
    ) -> Disposition? {
        let before = packet.view
        switch connections.translate(
            &bytes, &packet.view, packet.tracked, end: end, offload: packet.offload)
        {
        case .unchanged: return nil
        case .rewritten:
            observer.note(packet, .rewritten(end, before: before))
            return nil
        case .refused: return .drop(.untranslatable)
        }
    }

    /// A masqueraded connection whose egress is no longer the one it was masqueraded for
    /// (`nf_nat_oif_changed`).
    private func egressChanged(_ id: ConnectionID, _ packet: Packet) -> Bool {
        let interface = connections.masqueradeInterface(id)
        return interface != .none && interface != packet.outInterface
    }
}

extension HookEngine {
    /// Applies a NAT target: binds the connection; `nil` never, since a NAT target ends the chain.
    func applyNAT<O: WalkObserver>(
        _ target: CompiledTarget, _ hook: BuiltinChain, _ packet: Packet, _ observer: inout O
    ) -> Verdict? {
        guard let id = packet.tracked.connection else { return .accept }
        switch target {
        case .translate(let end, let index):
            return bind(id, end, NATRange(rules.translations[Int(index)]), packet, &observer)
        case .masquerade(let index):
            return masquerade(id, rules.translations[Int(index)], packet, &observer)
        case .redirect(let index):
            return redirect(id, hook, rules.translations[Int(index)], packet, &observer)
        case .netmap(let network): return map(id, hook, network, packet, &observer)
        default: return nil
        }
    }

    private func bind<O: WalkObserver>(
        _ id: ConnectionID, _ end: PacketEnd, _ range: NATRange,
        _ packet: Packet, _ observer: inout O
    ) -> Verdict {
        if let reason = connections.bind(id, end, range: range, now: now) {
            return .drop(reason)
        }
        observer.note(packet, .bound(id, end, byRule: true))
        return .accept
    }

    /// xt_NETMAP.c: the network's bits from the rule, the host's from the packet.
    private func map<O: WalkObserver>(
        _ id: ConnectionID, _ hook: BuiltinChain, _ network: IPv4Network, _ packet: Packet,
        _ observer: inout O
    ) -> Verdict {
        let end: PacketEnd = hook == .prerouting || hook == .output ? .destination : .source
        let old = end == .destination ? packet.view.destination : packet.view.source
        let new = IPv4Address(
            rawValue: (old.rawValue & ~network.mask) | network.address.rawValue)
        return bind(id, end, NATRange(new), packet, &observer)
    }

    /// nf_nat_masquerade.c: the outgoing interface's address towards the next hop.
    private func masquerade<O: WalkObserver>(
        _ id: ConnectionID, _ translation: NATTarget, _ packet: Packet,
        _ observer: inout O
    ) -> Verdict {
        // A source of 0.0.0.0 (a DHCP client) is left alone.
        if packet.view.source == .any { return .accept }
        guard
            let address = routes.selectAddress(
                interface: packet.outInterface, nextHop: packet.nextHop, scope: .universe)
        else { return .drop(.noMasqueradeAddress) }
        connections.setMasqueradeInterface(id, packet.outInterface)
        return bind(
            id, .source, NATRange(translation, addresses: address...address), packet, &observer)
    }

    /// nf_nat_redirect.c: to the incoming interface's first address; the node's own packets to
    /// 127.0.0.1.
    private func redirect<O: WalkObserver>(
        _ id: ConnectionID, _ hook: BuiltinChain, _ translation: NATTarget, _ packet: Packet,
        _ observer: inout O
    ) -> Verdict {
        let address =
            hook == .output
            ? IPv4Address.loopback : routes.addresses(of: packet.inInterface).first?.local
        guard let address else { return .drop(.noMasqueradeAddress) }
        return bind(
            id, .destination, NATRange(translation, addresses: address...address), packet, &observer
        )
    }
}

extension NATRange {
    /// What the target's options say; `addresses` where the target itself names none.
    init(_ target: NATTarget, addresses: ClosedRange<IPv4Address>? = nil) {
        var flags: Flags = []
        if target.random { flags.insert(.random) }
        if target.randomFully { flags.insert(.randomFully) }
        if target.persistent { flags.insert(.persistent) }
        self.init(
            addresses: addresses ?? target.addresses.map { $0.first...$0.last },
            ports: target.ports.map { $0.first...$0.last }, basePort: target.basePort, flags: flags)
    }
}
