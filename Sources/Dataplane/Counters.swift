// What became of every frame. A frame that came in ends in exactly one of forwarded, delivered or one
// drop counter; while it waits (for other fragments, for a neighbour) it is in `waiting`.

public import Wire

/// One counter per reason.
public struct DropCounters: Hashable, Sendable {
    private var counts = [UInt64](repeating: 0, count: DropReason.allCases.count)

    public init() {}

    public subscript(reason: DropReason) -> UInt64 { counts[Int(reason.rawValue)] }

    public var total: UInt64 { counts.reduce(0, +) }

    /// The reasons that occurred, with how often.
    public var occurred: [(reason: DropReason, count: UInt64)] {
        DropReason.allCases.map { ($0, self[$0]) }.filter { $0.1 > 0 }
    }

    @inline(__always)
    mutating func add(_ frames: Int, _ reason: DropReason) {
        counts[Int(reason.rawValue)] &+= UInt64(truncatingIfNeeded: frames)
    }
}

/// Who made a packet: each has its own tally, so that the node's answers do not blur what became of
/// the frames that came in.
public enum PacketOrigin: UInt8, CaseIterable, Sendable {
    /// It came in on an interface.
    case interface
    /// The node's own sockets sent it, through the host port.
    case host
    /// The data plane made it: an ICMP error or a reset.
    case node
}

/// Fates, counted in frames: a datagram that came in three fragments counts three times.
public struct Tally: Hashable, Sendable {
    public internal(set) var received: UInt64 = 0
    public internal(set) var forwarded: UInt64 = 0
    public internal(set) var delivered: UInt64 = 0
    public internal(set) var drops = DropCounters()

    public init() {}

    /// Neither sent on nor dropped yet.
    public var waiting: UInt64 { received &- forwarded &- delivered &- drops.total }
}

public struct DataplaneCounters: Hashable, Sendable {
    public internal(set) var interface = Tally()
    public internal(set) var host = Tally()
    public internal(set) var node = Tally()
    /// Packets put together from fragments, and fragments made.
    public internal(set) var reassembled: UInt64 = 0
    public internal(set) var fragmentsMade: UInt64 = 0
    /// Answers that a rate limit or the kernel's rules about answers suppressed.
    public internal(set) var answersLimited: UInt64 = 0
    public internal(set) var answersForbidden: UInt64 = 0

    public init() {}

    public subscript(origin: PacketOrigin) -> Tally {
        switch origin {
        case .interface: interface
        case .host: host
        case .node: node
        }
    }

    public func drops(_ reason: DropReason) -> UInt64 {
        interface.drops[reason] &+ host.drops[reason] &+ node.drops[reason]
    }

    @inline(__always)
    mutating func update(_ origin: PacketOrigin, _ body: (inout Tally) -> Void) {
        switch origin {
        case .interface: body(&interface)
        case .host: body(&host)
        case .node: body(&node)
        }
    }
}
