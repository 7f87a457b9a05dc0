// What a traced walk records: plain values, made where they happen and put into words elsewhere
// (`Explain`). A silent walk compiles to none of this.

import Conntrack
import Routing
import Ruleset
import VirtualServer
import Wire

/// Which predicate of a rule failed first, in the order in which they are tried.
public enum Miss: Hashable, Sendable {
    case source, destination, inInterface, outInterface, `protocol`, fragment
    /// The match at this position of the compiled rule (comments not counted).
    case match(Int)
}

/// What a look at one rule gave.
public enum RuleOutcome: Hashable, Sendable {
    case hit
    case miss(Miss)
    /// A match found the packet malformed and dropped it.
    case hotDrop
}

/// One step of a packet.
public struct TraceEvent: Hashable, Sendable {
    public enum Kind: Hashable, Sendable {
        /// The walk enters a hook.
        case hook(BuiltinChain)
        /// A table's base chain begins.
        case table(TableName, chain: String)
        /// A rule was looked at. `draw` is the random number or counter value that `statistic` used.
        case rule(RuleReference, RuleOutcome, draw: UInt32?)
        /// A user chain ended, or a rule said RETURN: the walk goes on behind the jump.
        case returned(toChain: String)
        /// A base chain ended with its policy.
        case policy(TableName, chain: String, Policy)
        /// Conntrack's verdict on the packet.
        case tracked(Tracked)
        /// The connection was entered into the table.
        case confirmed(ConnectionID)
        /// A NAT rule or a null binding fixed this end of the connection.
        case bound(ConnectionID, PacketEnd, byRule: Bool)
        /// What a virtual service said of the new connection.
        case scheduled(Scheduling)
        /// A translation changed the packet: `before` is the view before, the event's own after.
        case rewritten(PacketEnd, before: PacketView)
        case markChanged(from: UInt32)
        case connectionMarkChanged(from: UInt32, to: UInt32)
        /// What a rule says of how the packet is to be tracked.
        case template(CTTarget)
        case routed(RouteDecision)
        case timeToLive(from: UInt8)
        case logged
        /// A target changed the packet or what goes with it.
        case mangled(Mangling)
        /// The neighbour's MAC address, or `nil` where the packet waits for it.
        case neighbour(IPv4Address, MACAddress?)
        case sent(InterfaceName)
        case fragmented(count: Int)
        case reassembled
        case end(Disposition)
    }

    public var kind: Kind
    /// The packet as it was right after the step.
    public var view: PacketView
    public var mark: UInt32
    public var userID: UInt32?
    public var groupID: UInt32?
    public var inName: InterfaceName
    public var outName: InterfaceName
    public var tracked: Tracked
}

/// What a target of `MangleTarget` did. A new time to live is `TraceEvent.Kind.timeToLive`.
public enum Mangling: Hashable, Sendable {
    case typeOfService(from: UInt8)
    case checksumFilled
    case classified(UInt32)
    /// The maximum segment size was lowered, or, with `from` nil, an option was put in.
    case segmentSize(from: UInt16?, to: UInt16)
}

/// Where a rule stands: for people (table, chain, number) and for programs (its identity).
public struct RuleReference: Hashable, Sendable {
    public var table: TableName
    public var chain: String
    /// Counted from 1, as `--line-numbers` does.
    public var number: Int
    public var id: RuleID
}

/// The steps of one packet, in order.
public struct Trace: Hashable, Sendable {
    public var events: [TraceEvent] = []
    public init() {}
}
