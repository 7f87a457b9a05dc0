// Two engines, one case: run in lockstep and compared. It refuses to know how either of them works.

/// Where two engines first differed.
public enum Divergence: Hashable, Sendable {
    /// At the packet with this index in the case's `packets`.
    case packet(Int)
    /// After all packets: in the connections, events or rules that were left.
    case finalState
}
