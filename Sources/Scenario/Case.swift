// A case: a node, its rules and the packets it meets. One self-contained thing that replay, the mirror
// and a person all read alike.

public import Wire

public struct Case: Hashable, Sendable {
    /// What it shows, for a person.
    public var title: String
    public var topology: Topology
    /// As `iptables-save` prints them; empty for a node without rules.
    public var rules: String
    /// Of every random choice that Sluice makes. The kernel's own cannot be set.
    public var seed: UInt64
    /// Injected in this order; their times never decrease.
    public var packets: [CasePacket]

    public init(
        title: String = "", topology: Topology, rules: String = "", seed: UInt64 = 0,
        packets: [CasePacket] = []
    ) {
        self.title = title
        self.topology = topology
        self.rules = rules
        self.seed = seed
        self.packets = packets
    }
}

/// One packet that a node meets.
public struct CasePacket: Hashable, Sendable {
    public enum Origin: Hashable, Sendable {
        /// It comes in on an interface, named.
        case wire(link: String)
        /// A socket of the node's own sends it, with this SO_MARK and of this user.
        case node(mark: UInt32 = 0, userID: UInt32 = 0, groupID: UInt32 = 0)
    }

    /// Since the beginning of the case.
    public var time: Timestamp
    public var origin: Origin
    /// An Ethernet frame without its check sequence where it comes from the wire, an IPv4 packet where it
    /// comes from the node.
    public var bytes: [UInt8]
    /// The index in `Case.packets` of an earlier packet to whose result this one replies.
    ///
    /// Its addresses, ports (or ICMP identifier) and the interface it comes in on are then those of
    /// what the engine at hand first made of that packet, turned round, and its checksums are patched
    /// to fit. Where the engine made nothing of that packet, this one is injected as it stands.
    public var answers: Int?
    /// For a person.
    public var note: String

    public init(
        time: Timestamp = Timestamp(nanoseconds: 0), origin: Origin, bytes: [UInt8],
        answers: Int? = nil, note: String = ""
    ) {
        self.time = time
        self.origin = origin
        self.bytes = bytes
        self.answers = answers
        self.note = note
    }
}
