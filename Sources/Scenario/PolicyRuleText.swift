// The words behind `ip rule add` as a policy rule (iproute2's ip/iprule.c; net/core/fib_rules.c).
//
// Not here: realms, tunnel ids, l3mdev.

import Routing
import Wire

enum PolicyRuleText {
    /// The rule; its priority is `nil` where the words leave it to the kernel.
    static func parse(_ text: String) throws(WordFault) -> (rule: PolicyRule, priority: UInt32?) {
        var words = Words(text)
        var rule = PolicyRule(priority: 0, action: .lookup(table: RouteTable.main))
        var priority: UInt32?
        var hasAction = false
        guard words.peek != nil else {
            throw WordFault(column: 1, message: "expected a selector or a table")
        }
        while words.peek != nil {
            if words.take(anyOf: "priority", "preference", "pref", "order", "prio") {
                priority = try words.takeNumber(0...(.max))
            } else if let action = try takeAction(&words) {
                rule.action = action
                hasAction = true
            } else {
                try takeSelector(&words, into: &rule)
            }
        }
        guard hasAction else {
            throw WordFault(
                column: words.column,
                message:
                    "expected a table, goto, nop, blackhole, unreachable or prohibit at the end")
        }
        return (rule, priority)
    }

    private static func takeAction(_ words: inout Words) throws(WordFault) -> PolicyAction? {
        if words.take(anyOf: "table", "lookup") {
            return .lookup(table: try TableText.take(&words))
        }
        if words.take(anyOf: "goto") { return .goto(priority: try words.takeNumber(1...(.max))) }
        if words.take(anyOf: "nop") { return .nop }
        if words.take(anyOf: "blackhole") { return .blackhole }
        if words.take(anyOf: "unreachable") { return .unreachable }
        if words.take(anyOf: "prohibit") { return .prohibit }
        return nil
    }

    private static func takeSelector(
        _ words: inout Words, into rule: inout PolicyRule
    ) throws(WordFault) {
        let column = words.column
        switch words.take() {
        case "not": rule.isInverted = true
        case "from": rule.source = try words.takePrefix()
        case "to": rule.destination = try words.takePrefix()
        case "iif", "dev": rule.inInterface = try takeName(&words)
        case "oif": rule.outInterface = try takeName(&words)
        case "fwmark": (rule.mark, rule.markMask) = try takeMark(&words)
        case "tos", "dsfield": rule.typeOfService = UInt8(try words.takeNumber(0...255))
        case "ipproto":
            rule.ipProtocol = try words.take("a protocol") {
                StandardNames().number(protocolName: $0) ?? UInt8($0).map(IPProtocol.init)
            }
        case "sport": rule.sourcePorts = try takePorts(&words)
        case "dport": rule.destinationPorts = try takePorts(&words)
        case "uidrange":
            rule.userIDs = try words.take("a range of users such as 0-99") { range($0, "-") }
        case "suppress_prefixlength", "sup_pl":
            rule.suppressPrefixLength = Int(try words.takeNumber(0...32))
        case "suppress_ifgroup", "sup_group":
            rule.suppressGroup = try words.takeNumber(0...(.max))
        case let word:
            throw WordFault(
                column: column,
                message: "expected not, from, to, iif, oif, fwmark, tos, ipproto, sport, dport, "
                    + "uidrange, suppress_prefixlength, suppress_ifgroup, priority, table, goto, nop, "
                    + "blackhole, unreachable or prohibit, found '\(word ?? "")'")
        }
    }

    private static func takeName(_ words: inout Words) throws(WordFault) -> InterfaceName {
        try words.take("an interface") { InterfaceName($0) }
    }

    /// A value alone is compared in all bits.
    private static func takeMark(
        _ words: inout Words
    ) throws(WordFault) -> (UInt32, UInt32) {
        try words.take("a mark such as 1 or 0x10/0xf0") { (text) -> (UInt32, UInt32)? in
            let parts = text.split(separator: "/", omittingEmptySubsequences: false).map(
                String.init)
            guard parts.count <= 2, let mark = NumberText.unsigned(parts[0]) else { return nil }
            guard parts.count == 2 else { return (mark, .max) }
            return NumberText.unsigned(parts[1]).map { (mark, $0) }
        }
    }

    private static func takePorts(
        _ words: inout Words
    ) throws(WordFault) -> ClosedRange<Port> {
        try words.take("a port or a range such as 80-90") { (text) -> ClosedRange<Port>? in
            guard let range = range(text, "-") ?? NumberText.unsigned(text).map({ $0...$0 }),
                range.lowerBound > 0, range.upperBound <= 65_535
            else { return nil }
            return Port(UInt16(range.lowerBound))...Port(UInt16(range.upperBound))
        }
    }

    private static func range(_ text: String, _ separator: Character) -> ClosedRange<UInt32>? {
        let parts = text.split(separator: separator, omittingEmptySubsequences: false)
        guard parts.count == 2, let low = NumberText.unsigned(String(parts[0])),
            let high = NumberText.unsigned(String(parts[1])), low <= high
        else { return nil }
        return low...high
    }
}
