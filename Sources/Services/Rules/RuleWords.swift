// Short ways to say the rules that kube-proxy writes.

import Ruleset
import Wire

extension Rule {
    /// A rule without an identity, which it is given where it is installed.
    static func kube(
        _ comment: String?, _ matches: [Match] = [], from source: AddressMatch = .any,
        to destination: AddressMatch = .any, over transport: Transport? = nil, then target: Target
    ) -> Rule {
        Rule(
            id: RuleID(rawValue: 0), source: source, destination: destination,
            protocol: transport.map { Invertible($0.number) },
            matches: (comment.map { [.comment($0)] } ?? []) + matches, target: target)
    }
}

extension Rule {
    /// A rule about every packet.
    static func kube(_ target: Target) -> Rule { .kube(nil, then: target) }
}

extension Transport {
    /// `-m tcp`, with `--dport` where a port is said.
    func match(_ port: Port? = nil) -> Match {
        let ports = port.map { Invertible(PortRange($0)) }
        switch self {
        case .tcp: return .tcp(TCPMatch(destinationPorts: ports))
        case .udp: return .udp(UDPMatch(destinationPorts: ports))
        }
    }
}

extension AddressMatch {
    /// One address.
    static func host(_ address: IPv4Address) -> AddressMatch {
        AddressMatch(IPv4Network(address, prefixLength: 32))
    }
}

extension Match {
    static func states(_ states: ConnectionStates, inverted: Bool = false) -> Match {
        var match = ConntrackMatch()
        match.states = Invertible(states, inverted: inverted)
        return .conntrack(match)
    }

    static let toLocal = Match.addrtype(AddrtypeMatch(destination: Invertible(.local)))
    static let fromLocal = Match.addrtype(AddrtypeMatch(source: Invertible(.local)))
}
