// A trace as an indented text: hook by hook, table by table, each rule looked at with hit or miss and why.

import Conntrack
import Hooks
import Routing
import Ruleset
import VirtualServer
import Wire

/// Puts a trace into words. The rules are those that the packet walked.
public struct TraceText {
    private let rules: [RuleID: Rule]
    private let text: (Rule, String) -> String
    private let interfaceName: (InterfaceIndex) -> String

    /// - Parameters:
    ///   - ruleText: a rule of a chain as `iptables -S` prints it.
    ///   - interfaceName: an interface's name, for the routing decision.
    public init(
        ruleset: Ruleset, ruleText: @escaping (Rule, String) -> String,
        interfaceName: @escaping (InterfaceIndex) -> String
    ) {
        var byID: [RuleID: Rule] = [:]
        for table in ruleset.tables {
            for chain in table.chains {
                for rule in chain.rules { byID[rule.id] = rule }
            }
        }
        rules = byID
        text = ruleText
        self.interfaceName = interfaceName
    }

    /// The lines of one packet's trace, the first of which says what packet it is.
    public func lines(_ trace: Trace) -> [String] {
        guard let first = trace.events.first else { return [] }
        let origin = first.inName.description
        let from = origin.isEmpty ? "from the node" : "in \(origin)"
        return ["\(first.view.summary), \(first.view.totalLength) bytes, \(from)"]
            + trace.events.flatMap(lines)
    }

    private func lines(_ event: TraceEvent) -> [String] {
        switch event.kind {
        case .hook(let hook): return [hook.rawValue]
        case .table(let table, let chain): return ["  \(table.rawValue) \(chain)"]
        case .rule(let reference, let outcome, let draw):
            return lines(event, reference, outcome, draw)
        case .returned(let chain): return ["    back in \(chain)"]
        case .policy(_, let chain, let policy):
            return ["    policy of \(chain): \(policy.rawValue)"]
        default: return ["  \(step(event))"]
        }
    }

    private func lines(
        _ event: TraceEvent, _ reference: RuleReference, _ outcome: RuleOutcome, _ draw: UInt32?
    ) -> [String] {
        guard let rule = rules[reference.id] else {
            return ["    \(reference.chain) \(reference.number): (since deleted)"]
        }
        let line = "    \(reference.number) \(text(rule, reference.chain))"
        switch outcome {
        case .hit: return [line, "        hit"]
        case .hotDrop: return [line, "        dropped: the transport header is malformed"]
        case .miss(let miss):
            let reason = MissText(rule: rule, event: event, draw: draw).reason(miss)
            return [line, "        miss: \(reason)"]
        }
    }

    /// Why a rule missed, or `nil` where the rule is no longer there.
    func reason(
        of miss: Miss, _ reference: RuleReference, _ event: TraceEvent, _ draw: UInt32?
    ) -> String? {
        rules[reference.id].map { MissText(rule: $0, event: event, draw: draw).reason(miss) }
    }

    /// A step that is one line, without its indentation.
    func step(_ event: TraceEvent) -> String {
        switch event.kind {
        case .tracked(let tracked): "conntrack  \(summary(tracked))"
        case .confirmed: "conntrack  entry confirmed"
        case .bound(_, let end, let byRule):
            "nat        \(end) bound \(byRule ? "by the rule" : "as it is (null binding)")"
        case .scheduled(let scheduling): "ipvs       \(summary(scheduling))"
        case .rewritten(let end, let before):
            "rewrite    \(end) \(before.end(end)) ⇒ \(event.view.end(end))"
        case .markChanged(let old):
            "mark       0x\(String(old, radix: 16)) ⇒ 0x\(String(event.mark, radix: 16))"
        case .connectionMarkChanged(let old, let new):
            "connmark   0x\(String(old, radix: 16)) ⇒ 0x\(String(new, radix: 16))"
        case .template(let target): "tracking   \(summary(target))"
        case .routed(let decision): "routing    \(summary(decision))"
        case .timeToLive(let old): "ttl        \(old) ⇒ \(event.view.timeToLive)"
        case .logged: "logged"
        case .mangled(let change): text(of: change, event)
        case .neighbour(let address, let mac?): "neighbour  \(address) is at \(mac)"
        case .neighbour(let address, nil):
            "neighbour  \(address) is being asked for; the packet waits"
        case .sent(let name): "sent       on \(name)"
        case .fragmented(let count): "fragmented into \(count)"
        case .reassembled: "reassembled"
        case .end(let disposition): summary(disposition)
        case .hook, .table, .rule, .returned, .policy: ""
        }
    }

    private func summary(_ tracked: Tracked) -> String {
        if let drop = tracked.drop { return "drops it: \(drop)" }
        if let reason = tracked.invalidReason { return "INVALID: \(reason)" }
        guard tracked.connection != nil else { return "\(tracked.state)" }
        let entry = tracked.created ? "entry created" : "entry found"
        return "\(tracked.state), \(entry), \(tracked.direction) direction"
    }

    private func summary(_ target: CTTarget) -> String {
        if target.notrack { return "not to be tracked" }
        let directions =
            target.directions == .both
            ? "" : target.directions == .original ? ", original direction" : ", reply direction"
        let events = target.events.isEmpty ? "" : "; reports certain events only"
        switch target.zone {
        case .number(let number): return "in zone \(number)\(directions)\(events)"
        case .mark: return "in the zone of the packet's mark\(directions)\(events)"
        }
    }

    private func summary(_ scheduling: Scheduling) -> String {
        let service = "\(scheduling.service) \(scheduling.scheduler)"
        return switch scheduling.outcome {
        case .server(let address, let port, let keeps):
            "\(service) ⇒ \(address):\(port)" + (keeps ? ", which the client keeps" : "")
        case .nobody: "\(service): no server takes connections"
        case .noRoom: "\(service): no room to remember another client"
        }
    }

    private func summary(_ decision: RouteDecision) -> String {
        switch decision.kind {
        case .local: "to the node itself"
        case .unicast:
            "out \(interfaceName(decision.outInterface)), "
                + (decision.gateway.map { "via \($0)" } ?? "on link") + ", MTU \(decision.mtu)"
        case .broadcast: "broadcast on \(interfaceName(decision.outInterface))"
        case .multicast: "multicast on \(interfaceName(decision.outInterface))"
        case .blackhole: "blackhole"
        case .unreachable: "unreachable"
        case .prohibit: "prohibited"
        case .noRoute: "no route"
        case .invalid: "impossible addresses"
        }
    }

    private func summary(_ disposition: Disposition) -> String {
        switch disposition {
        case .forward(let egress):
            "forwarded  out \(interfaceName(egress.interface)), next hop \(egress.nextHop)"
        case .deliver: "delivered  to the node"
        case .gather: "a fragment  for the node: INPUT waits for the whole datagram"
        case .drop(let reason): "dropped    \(reason)"
        case .answer(let answer, let reason):
            "dropped    \(reason); answered with \(answer.summary)"
        }
    }
}
