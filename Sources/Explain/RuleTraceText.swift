// The lines of TRACE, in the manner of `xtables-monitor --trace`: the packet when it enters a table, then
// the rules that it matches.

import Hooks
import Ruleset
import Wire

extension RuleTrace {
    /// One or two lines, each ended by a newline.
    /// - Parameters:
    ///   - identity: tells packets apart.
    ///   - ruleText: a rule of a chain as `iptables -S` prints it; `nil` where it is no longer there.
    public func lines(
        identity: UInt32, ruleText: (RuleReference) -> String?
    ) -> String {
        let digits = String(identity, radix: 16)
        let name = "2 " + String(repeating: "0", count: 8 - digits.utf8.count) + digits
        var text = beginsTable ? "PACKET: \(name) \(packet.traceText)\n" : ""
        switch kind {
        case .rule(let rule, let verdict):
            let number = String(rule.number, radix: 16)
            text += " TRACE: \(name) \(rule.table.rawValue):\(rule.chain):rule:0x\(number):"
            text += "\(verdict.word)  -4 -t \(rule.table.rawValue) "
            text += (ruleText(rule) ?? "(since deleted)") + "\n"
        case .policy(let table, let chain, let policy):
            text += " TRACE: \(name) \(table.rawValue):\(chain):policy:\(policy.rawValue) \n"
        }
        return text
    }
}

extension RuleTrace.Verdict {
    fileprivate var word: String {
        switch self {
        case .accept: "ACCEPT"
        case .drop: "DROP"
        case .return: "RETURN"
        case .continue: "CONTINUE"
        case .jump(let chain): "JUMP:\(chain)"
        case .goto(let chain): "GOTO:\(chain)"
        }
    }
}

extension Packet {
    fileprivate var traceText: String {
        var text = ""
        if inInterface != .none { text += "IN=\(inName) " }
        if outInterface != .none { text += "OUT=\(outName) " }
        text += "SRC=\(view.source) DST=\(view.destination) LEN=\(view.totalLength) "
        text += "TOS=0x\(String(view.typeOfService, radix: 16)) TTL=\(view.timeToLive) "
        text += "ID=\(view.identification) "
        if view.dontFragment { text += "DF " }
        if view.transport == .tcp || view.transport == .udp {
            text += "SPORT=\(view.sourcePort) DPORT=\(view.destinationPort) "
        }
        if mark != 0 { text += "MARK=0x\(String(mark, radix: 16)) " }
        return text
    }
}
