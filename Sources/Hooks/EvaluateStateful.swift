// The matches whose outcome depends on the packets before.

import Conntrack
import Ruleset
import Wire

extension HookEngine {
    func evaluate(_ test: StatefulTest, _ bytes: RawSpan, _ packet: Packet) -> MatchResult {
        switch test {
        case .limit(let index):
            return MatchResult(state.limit(Int(index), now: now, counting: counting))
        case .recent(let index): return evaluate(recent: Int(index), packet)
        case .hashlimit(let index):
            guard let key = state.flows.key(Int(index), packet.view, bytes),
                let matched = state.flows.evaluate(
                    Int(index), key, length: packet.view.totalLength, now: Ticks(now),
                    counting: counting)
            else { return .hotDrop }
            return MatchResult(matched)
        case .connlimit(let index):
            guard let counted = counted(packet, bytes),
                let matched = state.counts.evaluate(
                    Int(index), packet.view, counted, now: now, counting: counting)
            else { return .hotDrop }
            return MatchResult(matched)
        }
    }

    private func evaluate(recent index: Int, _ packet: Packet) -> MatchResult {
        // As it was before forwarding took one off: so the kernel believes of everything that goes out
        // and belongs to no socket, a REJECT rule's reset included.
        let hasSocket =
            packet.inInterface == .none
            && !(packet.answers != nil && packet.view.protocol == .tcp)
        let isForwarded = packet.outInterface != .none && !hasSocket
        return MatchResult(
            state.recent.evaluate(
                index, source: packet.view.source, destination: packet.view.destination,
                ttl: packet.view.timeToLive &+ (isForwarded ? 1 : 0), now: Ticks(now),
                counting: counting))
    }

    /// The connection that a packet counts as: its own, or for an untracked one what is known of its
    /// tuple. The tuple stays the packet's even where it answers, and the zone is that of a CT rule or 0
    /// (`get_ct_or_tuple_from_skb`).
    private func counted(_ packet: Packet, _ bytes: RawSpan) -> CountedPacket? {
        let own = packet.tracked.connection
        guard
            let tuple = own.flatMap({ connections.tuple($0, .original) })
                ?? Tuple(packet.view.withPorts(bytes))
        else { return nil }
        let zone = own.map { connections.zone($0) } ?? trackingTemplate(packet).zone
        guard let id = own ?? connections.find(tuple, zone: zone, now: now)?.0 else {
            return CountedPacket(tuple: tuple, zone: zone, isConfirmed: false, isAssured: false)
        }
        let status = connections.status(id)
        return CountedPacket(
            tuple: tuple, zone: zone, isConfirmed: status.contains(.confirmed),
            isAssured: status.contains(.assured))
    }

    // MARK: Reading lists

    /// The names of the lists of `-m recent`.
    public var recentLists: [String] { state.recent.names }

    /// A list of `-m recent` as /proc/net/xt_recent shows it; `nil` where no rule names it.
    public func recentList(_ name: String) -> String? { state.recent.text(name) }
}

extension PacketView {
    /// Four bytes of a transport header are enough for its ports (`nf_ct_get_tuple`).
    fileprivate func withPorts(_ bytes: RawSpan) -> PacketView {
        guard transport == .truncated, `protocol` != .icmp, transportLength >= 4 else {
            return self
        }
        var view = self
        view.transport = `protocol` == .tcp ? .tcp : .udp
        view.sourcePort = Port(bytes.u16(transportOffset))
        view.destinationPort = Port(bytes.u16(transportOffset &+ 2))
        return view
    }
}
