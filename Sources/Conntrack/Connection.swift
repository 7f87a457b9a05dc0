// One entry: both directions, their state, and the links that hold it in the table.
//
// The order of the fields is the order of their use, in lines of 64 bytes, which `ConnectionStorage` keeps
// aligned: a look-up and a plain packet of TCP touch the first two; UDP's stream, marks, timers and lists
// come behind them; counters last. The whole is trivially copyable, so that `peek` can try a packet on a
// copy.

import Wire

/// "No entry" in a link.
let noEntry = UInt32.max

struct Connection {
    // Bytes 0–63: looked up and matched.
    var original: Tuple
    var originalZone: UInt16 = 0
    var reply: Tuple
    var replyZone: UInt16 = 0
    /// Chains of the tuple hash: an entry's index twice plus the direction, or `noEntry`.
    var nextOriginal: UInt32 = noEntry
    var nextReply: UInt32 = noEntry
    var status: ConnectionStatus = []
    var generation: UInt32
    /// Nanoseconds. A duration until the entry is confirmed, a point in time from then on.
    var expires: UInt64 = 0
    /// What the table's owner noted about plain packets of each direction (see `NotedFlow`); 0 is nothing.
    var originalNote: UInt32 = 0
    var replyNote: UInt32 = 0

    // Bytes 64–127: what most packets move.
    var pendingEvents: EventMask = []
    var traits: ConnectionTraits = []
    /// The events that are told of it: all, or those of `CT --ctevents`, or none, as the setting `events`
    /// said when it began.
    var reportedEvents = UInt16.max
    var tcp = TCPTracking()

    // Bytes 128–191.
    /// UDP: from when on an answered flow is a stream.
    var streamStart: UInt64 = 0
    var start: UInt64 = 0
    var mark: UInt32 = 0
    /// `MASQUERADE`'s outgoing interface.
    var masqueradeInterface = InterfaceIndex.none
    // Timer wheel.
    /// The slot it sits in, or `noEntry`, and the low bits of the tick it sits there for.
    var timerSlot: UInt32 = noEntry
    var timerTick: UInt32 = 0
    var timerNext: UInt32 = noEntry
    var timerPrevious: UInt32 = noEntry
    // Index by original source.
    var sourceNext: UInt32 = noEntry
    var sourcePrevious: UInt32 = noEntry
    // Eviction list.
    var evictNext: UInt32 = noEntry
    var evictPrevious: UInt32 = noEntry
    /// The accounts it is charged to, or `noEntry`.
    var server: UInt32 = noEntry
    var client: UInt32 = noEntry

    // Bytes 192–227.
    var originalCounters = FlowCounters()
    var replyCounters = FlowCounters()
    /// With the table's carrier, where it has one.
    var number: UInt32 = 0

    init(original: Tuple, generation: UInt32, template: TrackingTemplate = .none) {
        self.original = original
        self.reply = original.reversed
        self.generation = generation
        originalZone = template.zone.original
        replyZone = template.zone.reply
        reportedEvents = template.events
    }

    var zone: Zone { Zone(original: originalZone, reply: replyZone) }

    subscript(direction: Direction) -> Tuple {
        direction == .original ? original : reply
    }
}

/// What else is known of an entry.
struct ConnectionTraits: OptionSet {
    var rawValue: UInt8
    /// On the list of entries that may be evicted (unassured, or closing).
    static let evictable = Self(rawValue: 1 << 0)
    /// `acct` and `timestamp` were on when it began.
    static let counted = Self(rawValue: 1 << 1)
    static let timed = Self(rawValue: 1 << 2)
    /// It was sent to a server that keeps count, and counts there as active.
    static let charged = Self(rawValue: 1 << 3)
    static let active = Self(rawValue: 1 << 4)
    /// It has a number with the table's carrier, and its packets may pass there at present.
    static let numbered = Self(rawValue: 1 << 5)
    static let carried = Self(rawValue: 1 << 6)
    /// Somebody keeps account of it.
    static let accounted = Self(rawValue: charged.rawValue | numbered.rawValue)
}

