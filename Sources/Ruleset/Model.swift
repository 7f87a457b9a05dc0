// The rules as values: tables hold chains, chains hold rules, in the order in which a packet meets
// them. This file knows nothing of text (see `Command`) and nothing of packets (see `Compiled`): a
// `Ruleset` is what a person said, checked, and no more.

/// The tables of IPv4 netfilter that Sluice honours, in the order in which a packet meets them.
public enum TableName: String, Hashable, Sendable, CaseIterable {
    case raw, mangle, nat, filter

    /// The chains that the table is born with, in hook order.
    public var baseChains: [BuiltinChain] {
        switch self {
        case .raw: [.prerouting, .output]
        case .mangle: [.prerouting, .input, .forward, .output, .postrouting]
        case .nat: [.prerouting, .input, .output, .postrouting]
        case .filter: [.input, .forward, .output]
        }
    }
}

/// A netfilter hook under the name of the chain that hangs on it (NF_INET_*, in that order).
public enum BuiltinChain: String, Hashable, Sendable, CaseIterable {
    case prerouting = "PREROUTING"
    case input = "INPUT"
    case forward = "FORWARD"
    case output = "OUTPUT"
    case postrouting = "POSTROUTING"
}

/// What a base chain does with a packet that reaches its end.
public enum Policy: String, Hashable, Sendable {
    case accept = "ACCEPT"
    case drop = "DROP"
}

/// Packets and bytes seen by a rule or by a policy; both wrap as the kernel's do.
@frozen
public struct Counters: Hashable, Sendable {
    public var packets: UInt64
    public var bytes: UInt64

    public init(packets: UInt64 = 0, bytes: UInt64 = 0) {
        self.packets = packets
        self.bytes = bytes
    }

    public static let zero = Counters()

    /// One packet more. Both in one call, so that a rule's counters are accessed once per hit.
    @inlinable
    public mutating func count(bytes: Int) {
        packets &+= 1
        self.bytes &+= UInt64(truncatingIfNeeded: bytes)
    }
}

/// Everything a person has said. Only tables that exist are listed: one that nobody touched is
/// absent, and `iptables-save` does not print it.
public struct Ruleset: Hashable, Sendable {
    public var tables: [Table]
    /// The next identity to hand out; it never runs backwards, so that counters of a deleted rule
    /// cannot be taken for those of a later one.
    var nextRuleID: UInt64 = 1

    public init(tables: [Table] = []) { self.tables = tables }

    /// The table as a packet sees it: one that nobody touched has empty base chains that accept.
    public func table(_ name: TableName) -> Table {
        tables.first { $0.name == name } ?? Table(name: name)
    }

    /// A new identity, unique within this ruleset and all that are made from it.
    public mutating func makeRuleID() -> RuleID {
        defer { nextRuleID += 1 }
        return RuleID(rawValue: nextRuleID)
    }
}

/// One table: its base chains in hook order, then the user's.
public struct Table: Hashable, Sendable {
    public var name: TableName
    public var chains: [Chain]

    public init(name: TableName, chains: [Chain]) {
        self.name = name
        self.chains = chains
    }

    /// The table as it is born: empty base chains whose policy is ACCEPT.
    public init(name: TableName) {
        self.init(
            name: name, chains: name.baseChains.map { Chain(name: $0.rawValue, policy: .accept) })
    }

    public func chain(_ name: String) -> Chain? { chains.first { $0.name == name } }
}

/// A list of rules under a name. A base chain has a policy; a chain of the user's has none.
public struct Chain: Hashable, Sendable {
    public var name: String
    public var policy: Policy?
    /// What the policy decided; not used in a chain of the user's.
    public var counters: Counters
    public var rules: [Rule]

    public init(
        name: String, policy: Policy? = nil, counters: Counters = .zero, rules: [Rule] = []
    ) {
        self.name = name
        self.policy = policy
        self.counters = counters
        self.rules = rules
    }

    /// The hook on which the chain hangs, for a base chain.
    public var builtin: BuiltinChain? { policy == nil ? nil : BuiltinChain(rawValue: name) }
}
