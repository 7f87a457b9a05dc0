// The matches that look at one packet and remember nothing (net/netfilter/xt_*.c, named beside each).

import Routing
import Ruleset
import Wire

extension HookEngine {
    func evaluate(
        _ match: StatelessMatch, _ bytes: RawSpan, _ packet: Packet
    ) -> MatchResult {
        let view = packet.view
        switch match {
        case .iprange(let test): return MatchResult(test.holds(view))
        // The total length of the header, a super-frame's too (xt_length.c, skb_ip_totlen).
        case .length(let test):
            let length = UInt16(truncatingIfNeeded: view.totalLength)
            return MatchResult(test.value.contains(length) != test.inverted)
        case .ttl(let test): return MatchResult(test.holds(view.timeToLive))
        case .tos(let test):
            let matched = view.typeOfService & test.value.mask == test.value.value
            return MatchResult(matched != test.inverted)
        case .dscp(let test):
            return MatchResult((view.typeOfService >> 2 == test.value) != test.inverted)
        case .mac(let test): return MatchResult(evaluate(test, bytes, packet))
        case .owner(let test): return MatchResult(packet.isOwned(by: test))
        case .physdev(let test): return MatchResult(test.matchesRouted)
        case .pkttype(let test):
            let type = packet.frameType(bytes)
            return MatchResult((type == test.value) != test.inverted)
        case .rpfilter(let options): return MatchResult(evaluate(options, packet))
        case .sctp(let test): return test.evaluate(bytes, view)
        case .dccp(let test): return test.evaluate(bytes, view)
        case .esp(let test): return evaluateIndex(test, bytes, view, at: 0, header: 8)
        case .ah(let test): return evaluateIndex(test, bytes, view, at: 4, header: 12)
        }
    }

    /// xt_mac.c: only what came in over Ethernet has a sender's address; without one neither `!` matches.
    private func evaluate(
        _ test: Invertible<MACAddress>, _ bytes: RawSpan, _ packet: Packet
    ) -> Bool {
        guard packet.view.networkOffset >= 14,
            let interface = routes.interface(packet.inInterface), !interface.isLoopback
        else { return false }
        return (bytes.mac(packet.view.networkOffset &- 8) == test.value) != test.inverted
    }

    private func evaluate(_ options: ReversePathOptions, _ packet: Packet) -> Bool {
        let leadsBack = routes.leadsBack(
            query(packet), loose: options.contains(.loose),
            validMark: options.contains(.validMark), acceptLocal: options.contains(.acceptLocal))
        return leadsBack != options.contains(.inverted)
    }

    /// xt_esp.c and ipt_ah.c: a later fragment does not match, a header cut short drops the packet.
    private func evaluateIndex(
        _ test: Invertible<Interval<UInt32>>, _ bytes: RawSpan, _ view: PacketView, at offset: Int,
        header: Int
    ) -> MatchResult {
        guard view.fragmentOffset == 0 else { return .no }
        guard view.transportLength >= header else { return .hotDrop }
        let index = bytes.u32(view.transportOffset &+ offset)
        return MatchResult(test.value.contains(index) != test.inverted)
    }
}

extension IPRangeMatch {
    func holds(_ view: PacketView) -> Bool {
        if let source, source.value.contains(view.source) == source.inverted { return false }
        guard let destination else { return true }
        return destination.value.contains(view.destination) != destination.inverted
    }
}

extension TTLMatch {
    func holds(_ timeToLive: UInt8) -> Bool {
        switch comparison {
        case .equal: timeToLive == value
        case .notEqual: timeToLive != value
        case .less: timeToLive < value
        case .greater: timeToLive > value
        }
    }
}

extension Packet {
    /// xt_owner.c: a packet without an owner matches inverted tests only. Supplementary groups are no
    /// packet's here; asking for them still keeps every packet without a socket from matching.
    func isOwned(by test: OwnerMatch) -> Bool {
        if test.includesSupplementaryGroups && userID == nil && !isFromKernelSocket { return false }
        return Self.holds(test.users, userID) && Self.holds(test.groups, groupID)
    }

    private static func holds(_ test: Invertible<Interval<UInt32>>?, _ number: UInt32?) -> Bool {
        guard let test else { return true }
        guard let number else { return test.inverted }
        return test.value.contains(number) != test.inverted
    }

    /// An ICMP error of the node's goes through a socket of the kernel's own, which no file stands for; a
    /// TCP reset goes through none.
    private var isFromKernelSocket: Bool { answers != nil && view.transport == .icmp }

    /// `skb->pkt_type`. What the node made, and what came back over `lo`, is for the host (eth_type_trans
    /// finds the address of `lo` in the frame).
    func frameType(_ bytes: RawSpan) -> PacketType {
        guard view.networkOffset >= 14, inInterface != .none, !isLoopedBack else { return .unicast }
        let target = bytes.mac(view.networkOffset &- 14)
        guard target.isGroup else { return .unicast }
        return target == .broadcast ? .broadcast : .multicast
    }
}