extension Connection {
    private subscript(trait: ConnectionTraits) -> Bool {
        get { traits.contains(trait) }
        set { if newValue { traits.insert(trait) } else { traits.remove(trait) } }
    }

    var isNumbered: Bool {
        get { self[.numbered] }
        set { self[.numbered] = newValue }
    }
    var isCarried: Bool {
        get { self[.carried] }
        set { self[.carried] = newValue }
    }
    var isEvictable: Bool {
        get { self[.evictable] }
        set { self[.evictable] = newValue }
    }
    var isCounted: Bool {
        get { self[.counted] }
        set { self[.counted] = newValue }
    }
    var isTimed: Bool {
        get { self[.timed] }
        set { self[.timed] = newValue }
    }
    var isCharged: Bool {
        get { self[.charged] }
        set { self[.charged] = newValue }
    }
    var isActive: Bool {
        get { self[.active] }
        set { self[.active] = newValue }
    }
}

/// What happened to an entry since its last event (`enum ip_conntrack_events`).
struct EventMask: OptionSet {
    var rawValue: UInt8
    static let new = Self(rawValue: 1 << 0)
    static let reply = Self(rawValue: 1 << 1)
    static let assured = Self(rawValue: 1 << 2)
    static let protocolState = Self(rawValue: 1 << 3)
    static let mark = Self(rawValue: 1 << 4)
}

/// How the rest of tracking goes on after a packet was tried on an entry.
enum PacketVerdict {
    case accepted
    case invalid(InvalidReason)
    /// Accepted, and the entry ends with it.
    case acceptedAndEnds
    case reopen
}

/// The packet as the protocol trackers see it.
struct PacketFacts {
    var now: Timestamp
    /// IPv4 total length.
    var length: Int
    /// TCP only.
    var segment: TCPSegment?
}

extension Connection {
    /// Applies a packet of this connection (`nf_conntrack_handle_packet`). The packet's own header
    /// was judged before.
    mutating func follow(
        _ facts: borrowing PacketFacts, _ direction: Direction,
        _ settings: borrowing ConntrackSettings
    ) -> PacketVerdict {
        switch original.protocol {
        case .tcp:
            return followTCP(facts, direction, settings)
        case .udp:
            followUDP(facts, direction, settings)
        case .icmp:
            // An answer whose query was not seen has no place (RFC 792).
            guard ICMPQuery.opensConnection(original.icmpType) else {
                return .invalid(.icmpCannotOpen)
            }
            refresh(settings.icmpTimeout, facts, direction)
        default:
            refresh(settings.genericTimeout, facts, direction)
        }
        return .accepted
    }

    /// A flow is a stream once it was answered and still goes on two seconds after it began.
    private mutating func followUDP(
        _ facts: borrowing PacketFacts, _ direction: Direction,
        _ settings: borrowing ConntrackSettings
    ) {
        let now = facts.now.nanoseconds
        if !status.contains(.confirmed) { streamStart = now &+ 2_000_000_000 }
        guard status.contains(.seenReply), now > streamStart else {
            return refresh(settings.udpTimeout, facts, direction)
        }
        refresh(settings.udpTimeoutStream, facts, direction)
        assure()
    }

    private mutating func followTCP(
        _ facts: borrowing PacketFacts, _ direction: Direction,
        _ settings: borrowing ConntrackSettings
    ) -> PacketVerdict {
        guard let segment = facts.segment else { return .invalid(.truncatedHeader) }
        if !status.contains(.confirmed),
            let reason = tcp.open(segment, loose: settings.tcpLoose)
        {
            return .invalid(reason)
        }
        let verdict = tcp.follow(
            segment, direction, status: status, settings: settings)
        switch verdict {
        case .ignored: return .accepted
        case .invalid(let reason): return .invalid(reason)
        case .reopen: return .reopen
        case .outOfWindow(let reason):
            noteOutOfWindow(segment, direction, facts.now, settings)
            return .invalid(reason)
        case .accepted(let old):
            return settleTCP(facts, segment, direction, from: old, settings)
        }
    }

