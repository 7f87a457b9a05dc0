// The matches whose outcome depends on packets before: which one, and where its parameters stand. What
// they remember is kept by whoever walks (`Hooks`), under the rule's identity.

import Wire

@frozen
public enum StatefulTest: Sendable {
    // Indices into the arrays of `CompiledStateful`.
    case limit(Int32)
    case connlimit(Int32)
    case recent(Int32)
    case hashlimit(Int32)
}

/// One such match and the rule that it belongs to.
public struct Stateful<Match: Sendable>: Sendable {
    public var match: Match
    public var rule: RuleID
    /// The how-manieth match of the rule.
    public var position: Int32
    /// No rule in force has it any more; it only keeps its place.
    public internal(set) var isWaste = false
}

/// Every stateful match of a ruleset.
public struct CompiledStateful: Sendable {
    public internal(set) var limits: [Stateful<LimitMatch>] = []
    public internal(set) var connlimits: [Stateful<ConnlimitMatch>] = []
    public internal(set) var recents: [Stateful<RecentMatch>] = []
    public internal(set) var hashlimits: [Stateful<HashlimitMatch>] = []

    public init() {}
}
