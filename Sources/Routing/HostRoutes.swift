// How the node's own packets come to Sluice: policy rules for `iif lo`, which only packets of the
// node's own sockets match, and tables that mirror the ones they hide.
//
// Theory of operation. The kernel goes through its rules in order; each look-up rule names a table.
// For every rule that a packet of the node itself can meet, the plan has one with the same selectors
// and `iif lo`, ahead of the person's own, that looks into a mirror of the same table. In a mirror:
// - a route by an adopted interface becomes one by the host port, with the source address and the MTU
//   that the kernel would have chosen, since the kernel chooses both before Sluice sees the packet;
// - a route by any other interface is copied as it is: the kernel goes on handling it;
// - error routes, `throw`, local and broadcast routes are copied as they are;
// - 224.0.0.0/4 and 255.255.255.255 are `throw`: groups and broadcasts stay with the kernel, which
//   then comes to the person's own rules. Where Sluice has more rules than one, two more lead past
//   the others.
// One rule, `iif lo lookup T`, is what a node without policy routing gets.
//
// Not mirrored: nexthops of one multipath route may have different source addresses; the first usable
// one's is used. While Sluice's rules exist, the local table is no longer merged with main (see
// CompiledRouting), so a route of main inside a larger *local* route loses.

import Wire

/// A pure function from what the node's routing is to what the host port needs.
public enum HostRoutes {
    /// The mark on every rule and route of the plan (RTPROT): what bears it is Sluice's own. Neither
    /// iproute2's rt_protos nor a routing daemon that it lists uses this number.
    public static let origin: UInt8 = 83

    public struct Plan: Hashable, Sendable {
        public var rules: [PolicyRule] = []
        public var routes: [Route] = []
        /// The person's rules for which there was no room: the kernel asks them before Sluice's.
        public var precedingRules: [PolicyRule] = []

        public init() {}
    }

    /// - Parameters:
    ///   - snapshot: without Sluice's own rules and routes, as `NetlinkMirror` makes it.
    ///   - hostPort: the TAP.
    ///   - table: the number of the first mirror; further ones follow it.
    ///   - adopted: the interfaces whose traffic Sluice carries.
    ///   - priority: of the first rule; lower where the person's own rules would come before.
    public static func plan(
        snapshot: RoutingSnapshot, hostPort: InterfaceIndex, table: UInt32,
        adopted: Set<InterfaceIndex>, priority: UInt32 = 100
    ) -> Plan {
        var mirrors = Mirrors(
            snapshot: snapshot, hostPort: hostPort, first: table, adopted: adopted)
        let drafts = drafts(of: snapshot.rules, &mirrors)
        let own = snapshot.rules.filter { $0.priority > 0 }
        let lowest = own.map(\.priority).min() ?? 32766
        let room = lowest > drafts.count ? lowest - UInt32(drafts.count) : 1
        let base = max(min(priority, room), 1)
        var plan = Plan()
        plan.rules = drafts.enumerated().map { index, draft in
            var rule = draft.rule
            rule.priority = base + UInt32(index)
            rule.origin = origin
            if let target = draft.target { rule.action = .goto(priority: base + UInt32(target)) }
            return rule
        }
        plan.precedingRules = own.filter { $0.priority <= base + UInt32(drafts.count) - 1 }
        plan.routes = mirrors.routes
        return plan
    }

    /// A rule whose priority is not known yet; `target` is the position of the draft to go to.
    private struct Draft {
        var rule: PolicyRule
        var source: Int
        var target: Int?
        /// A goto of the person's: the position in their list that it leads to.
        var wanted: Int?
        /// Leads past the draft that follows.
        var isPast = false
    }

    private static func drafts(of rules: [PolicyRule], _ mirrors: inout Mirrors) -> [Draft] {
        var drafts: [Draft] = []
        for (position, rule) in rules.enumerated() {
            // The kernel's own look-up of the local table comes before everything anyway.
            if rule.priority == 0 && rule.action == .lookup(table: RouteTable.local) { continue }
            append(rule, at: position, of: rules, to: &drafts, &mirrors)
        }
        var end = false
        // A single look-up needs no way past: its `throw` leads to the person's own rules.
        if drafts.count > 1 { drafts.insert(contentsOf: waysPast(), at: 0) }
        for index in drafts.indices {
            if let wanted = drafts[index].wanted {
                drafts[index].target = drafts.firstIndex { $0.source >= wanted } ?? drafts.count
            }
            if drafts[index].isPast { drafts[index].target = index + 2 }
            if drafts[index].target == drafts.count { end = true }
        }
        if end {
            let last = PolicyRule(priority: 0, action: .nop)
            drafts.append(Draft(rule: forHost(last), source: rules.count))
        }
        return drafts
    }

    /// Groups and broadcasts go past everything.
    private static func waysPast() -> [Draft] {
        let left = [
            IPv4Network(IPv4Address(224, 0, 0, 0), prefixLength: 4),
            IPv4Network(.broadcast, prefixLength: 32),
        ]
        return left.map { destination in
            var rule = PolicyRule(priority: 0, action: .nop)
            rule.destination = destination
            return Draft(rule: forHost(rule), source: -1, wanted: .max)
        }
    }

    private static func append(
        _ rule: PolicyRule, at position: Int, of rules: [PolicyRule], to drafts: inout [Draft],
        _ mirrors: inout Mirrors
    ) {
        let isForHost = rule.inInterface.map { $0 == loopback } ?? true
        if rule.isForeign || (!isForHost && !rule.isInverted) { return }
        var draft = Draft(rule: forHost(rule), source: position)
        switch rule.action {
        case .lookup(let table):
            guard let mirror = mirrors.table(for: table, suppressing: rule.suppressGroup) else {
                return
            }
            draft.rule.action = .lookup(table: mirror)
            draft.rule.suppressGroup = nil
        case .goto(let priority):
            guard let target = rules.firstIndex(where: { $0.priority == priority }) else { return }
            draft.wanted = target
        case .nop: return
        case .blackhole, .unreachable, .prohibit: break
        }
        // "Not" covers `iif` as well, so such a rule becomes two: what it does not mean goes past it.
        if rule.isInverted && isForHost {
            var past = Draft(rule: forHost(rule), source: position)
            past.rule.action = .nop
            past.rule.suppressPrefixLength = -1
            past.rule.suppressGroup = nil
            past.isPast = true
            drafts.append(past)
        }
        if rule.isInverted {
            let all = draft.rule
            draft.rule = forHost(PolicyRule(priority: 0, action: all.action))
            draft.rule.suppressPrefixLength = all.suppressPrefixLength
        }
        drafts.append(draft)
    }

    private static let loopback = InterfaceName("lo")

    private static func forHost(_ rule: PolicyRule) -> PolicyRule {
        var rule = rule
        rule.inInterface = loopback
        rule.isInverted = false
        return rule
    }
}