    /// After an accepted segment: events, timeout, ASSURED.
    private mutating func settleTCP(
        _ facts: borrowing PacketFacts, _ segment: TCPSegment, _ direction: Direction,
        from old: TCPState, _ settings: borrowing ConntrackSettings
    ) -> PacketVerdict {
        var timeout = tcp.timeout(after: segment.kind, settings)
        if old != tcp.state { pendingEvents.insert(.protocolState) }
        if !status.contains(.seenReply) {
            // Refused at once: nothing was established, nothing is to be kept.
            if segment.flags.contains(.rst) {
                count(facts, direction)
                return .acceptedAndEnds
            }
            // A repeated SYN does not prolong the entry; else port reuse could for ever.
            if segment.kind == .syn, old == .synSent { return .accepted }
            if tcp.state == .established {
                timeout = min(timeout, settings.tcpTimeoutUnacknowledged)
            }
        } else if old == .synRecv || old == .established, tcp.state == .established {
            assure()
        }
        refresh(timeout, facts, direction)
        return .accepted
    }

    /// FIN or RST out of window from both ends: they are out of step with the entry. Let it go
    /// sooner than in five days.
    private mutating func noteOutOfWindow(
        _ segment: TCPSegment, _ direction: Direction, _ now: Timestamp,
        _ settings: borrowing ConntrackSettings
    ) {
        let kind = segment.kind
        guard status.contains(.assured), kind == .fin || kind == .reset else { return }
        guard tcp.lastDirection != direction, tcp.lastKind == .fin || tcp.lastKind == .reset else {
            tcp.lastKind = kind
            tcp.lastDirection = direction
            return
        }
        let left = expires > now.nanoseconds ? expires &- now.nanoseconds : 0
        let limit = settings.tcpTimeoutUnacknowledged
        if left >= 120 * nanosecondsPerSecond, left > limit.nanoseconds {
            expires = (now + limit).nanoseconds
        }
    }

    private mutating func assure() {
        guard !status.contains(.assured) else { return }
        status.insert(.assured)
        pendingEvents.insert(.assured)
    }

    /// `nf_ct_refresh_acct`.
    @inline(__always)
    private mutating func refresh(
        _ timeout: Seconds, _ facts: borrowing PacketFacts, _ direction: Direction
    ) {
        let base = status.contains(.confirmed) ? facts.now.nanoseconds : 0
        expires = base &+ timeout.nanoseconds
        count(facts, direction)
    }

    @inline(__always)
    private mutating func count(_ facts: borrowing PacketFacts, _ direction: Direction) {
        guard isCounted else { return }
        let bytes = UInt64(truncatingIfNeeded: facts.length)
        if direction == .original {
            originalCounters.packets &+= 1
            originalCounters.bytes &+= bytes
        } else {
            replyCounters.packets &+= 1
            replyCounters.bytes &+= bytes
        }
    }
}

extension TCPTracking {
    /// The timeout after an accepted segment. Trouble shortens it: retransmissions without an answer,
    /// a reset, data nobody acknowledged, a closed window.
    func timeout(
        after kind: TCPSegmentKind, _ settings: borrowing ConntrackSettings
    ) -> Seconds {
        let ordinary = settings.timeout(state)
        if retransmissions >= settings.tcpMaxRetrans, ordinary > settings.tcpTimeoutMaxRetrans {
            return settings.tcpTimeoutMaxRetrans
        }
        if kind == .reset { return settings.tcpTimeoutClose }
        if originalEnd.flags.union(replyEnd.flags).contains(.dataUnacknowledged),
            ordinary > settings.tcpTimeoutUnacknowledged
        {
            return settings.tcpTimeoutUnacknowledged
        }
        if lastWindow == 0, ordinary > settings.tcpTimeoutMaxRetrans {
            return settings.tcpTimeoutMaxRetrans
        }
        return ordinary
    }
}

let nanosecondsPerSecond: UInt64 = 1_000_000_000

extension Seconds {
    var nanoseconds: UInt64 { UInt64(rawValue) &* nanosecondsPerSecond }
}
