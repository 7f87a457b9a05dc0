// What a rule becomes for the packets: flat values without references, so that looking at one neither
// allocates nor counts references. Comments are gone, names are masks, jumps are indices.

import Wire

/// A rule's inversions and other yes-or-no facts.
@frozen
public struct CompiledRuleFlags: OptionSet, Sendable {
    public var rawValue: UInt16
    @inlinable public init(rawValue: UInt16) { self.rawValue = rawValue }
    @inlinable public static var notSource: Self { Self(rawValue: 1) }
    @inlinable public static var notDestination: Self { Self(rawValue: 2) }
    @inlinable public static var notInInterface: Self { Self(rawValue: 4) }
    @inlinable public static var notOutInterface: Self { Self(rawValue: 8) }
    @inlinable public static var notProtocol: Self { Self(rawValue: 16) }
    @inlinable public static var hasProtocol: Self { Self(rawValue: 32) }
    /// `-f`: later fragments only.
    @inlinable public static var laterFragment: Self { Self(rawValue: 64) }
    /// `! -f`: anything but later fragments.
    @inlinable public static var notLaterFragment: Self { Self(rawValue: 128) }
    @inlinable public static var hasInInterface: Self { Self(rawValue: 256) }
    @inlinable public static var hasOutInterface: Self { Self(rawValue: 512) }
    /// Some match looks at more than what is the same for all plain packets of a connection's direction; see
    /// `RulePath`.
    @inlinable public static var looksFurther: Self { Self(rawValue: 1024) }
}

/// One rule as the walk reads it.
@frozen
public struct CompiledRule: Sendable {
    public var source: IPv4Network
    public var destination: IPv4Network
    public var inPattern: InterfacePattern
    public var outPattern: InterfacePattern
    public var flags: CompiledRuleFlags
    public var `protocol`: IPProtocol
    /// A range of `CompiledRuleset.matches`.
    public var firstMatch: Int32
    public var matchCount: Int32
    public var target: CompiledTarget
    /// The run that it belongs to, or -1, and the next rule in there for the same destination, or the run's end
    /// (see `RuleRun`).
    var run: Int32 = -1
    var nextInRun: Int32 = -1
}

/// A match as the walk reads it. Ranges point into the ruleset's pools.
@frozen
public enum CompiledMatch: Sendable {
    case ports(CompiledPorts)
    case tcpFlags(Invertible<TCPFlagsTest>)
    case tcpOption(Invertible<UInt8>)
    case icmp(ICMPMatch)
    /// A range of `CompiledRuleset.portRanges`.
    case multiport(CompiledMultiport)
    /// `state`, and `conntrack --ctstate` alone: a set of states.
    case state(Invertible<ConnectionStates>)
    /// An index into `CompiledRuleset.conntrackMatches`.
    case conntrack(Int32)
    /// `statistic --mode random`: a 31-bit random number is below `threshold`.
    case random(threshold: UInt32, inverted: Bool)
    /// `statistic --mode nth`; `counter` is an index into `CompiledRuleset.nthCounters`.
    case nth(every: UInt32, counter: Int32, inverted: Bool)
    case mark(Invertible<MarkTest>)
    case addressType(AddrtypeMatch)
    /// An index into `CompiledRuleset.statelessMatches`.
    case stateless(Int32)
    case connmark(Invertible<MarkTest>)
    /// What packets change; see `StatefulTest`.
    case stateful(StatefulTest)
}

/// `tcp` and `udp`: a port interval for each end.
@frozen
public struct CompiledPorts: Sendable {
    public var kind: TransportKind
    public var source: Invertible<PortRange>
    public var destination: Invertible<PortRange>
    /// A header cut short drops the packet.
    public var judgesHeader: Bool
}

@frozen
public struct CompiledMultiport: Sendable {
    public var side: MultiportMatch.Side
    public var first: Int32
    public var count: Int32
    public var inverted: Bool
}

/// What a rule does. Indices point into the ruleset's pools.
@frozen
public enum CompiledTarget: Sendable {
    /// Counts and goes on.
    case none
    case accept
    case drop
    case `return`
    case jump(Int32)
    case goto(Int32)
    /// Binds this end of the connection to a range of `CompiledRuleset.translations`.
    case translate(PacketEnd, Int32)
    case masquerade(Int32)
    case redirect(Int32)
    case mark(MarkTarget)
    case rejectICMP(code: UInt8)
    case rejectReset
    /// An index into `CompiledRuleset.logs`.
    case log(Int32)
    case mangle(MangleTarget)
    case netmap(IPv4Network)
    /// An index into `CompiledRuleset.packetLogs`.
    case nflog(Int32)
    case trace
    /// An index into `CompiledRuleset.connmarks`.
    case connmark(Int32)
    /// An index into `CompiledRuleset.trackingTargets`.
    case tracking(Int32)
}
