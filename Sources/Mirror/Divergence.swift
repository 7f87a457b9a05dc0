// What a comparison found.

/// How a case went through both engines.
public enum Verdict: Hashable, Sendable {
    case agreement(Agreement)
    case divergence(Divergence)

    public var divergence: Divergence? {
        if case .divergence(let divergence) = self { divergence } else { nil }
    }
}

/// How much was found equal.
public struct Agreement: Hashable, Sendable {
    public var packets = 0
    /// Of the packets, those that left the node or reached its sockets in at least one piece.
    public var carried = 0
    public var emissions = 0
    public var connections = 0
    public var events = 0
    /// Lines of `iptables-save -c`.
    public var ruleLines = 0
    /// Cases that could not be compared to their end, since a random choice of the kernel's was not found
    /// again within bounds; the packets before count.
    public var cutShort = 0

    func cutShort(at packet: Int) -> Agreement {
        var agreement = Agreement(packets: packet, cutShort: 1)
        agreement.carried = min(carried, packet)
        return agreement
    }

    public static func + (a: Agreement, b: Agreement) -> Agreement {
        Agreement(
            packets: a.packets + b.packets, carried: a.carried + b.carried,
            emissions: a.emissions + b.emissions, connections: a.connections + b.connections,
            events: a.events + b.events, ruleLines: a.ruleLines + b.ruleLines,
            cutShort: a.cutShort + b.cutShort)
    }
}

/// The first difference.
public struct Divergence: Hashable, Sendable {
    public enum Place: Hashable, Sendable {
        /// At the packet with this index in the case's `packets`.
        case packet(Int)
        /// After all packets.
        case connections, events, rules
    }

    public var place: Place
    /// The packet that was injected, in words; empty after all packets.
    public var packet: String
    /// What is different, one line per emission, connection, event or rule.
    public var kernel: [String]
    public var sluice: [String]
    /// The packet's way through each engine; empty where nobody asked for it.
    public var kernelTrace = ""
    public var sluiceTrace = ""
}
