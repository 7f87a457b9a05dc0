// The matches whose outcome depends on packets before: which one, and where its parameters stand. What
// they remember is kept by whoever walks (`Hooks`), under the rule's identity.

import Wire

@frozen
public enum StatefulTest: Sendable {
    /// An index into `CompiledStateful.limits`.
    case limit(Int32)
}

/// One such match and the rule that it belongs to.
public struct Stateful<Match: Sendable>: Sendable {
    public var match: Match
    public var rule: RuleID
    /// The how-manieth match of the rule.
    public var position: Int32
}

/// Every stateful match of a ruleset.
public struct CompiledStateful: Sendable {
    public internal(set) var limits: [Stateful<LimitMatch>] = []

    public init() {}
}
