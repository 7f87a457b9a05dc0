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
            if let objection = objection(to: match, rule.protocol) { return objection }
        }
        return objection(to: rule.target, rule.protocol, in: table)
    }

    private static func objection(
        to match: Match, _ transport: Invertible<IPProtocol>?
    ) -> String? {
        switch match {
        case .tcp(let match) where match.option != nil || match == TCPMatch():
            transport == Invertible(.tcp) ? nil : "-m tcp needs -p tcp"
        case .udp(let match) where match == UDPMatch():
            transport == Invertible(.udp) ? nil : "-m udp needs -p udp"
        case .icmp: transport == Invertible(.icmp) ? nil : "-m icmp needs -p icmp"
        default: nil
        }
    }

    private static func objection(
        to target: Target, _ transport: Invertible<IPProtocol>?, in table: TableName
    ) -> String? {
        switch target {
        case .dnat, .snat, .masquerade, .redirect:
            table == .nat ? nil : "\(target.name) works in the nat table only"
        case .reject(let type):
            if table != .filter {
                "REJECT works in the filter table only"
            } else if type == .tcpReset, transport != Invertible(.tcp) {
                "tcp-reset needs -p tcp"
            } else {
                nil
            }
        default: nil
        }
    }

    /// The hooks under which the rule's target may be met.
    static func hooks(of rule: Rule) -> HookSet {
        let hooks: HookSet
        switch rule.target {
        case .dnat, .redirect: hooks = HookSet(.prerouting, .output)
        case .snat: hooks = HookSet(.input, .postrouting)
        case .masquerade: hooks = HookSet(.postrouting)
        case .reject: hooks = HookSet(.input, .forward, .output)
        default: hooks = .all
        }
        return hooks
    }

    /// The base chains in which the rule itself may stand. The kernel looks at these matches when a
    /// rule comes in, and knows the hook only if the chain is a base chain: in a user's chain the
    /// same rule is accepted wherever that chain is reached from (tried).
    static func baseChains(of rule: Rule) -> HookSet {
        var hooks = HookSet.all
        for match in rule.matches {
            guard case .addrtype(let match) = match else { continue }
            switch match.limit {
            case .inInterface: hooks.formIntersection(HookSet(.prerouting, .input, .forward))
            case .outInterface: hooks.formIntersection(HookSet(.output, .postrouting, .forward))
            case nil: break
            }
        }
        return hooks
    }

    static func names(_ hooks: HookSet) -> String {
        let names = BuiltinChain.allCases.filter { hooks.contains(HookSet($0)) }.map(\.rawValue)
        return names.isEmpty ? "no chain" : names.joined(separator: ", ")
    }
}
