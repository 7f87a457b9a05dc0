// What the kernel refuses although iptables would have said it: matches and targets in tables or
// under hooks where they cannot work. The kernel answers EINVAL and keeps the reason to itself; here
// the reason is kept.

import Wire

/// The hooks from which a chain can be reached.
struct HookSet: OptionSet, Hashable {
    var rawValue: UInt8
    init(rawValue: UInt8) { self.rawValue = rawValue }

    init(_ hook: BuiltinChain) {
        rawValue = 1 << UInt8(BuiltinChain.allCases.firstIndex(of: hook) ?? 0)
    }

    init(_ hooks: BuiltinChain...) {
        self = hooks.reduce(into: []) { $0.formUnion(HookSet($1)) }
    }

    static let all = HookSet(.prerouting, .input, .forward, .output, .postrouting)
}

enum KernelRules {
    /// Why the rule can stand nowhere in the table, or `nil`.
    static func objection(to rule: Rule, in table: TableName) -> String? {
        if rule.source.inverted && rule.source.network.mask == 0
            || rule.destination.inverted && rule.destination.network.mask == 0
        {
            return "no packet is outside 0.0.0.0/0"
        }
        for match in rule.matches {
            if let objection = objection(to: match, rule.protocol, in: table) { return objection }
        }
        return objection(to: rule.target, rule.protocol, in: table)
    }

    /// What the kernel refuses as out of range, and why.
    static func rangeObjection(to rule: Rule) -> String? {
        for case .hashlimit(let match) in rule.matches {
            if let objection = match.rangeObjection { return objection }
        }
        return nil
    }

    private static func objection(
        to match: Match, _ transport: Invertible<IPProtocol>?, in table: TableName
    ) -> String? {
        switch match {
        case .tcp(let match) where match.option != nil || match == TCPMatch():
            transport == Invertible(.tcp) ? nil : "-m tcp needs -p tcp"
        case .udp(let match) where match == UDPMatch():
            transport == Invertible(.udp) ? nil : "-m udp needs -p udp"
        case .icmp: transport == Invertible(.icmp) ? nil : "-m icmp needs -p icmp"
        case .stateless(let match): objection(to: match, transport, in: table)
        case .recent(let match): match.objection
        case .hashlimit(let match): match.objection
        default: nil
        }
    }

    private static func objection(
        to target: Target, _ transport: Invertible<IPProtocol>?, in table: TableName
    ) -> String? {
        switch target {
        case .ct, .notrack:
            table == .raw ? nil : "\(target.name) works in the raw table only"
        case .dnat, .snat, .masquerade, .redirect, .netmap:
            table == .nat ? nil : "\(target.name) works in the nat table only"
        case .reject(let type):
            if table != .filter {
                "REJECT works in the filter table only"
            } else if type == .tcpReset, transport != Invertible(.tcp) {
                "tcp-reset needs -p tcp"
            } else {
                nil
            }
        case .mangle(let target): objection(to: target, transport, in: table)
        default: nil
        }
    }

    /// A part of the rule that may not be met under all of `here`: its name, and where it may be.
    static func misplaced(_ rule: Rule, _ here: HookSet) -> (what: String, allowed: HookSet)? {
        let allowed = hooks(of: rule.target)
        if !here.isSubset(of: allowed) { return (rule.target.name, allowed) }
        for match in rule.matches {
            let allowed = hooks(of: match)
            if !here.isSubset(of: allowed) { return ("-m " + match.text.extensionName, allowed) }
        }
        return nil
    }

    private static func hooks(of target: Target) -> HookSet {
        switch target {
        case .dnat, .redirect: HookSet(.prerouting, .output)
        case .snat: HookSet(.input, .postrouting)
        case .masquerade: HookSet(.postrouting)
        case .reject: HookSet(.input, .forward, .output)
        case .netmap: HookSet(.prerouting, .input, .output, .postrouting)
        case .mangle(let target): hooks(of: target)
        default: .all
        }
    }

    private static func hooks(of match: Match) -> HookSet {
        if case .stateless(let match) = match { hooks(of: match) } else { .all }
    }

    /// Why the rule may not stand in a base chain itself, or `nil`. The kernel looks at these matches
    /// when a rule comes in, and knows the hook only if the chain is a base chain: in a user's chain
    /// the same rule is accepted wherever that chain is reached from (tried).
    static func objection(to rule: Rule, inBaseChain hook: BuiltinChain) -> String? {
        for match in rule.matches {
            switch match {
            case .addrtype(let match):
                let known =
                    switch match.limit {
                    case .inInterface: HookSet(.prerouting, .input, .forward)
                    case .outInterface: HookSet(.output, .postrouting, .forward)
                    case nil: HookSet.all
                    }
                guard known.contains(HookSet(hook)) else {
                    return "\(hook.rawValue) does not know the interface of that limit"
                }
            case .stateless(let match):
                if let objection = objection(to: match, inBaseChain: hook) { return objection }
            default: continue
            }
        }
        return nil
    }

    static func names(_ hooks: HookSet) -> String {
        let names = BuiltinChain.allCases.filter { hooks.contains(HookSet($0)) }.map(\.rawValue)
        return names.isEmpty ? "no chain" : names.joined(separator: ", ")
    }
}
