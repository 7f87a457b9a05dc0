// A rule's matches taken apart into what is tried one after the other. The compiler and the trace both
// go by this list, so that "the third predicate failed" means the same to both.

import Wire

/// One thing that a rule's matches ask of a packet.
public enum Predicate: Hashable, Sendable {
    /// `judgesHeader`: a header cut short drops the packet (xt_tcpudp.c). iptables hands only a match
    /// without ports and flags, or with a TCP option, to xt_tcpudp; the others become loads of nf_tables,
    /// which find nothing where the bytes are missing.
    case ports(
        TransportKind, source: Invertible<PortRange>, destination: Invertible<PortRange>,
        judgesHeader: Bool)
    case tcpFlags(Invertible<TCPFlagsTest>)
    case tcpOption(Invertible<UInt8>)
    case icmp(ICMPMatch)
    case multiport(MultiportMatch)
    case state(Invertible<ConnectionStates>)
    case conntrack(ConntrackMatch)
    case statistic(StatisticMatch)
    case mark(Invertible<MarkTest>)
    case addrtype(AddrtypeMatch)
    case stateless(StatelessMatch)
    case limit(LimitMatch)
    case connmark(Invertible<MarkTest>)
    case connlimit(ConnlimitMatch)
    case recent(RecentMatch)
    case hashlimit(HashlimitMatch)
}

extension Rule {
    /// In the order in which they are tried. A comment asks nothing.
    public var predicates: [Predicate] { matches.flatMap(\.predicates) }
}

extension Match {
    var predicates: [Predicate] {
        switch self {
        case .tcp(let tcp):
            let ports = Self.ports(
                .tcp, tcp.sourcePorts, tcp.destinationPorts,
                hasFlags: tcp.flags != nil, hasOption: tcp.option != nil)
            return [ports] + (tcp.flags.map { [.tcpFlags($0)] } ?? [])
                + (tcp.option.map { [.tcpOption($0)] } ?? [])
        case .udp(let udp): return [Self.ports(.udp, udp.sourcePorts, udp.destinationPorts)]
        case .icmp(let icmp): return [.icmp(icmp)]
        case .multiport(let multiport): return [.multiport(multiport)]
        case .comment: return []
        case .conntrack(let conntrack): return [.conntrack(conntrack)]
        case .state(let states): return [.state(states)]
        case .statistic(let statistic): return [.statistic(statistic)]
        case .mark(let mark): return [.mark(mark)]
        case .addrtype(let types): return [.addrtype(types)]
        case .stateless(let match): return [.stateless(match)]
        case .limit(let limit): return [.limit(limit)]
        case .connmark(let mark): return [.connmark(mark)]
        case .connlimit(let limit): return [.connlimit(limit)]
        case .recent(let recent): return [.recent(recent)]
        case .hashlimit(let limit): return [.hashlimit(limit)]
        }
    }

    private static func ports(
        _ kind: TransportKind, _ source: Invertible<PortRange>?,
        _ destination: Invertible<PortRange>?, hasFlags: Bool = false, hasOption: Bool = false
    ) -> Predicate {
        let source = source ?? Invertible(.all)
        let destination = destination ?? Invertible(.all)
        let asksNothing = source.value == .all && destination.value == .all && !hasFlags
        return .ports(
            kind, source: source, destination: destination, judgesHeader: asksNothing || hasOption)
    }
}
