// One side of a comparison: something that takes a case's packets one by one and says what became of
// each. Sluice's side is `OfflineNode`; the kernel's is in `KernelPath`.

public import Wire

/// A node that was set up from a topology and rules and now meets packets.
///
/// Calls come in order, from one thread. `finish` is the last.
public protocol PacketEngine: AnyObject {
    /// Lets one packet happen. `packet.answers` is resolved already: the bytes are what is injected.
    ///
    /// - Throws: where the engine itself fails; a packet that is dropped, however malformed, is an outcome.
    func inject(_ packet: CasePacket) throws -> Outcome
    /// What is left when all packets are through.
    func finish() throws -> FinalState
}

/// One packet that left the node or reached its sockets.
public struct Emission: Hashable, Sendable {
    public enum Place: Hashable, Sendable {
        /// Sent on this interface: `bytes` is an Ethernet frame.
        case wire(link: String)
        /// Handed to the node's own sockets as having come in on this interface: `bytes` is an IPv4
        /// packet.
        case delivered(link: String)
    }

    public var place: Place
    public var bytes: [UInt8]

    public init(_ place: Place, bytes: [UInt8]) {
        self.place = place
        self.bytes = bytes
    }
}

/// What one injected packet led to.
public struct Outcome: Hashable, Sendable {
    /// In the order in which they happened; with those that became due since the packet before.
    public var emissions: [Emission]
    /// The lines of `conntrack -E` since the packet before.
    public var events: [String]
    /// Why the packet itself went no further; `nil` where it did, where it waits for its other
    /// fragments, and always for the kernel, which does not say.
    public var dropReason: DropReason?
    /// The packet's way through the node in words, where the engine was asked to follow it.
    public var trace: String

    public init(
        emissions: [Emission] = [], events: [String] = [], dropReason: DropReason? = nil,
        trace: String = ""
    ) {
        self.emissions = emissions
        self.events = events
        self.dropReason = dropReason
        self.trace = trace
    }
}

/// What an engine holds at the end, as the tools print it.
public struct FinalState: Hashable, Sendable {
    /// The lines of `conntrack -L -o extended`, in no particular order.
    public var connections: [String]
    /// The lines of `conntrack -E`, in order, as many as there were since the beginning.
    public var events: [String]
    /// `iptables-save -c`, without its comment lines, which carry the time of day.
    public var rules: String

    public init(connections: [String] = [], events: [String] = [], rules: String = "") {
        self.connections = connections
        self.events = events
        self.rules = rules
    }
}
