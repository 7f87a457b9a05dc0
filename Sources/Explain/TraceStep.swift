// A trace as records for programs: one object a step, with stable names.

import Conntrack
import Hooks
import Ruleset
import Wire

/// One step of a packet as `sluice trace --json` prints it. Fields that a step has nothing to say in
/// are absent.
public struct TraceStep: Encodable, Hashable, Sendable {
    /// What kind of step it is: `hook`, `rule`, `policy`, `conntrack`, `rewrite`, …
    public var step: String
    public var packet: String
    public var `in`: String?
    public var out: String?
    public var mark: UInt32
    public var state: String
    public var hook: String?
    public var table: String?
    public var chain: String?
    /// The rule's number in its chain, from 1.
    public var rule: Int?
    /// `hit` or `miss`.
    public var outcome: String?
    /// Why a rule missed.
    public var reason: String?
    public var before: String?
    public var after: String?
    /// The step in words, as the text prints it.
    public var text: String?
}

extension TraceText {
    /// The steps of one packet's trace.
    public func steps(_ trace: Trace) -> [TraceStep] { trace.events.map(step(of:)) }

    private func step(of event: TraceEvent) -> TraceStep {
        var step = TraceStep(
            step: event.kind.name, packet: event.view.summary, mark: event.mark,
            state: "\(event.tracked.state)")
        step.in = name(event.inName)
        step.out = name(event.outName)
        switch event.kind {
        case .hook(let hook): step.hook = hook.rawValue
        case .table(let table, let chain):
            step.table = table.rawValue
            step.chain = chain
        case .rule(let reference, let outcome, let draw):
            describe(event, reference, outcome, draw, in: &step)
        case .returned(let chain): step.chain = chain
        case .policy(let table, let chain, let policy):
            step.table = table.rawValue
            step.chain = chain
            step.outcome = policy.rawValue
        case .rewritten(let end, let before):
            step.before = before.end(end)
            step.after = event.view.end(end)
        default: step.text = self.step(event)
        }
        return step
    }

    private func describe(
        _ event: TraceEvent, _ reference: RuleReference, _ outcome: RuleOutcome, _ draw: UInt32?,
        in step: inout TraceStep
    ) {
        step.table = reference.table.rawValue
        step.chain = reference.chain
        step.rule = reference.number
        switch outcome {
        case .hit: step.outcome = "hit"
        case .hotDrop: step.outcome = "malformed"
        case .miss(let miss):
            step.outcome = "miss"
            step.reason = reason(of: miss, reference, event, draw)
        }
    }

    private func name(_ interface: InterfaceName) -> String? {
        let text = interface.description
        return text.isEmpty ? nil : text
    }
}

extension TraceEvent.Kind {
    var name: String {
        switch self {
        case .hook: "hook"
        case .table: "table"
        case .rule: "rule"
        case .returned: "return"
        case .policy: "policy"
        case .tracked: "conntrack"
        case .confirmed: "confirm"
        case .bound: "bind"
        case .scheduled: "schedule"
        case .rewritten: "rewrite"
        case .markChanged: "mark"
        case .connectionMarkChanged: "connmark"
        case .template: "template"
        case .routed: "route"
        case .timeToLive: "ttl"
        case .logged: "log"
        case .mangled: "mangle"
        case .neighbour: "neighbour"
        case .sent: "sent"
        case .fragmented: "fragment"
        case .reassembled: "reassemble"
        case .end: "end"
        }
    }
}
