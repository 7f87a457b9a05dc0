// Why a rule did not match, in the words of the comparison that failed: `dport 8080 ≠ 443`.

import Conntrack
import Hooks
import Ruleset
import Wire

/// The reason of a miss, from the rule, the packet as it was then, and what `statistic` drew.
struct MissText {
    let rule: Rule
    let event: TraceEvent
    let draw: UInt32?

    func reason(_ miss: Miss) -> String {
        let view = event.view
        switch miss {
        case .source: return compare("source", view.source, address: rule.source)
        case .destination:
            return compare("destination", view.destination, address: rule.destination)
        case .inInterface: return compare("in", event.inName, interface: rule.inInterface)
        case .outInterface: return compare("out", event.outName, interface: rule.outInterface)
        case .protocol:
            let inverted = rule.protocol?.inverted ?? false
            let wanted = (rule.protocol?.value.rawValue).map { "\($0)" } ?? "any"
            return "protocol \(view.protocol.rawValue) \(sign(inverted)) \(wanted)"
        case .fragment:
            return rule.fragment?.inverted == true
                ? "it is a later fragment" : "it is not a later fragment"
        case .match(let position):
            let predicates = rule.predicates
            guard predicates.indices.contains(position) else { return "a match failed" }
            return reason(predicates[position])
        }
    }

    func sign(_ inverted: Bool) -> String { inverted ? "=" : "≠" }

    private func compare(
        _ name: String, _ actual: IPv4Address, address test: AddressMatch
    ) -> String {
        let network = test.network
        let wanted =
            network.prefixLength.map {
                $0 == 32 ? "\(network.address)" : "\(network.address)/\($0)"
            }
            ?? "\(network.address)/\(IPv4Address(rawValue: network.mask))"
        return "\(name) \(actual) \(test.inverted ? "∈" : "∉") \(wanted)"
    }

    private func compare(
        _ name: String, _ actual: InterfaceName, interface test: InterfaceMatch?
    ) -> String {
        let text = actual.description
        let inverted = test?.inverted ?? false
        return "\(name) \(text.isEmpty ? "(none)" : text) \(sign(inverted)) \(test?.text ?? "any")"
    }

    private func reason(_ predicate: Predicate) -> String {
        let view = event.view
        switch predicate {
        case .ports(let kind, let source, let destination, _):
            guard view.transport == kind else { return "it has no \(kind) header" }
            if source.value.contains(view.sourcePort) == source.inverted {
                return compare("sport", view.sourcePort, source)
            }
            return compare("dport", view.destinationPort, destination)
        case .tcpFlags(let test):
            let seen = view.tcpFlags.intersection(test.value.mask).letters
            return "flags \(seen) \(sign(test.inverted)) \(test.value.compare.letters)"
        case .tcpOption(let option):
            return "TCP option \(option.value) is \(option.inverted ? "there" : "not there")"
        case .icmp(let icmp):
            let wanted =
                icmp.codes.count == 1 ? "\(icmp.type)/\(icmp.codes.lowerBound)" : "\(icmp.type)"
            return "icmp type \(view.icmpType)/\(view.icmpCode) \(sign(icmp.inverted)) \(wanted)"
        case .multiport(let multiport): return reason(multiport)
        case .state(let states):
            return
                "state \(event.tracked.state) \(states.inverted ? "∈" : "∉") \(names(states.value))"
        case .conntrack(let match): return reason(match)
        case .statistic(let statistic): return reason(statistic)
        case .mark(let test):
            let seen = String(event.mark & test.value.mask, radix: 16)
            return
                "mark 0x\(seen) \(sign(test.inverted)) 0x\(String(test.value.value, radix: 16))"
        case .addrtype: return "the address is not of that type"
        case .stateless(let match): return reason(match)
        case .connmark(let test):
            let wanted = String(test.value.value, radix: 16)
            return "the connection's mark \(sign(test.inverted)) 0x\(wanted)"
        case .limit: return "the rate is used up"
        case .hashlimit(let limit):
            return limit.above ? "the flow's rate is not used up" : "the flow's rate is used up"
        case .connlimit(let limit):
            return "there are \(limit.upTo ? "more" : "no more") than \(limit.limit) connections"
        case .recent(let recent): return "the list \(recent.name) does not say so"
        }
    }

    func compare(_ name: String, _ actual: Port, _ test: Invertible<PortRange>) -> String {
        let range = test.value
        if range.first == range.last {
            return "\(name) \(actual) \(sign(test.inverted)) \(range.first)"
        }
        return "\(name) \(actual) \(test.inverted ? "∈" : "∉") \(range.first):\(range.last)"
    }

    private func reason(_ multiport: MultiportMatch) -> String {
        let view = event.view
        let ports = multiport.ports.map {
            $0.first == $0.last ? "\($0.first)" : "\($0.first):\($0.last)"
        }
        .joined(separator: ",")
        let relation = multiport.inverted ? "∈" : "∉"
        return switch multiport.side {
        case .source: "sport \(view.sourcePort) \(relation) \(ports)"
        case .destination: "dport \(view.destinationPort) \(relation) \(ports)"
        case .either: "ports \(view.sourcePort), \(view.destinationPort) \(relation) \(ports)"
        }
    }

    private func reason(_ match: ConntrackMatch) -> String {
        guard let states = match.states else { return "the connection is not as asked" }
        return
            "ctstate \(event.tracked.state) against \(states.inverted ? "! " : "")\(names(states.value))"
    }

    private func reason(_ statistic: StatisticMatch) -> String {
        guard let draw else { return "statistic" }
        switch statistic.mode {
        case .random(let probability):
            let scale = Double(UInt32(1) << 31)
            let relation = statistic.inverted ? "<" : "≥"
            return
                "\(decimals(Double(draw) / scale)) \(relation) \(decimals(Double(probability) / scale))"
        case .nth(let every, let packet):
            // The counter wraps to 0 on a match and starts at every - 1 - packet.
            return "counter \(draw) of \(every), packet \(packet)"
        }
    }

    /// Four decimals, without Foundation.
    private func decimals(_ value: Double) -> String {
        let scaled = Int((value * 10_000).rounded())
        let fraction = String(scaled % 10_000)
        return "\(scaled / 10_000)." + String(repeating: "0", count: 4 - fraction.count) + fraction
    }

    private func names(_ states: ConnectionStates) -> String {
        let all: [(ConnectionStates, String)] = [
            (.invalid, "INVALID"), (.new, "NEW"), (.related, "RELATED"),
            (.established, "ESTABLISHED"), (.untracked, "UNTRACKED"), (.snat, "SNAT"),
            (.dnat, "DNAT"),
        ]
        return all.filter { states.contains($0.0) }.map(\.1).joined(separator: ",")
    }
}
