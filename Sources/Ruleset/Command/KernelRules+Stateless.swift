// What the kernel refuses of the stateless matches and the mangling targets: tables, protocols and hooks
// where they cannot work (`.table`, `.proto`, `.hooks` and `checkentry` of net/netfilter/xt_*.c).

import Wire

extension KernelRules {
    static func objection(
        to match: StatelessMatch, _ transport: Invertible<IPProtocol>?, in table: TableName
    ) -> String? {
        switch match {
        case .rpfilter where table != .raw && table != .mangle:
            "-m rpfilter works in the raw and mangle tables only"
        case .owner(let test) where isReversed(test.users) || isReversed(test.groups):
            "the range of users or groups is reversed"
        case .sctp: needs("sctp", 132, transport)
        case .dccp: needs("dccp", 33, transport)
        case .esp: needs("esp", 50, transport)
        case .ah: needs("ah", 51, transport)
        default: nil
        }
    }

    private static func isReversed(_ range: Invertible<Interval<UInt32>>?) -> Bool {
        range.map { $0.value.last < $0.value.first } ?? false
    }

    private static func needs(
        _ name: String, _ number: UInt8, _ transport: Invertible<IPProtocol>?
    ) -> String? {
        transport == Invertible(IPProtocol(rawValue: number)) ? nil : "-m \(name) needs -p \(name)"
    }

    static func objection(
        to target: MangleTarget, _ transport: Invertible<IPProtocol>?, in table: TableName
    ) -> String? {
        switch target {
        case .ttl, .tos, .dscp, .checksumFill:
            table == .mangle ? nil : "\(target.text.extensionName) works in the mangle table only"
        case .tcpmss: transport == Invertible(.tcp) ? nil : "TCPMSS needs -p tcp"
        case .classify: nil
        }
    }

    /// The hooks under which the match may be met.
    static func hooks(of match: StatelessMatch) -> HookSet {
        switch match {
        case .mac: HookSet(.prerouting, .input, .forward)
        case .owner: HookSet(.output, .postrouting)
        case .rpfilter: HookSet(.prerouting)
        default: .all
        }
    }

    /// The hooks under which the target may be met. For `--clamp-mss-to-pmtu` the kernel looks at base
    /// chains only, and finds no route to ask where a user's chain is entered from PREROUTING.
    static func hooks(of target: MangleTarget) -> HookSet {
        switch target {
        case .classify, .tcpmss(.clampToPathMTU): HookSet(.forward, .output, .postrouting)
        default: .all
        }
    }

    /// Why a rule with this match may not stand in the base chain itself; see `baseChains`.
    static func objection(to match: StatelessMatch, inBaseChain hook: BuiltinChain) -> String? {
        guard case .physdev(let match) = match, hook == .output,
            match.outPort != nil || match.isOut != nil, match.isBridged != .isThere
        else { return nil }
        return "OUTPUT does not know the bridge port of -m physdev"
    }
}
