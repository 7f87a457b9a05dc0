// What TRACE tells: the rules that a traced packet matched, and the policy that it met, as nft's own
// tracing does (net/netfilter/nf_tables_trace.c).

import Ruleset
import Wire

/// One thing that happened to a traced packet.
public struct RuleTrace: Sendable {
    public enum Kind: Hashable, Sendable {
        case rule(RuleReference, Verdict)
        case policy(TableName, chain: String, Policy)
    }
    /// What came of a rule.
    public enum Verdict: Hashable, Sendable {
        case accept, drop, `return`, `continue`
        case jump(String)
        case goto(String)
    }
    public var kind: Kind
    /// It is the first in this table and hook.
    public var beginsTable: Bool
    public var packet: Packet
}

extension HookEngine {
    func traced(
        _ rule: RuleReference, _ target: CompiledTarget, _ rules: CompiledRuleset,
        _ begins: inout Bool, _ packet: Packet, _ bytes: RawSpan
    ) {
        let verdict: RuleTrace.Verdict =
            switch target {
            case .accept, .translate, .masquerade, .redirect, .netmap: .accept
            case .drop, .rejectICMP, .rejectReset: .drop
            case .return: .return
            case .jump(let chain): .jump(rules.chains[Int(chain)].name)
            case .goto(let chain): .goto(rules.chains[Int(chain)].name)
            default: .continue
            }
        tell(.rule(rule, verdict), &begins, packet, bytes)
    }

    func tell(
        _ kind: RuleTrace.Kind, _ begins: inout Bool, _ packet: Packet, _ bytes: RawSpan
    ) {
        onRuleTrace?(RuleTrace(kind: kind, beginsTable: begins, packet: packet), bytes)
        begins = false
    }
}

/// A packet that met an NFLOG rule.
public struct NFLogRecord: Sendable {
    public var log: NFLogTarget
    public var packet: Packet

    /// Which bytes of its frame the rule asks for, from the IP header on; a size of 0 is all of it.
    public func range(inFrameOf length: Int) -> Range<Int> {
        let size = log.size.flatMap { $0 == 0 ? nil : Int($0) } ?? packet.view.totalLength
        let start = packet.view.networkOffset
        return start..<start + min(size, packet.view.totalLength, length - start)
    }
}
