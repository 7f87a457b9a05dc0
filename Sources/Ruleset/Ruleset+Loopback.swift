// Whether traffic over `lo` would meet any rule or policy. Only then need the node's own conversations be
// taken from the kernel; a node with forwarding rules alone keeps its loopback as it was.

import Wire

extension Ruleset {
    /// Whether a packet that leaves by `lo` and comes back on it could match a rule, or a policy other
    /// than ACCEPT, in any of the hooks it passes. Judged by interfaces alone: what addresses the node
    /// will have is not known here, so that a rule on addresses counts as one that could match.
    public var mayMeetLoopback: Bool {
        tables.contains { table in
            table.chains.contains { chain in
                guard let hook = chain.builtin, hook != .forward else { return false }
                // A user chain is met only through a rule of a base chain, which counts by itself.
                return chain.policy == .drop
                    || chain.rules.contains { $0.mayMatchLoopback(at: hook) }
            }
        }
    }
}

extension Rule {
    /// By its interfaces, and by the matches that say no to every packet of `lo`: a packet on the loopback has no input interface at OUTPUT and POSTROUTING,
    /// and no output interface at PREROUTING and INPUT.
    func mayMatchLoopback(at hook: BuiltinChain) -> Bool {
        let leaves = hook == .output || hook == .postrouting
        if matches.contains(where: \.neverMatchesLoopback) { return false }
        return inInterface.mayMatch(leaves ? "" : "lo") && outInterface.mayMatch(leaves ? "lo" : "")
    }
}

extension InterfaceMatch? {
    fileprivate func mayMatch(_ name: String) -> Bool {
        guard let self else { return true }
        return (self.wildcard ? name.hasPrefix(self.name) : name == self.name) != self.inverted
    }
}

extension Match {
    /// What comes in on `lo` has no Ethernet address of its sender, passes every reverse path filter,
    /// and does not come through a bridge (xt_mac.c, ipt_rpfilter.c, xt_physdev.c).
    fileprivate var neverMatchesLoopback: Bool {
        switch self {
        case .stateless(.mac): true
        case .stateless(.rpfilter(let options)): options.contains(.inverted)
        case .stateless(.physdev(let match)): !match.matchesRouted
        default: false
        }
    }
}
