// What passes between the table and whoever carries the packets of established connections for it, past the
// packet path (Sources/Offload). A carrier moves a connection's window and counts its packets; it judges none
// that could change the connection's state.

import Wire

/// Carries connections by numbers of its own, from 1 on. Called on the table's thread.
public protocol ConnectionCarrier: AnyObject {
    /// From here on no packet of the connection is carried, until it is offered again.
    func recall(_ number: UInt32) -> CarriedState
    /// What has happened since the last look; it is carried on.
    func look(_ number: UInt32) -> CarriedState
    /// The connection has ended, after a `recall`; its number may be used again.
    func release(_ number: UInt32)
}

/// One end's window (`struct ip_ct_tcp_state`).
@frozen
public struct CarriedEnd: Hashable, Sendable {
    public var end: UInt32
    public var maxEnd: UInt32
    public var maxWindow: UInt32
    public var maxAck: UInt32
    public var scale: UInt8
    /// IP_CT_TCP_FLAG_*.
    public var flags: UInt8

    @inlinable
    public init(
        end: UInt32 = 0, maxEnd: UInt32 = 0, maxWindow: UInt32 = 0, maxAck: UInt32 = 0,
        scale: UInt8 = 0, flags: UInt8 = 0
    ) {
        self.end = end
        self.maxEnd = maxEnd
        self.maxWindow = maxWindow
        self.maxAck = maxAck
        self.scale = scale
        self.flags = flags
    }
}

/// As much of TCP's tracking as segments in window move.
@frozen
public struct CarriedWindow: Hashable, Sendable {
    public var original = CarriedEnd()
    public var reply = CarriedEnd()
    public var lastSequence: UInt32 = 0
    public var lastAck: UInt32 = 0
    public var lastEnd: UInt32 = 0
    public var lastWindow: UInt16 = 0
    public var lastDirection = Direction.original
    public var retransmissions: UInt8 = 0

    @inlinable public init() {}
}

/// What a carrier gives back.
@frozen
public struct CarriedState: Hashable, Sendable {
    /// When the last packet passed; of no meaning where none has.
    public var lastSeen = Timestamp(nanoseconds: 0)
    /// Since the last look.
    public var original = FlowCounters()
    public var reply = FlowCounters()
    /// TCP only.
    public var window = CarriedWindow()

    @inlinable public init() {}

    @inlinable public var isUntouched: Bool { original.packets &+ reply.packets == 0 }
}

/// A connection as a carrier takes it over.
public struct CarriedConnection: Sendable {
    public var original: Tuple
    public var reply: Tuple
    public var isTCP: Bool
    public var window: CarriedWindow
    public var lastSeen: Timestamp
    /// Packets from then on are not to be carried.
    public var until: UInt64
    /// Nor those that come after so many nanoseconds without any: it may have timed out.
    public var idle: UInt64
    /// The number that it has with the carrier; 0 is none.
    public var number: UInt32
    /// Nothing has called it back since it was offered.
    public var isCarried: Bool
}

extension ConnectionTable {
    /// A connection that could be carried: TCP established in both directions, UDP and ICMP queries once confirmed, with
    /// nothing left to happen to packets of a direction that has a note but windows, counters and deadlines. `nil`
    /// otherwise.
    public func carriable(_ id: ConnectionID, now: Timestamp) -> CarriedConnection? {
        guard let index = slot(id), carrier != nil,
            storage[index].status.contains(.confirmed),
            !storage[index].status.contains(.dying), !storage[index].isCharged,
            storage[index].zone == .none, storage[index].expires > now.nanoseconds
        else { return nil }
        let isTCP = storage[index].original.protocol == .tcp
        let isUDP = storage[index].original.protocol == .udp
        guard isTCP ? storage[index].mayBeCarriedAsTCP : isUDP || storage[index].isQuery else {
            return nil
        }
        let timeout = storage[index].timeoutWhileCarried(settings).nanoseconds
        let becomesStream =
            isUDP && storage[index].status.contains(.seenReply)
            && !storage[index].status.contains(.assured)
        let expires = storage[index].expires
        return CarriedConnection(
            original: storage[index].original, reply: storage[index].reply, isTCP: isTCP,
            window: storage[index].tcp.carried,
            lastSeen: Timestamp(
                nanoseconds: expires > timeout ? min(expires &- timeout, now.nanoseconds) : 0),
            // The first packet behind it makes the flow a stream, which is told.
            until: becomesStream ? storage[index].streamStart &+ 1 : .max,
            idle: isTCP ? settings.leastEstablishedTimeout.nanoseconds : timeout,
            number: storage[index].number, isCarried: storage[index].isCarried)
    }

    /// What is noted about a direction (`note(_:for:_:)`); 0 is nothing.
    public func note(for id: ConnectionID, _ direction: Direction) -> UInt32 {
        guard let index = slot(id) else { return 0 }
        return direction == .original ? storage[index].originalNote : storage[index].replyNote
    }

    /// From here on packets of the connection may pass elsewhere, until it is recalled.
    public func carry(_ id: ConnectionID, as number: UInt32) {
        guard let index = slot(id) else { return }
        storage[index].number = number
        storage[index].isNumbered = true
        storage[index].isCarried = true
    }

    /// Brings in what has happened to a connection; it is carried on.
    public func catchUp(_ id: ConnectionID) {
        guard let index = slot(id) else { return }
        catchUp(index)
    }

    @inline(__always)
    func catchUp(_ index: UInt32) {
        if storage[index].isCarried { look(index) }
    }

    /// Before anything is judged, or ended.
    @inline(__always)
    func recall(_ index: UInt32) {
        if storage[index].isCarried { takeBack(index) }
    }

    /// Whether an entry's deadline has passed; that of a carried one moves without the entry.
    @inline(__always)
    func isPast(_ index: UInt32, _ now: Timestamp) -> Bool {
        guard storage[index].expires <= now.nanoseconds else { return false }
        catchUp(index)
        return storage[index].expires <= now.nanoseconds
    }

    /// Out of the table: nothing is left of it elsewhere.
    func releaseCarried(_ index: UInt32) {
        recall(index)
        carrier?.release(storage[index].number)
        storage[index].number = 0
        storage[index].isNumbered = false
    }

    @inline(never)
    private func look(_ index: UInt32) {
        guard let carrier else { return }
        settle(index, carrier.look(storage[index].number))
    }

    @inline(never)
    private func takeBack(_ index: UInt32) {
        storage[index].isCarried = false
        guard let carrier else { return }
        settle(index, carrier.recall(storage[index].number))
    }

    private func settle(_ index: UInt32, _ state: CarriedState) {
        guard !state.isUntouched else { return }
        if storage[index].original.protocol == .tcp {
            storage[index].tcp.take(state.window)
        }
        if storage[index].isCounted {
            storage[index].originalCounters.add(state.original)
            storage[index].replyCounters.add(state.reply)
        }
        let before = storage[index].expires
        let timeout = storage[index].timeoutWhileCarried(settings)
        storage[index].expires = (state.lastSeen + timeout).nanoseconds
        if storage[index].expires < before { refile(index) }
    }
}

extension Connection {
    /// In ESTABLISHED, and each end has said what it takes.
    fileprivate var mayBeCarriedAsTCP: Bool {
        status.contains([.assured, .seenReply]) && tcp.state == .established
            && tcp.originalEnd.maxWindow != 0
            && tcp.replyEnd.maxWindow != 0
    }

    fileprivate var isQuery: Bool { original.protocol == .icmp }

    /// The timeout that its last packet left, if that could be carried.
    fileprivate func timeoutWhileCarried(_ settings: borrowing ConntrackSettings) -> Seconds {
        switch original.protocol {
        case .tcp: tcp.timeout(after: .ack, settings)
        case .icmp: settings.icmpTimeout
        default: status.contains(.assured) ? settings.udpTimeoutStream : settings.udpTimeout
        }
    }
}

extension ConntrackSettings {
    /// The shortest that a plain segment in ESTABLISHED may leave.
    fileprivate var leastEstablishedTimeout: Seconds {
        min(timeout(.established), tcpTimeoutMaxRetrans, tcpTimeoutUnacknowledged)
    }
}

extension FlowCounters {
    fileprivate mutating func add(_ other: FlowCounters) {
        packets &+= other.packets
        bytes &+= other.bytes
    }
}

extension TCPTracking {
    var carried: CarriedWindow {
        var window = CarriedWindow()
        window.original = CarriedEnd(originalEnd)
        window.reply = CarriedEnd(replyEnd)
        window.lastSequence = lastSequence.rawValue
        window.lastAck = lastAck.rawValue
        window.lastEnd = lastEnd.rawValue
        window.lastWindow = lastWindow
        window.lastDirection = lastDirection
        window.retransmissions = retransmissions
        return window
    }

    /// After segments that were all ACKs in window.
    mutating func take(_ window: CarriedWindow) {
        originalEnd.take(window.original)
        replyEnd.take(window.reply)
        lastSequence = SequenceNumber(window.lastSequence)
        lastAck = SequenceNumber(window.lastAck)
        lastEnd = SequenceNumber(window.lastEnd)
        lastWindow = window.lastWindow
        lastDirection = window.lastDirection
        retransmissions = window.retransmissions
        lastKind = .ack
    }
}

extension CarriedEnd {
    fileprivate init(_ end: TCPEnd) {
        self.init(
            end: end.end.rawValue, maxEnd: end.maxEnd.rawValue, maxWindow: end.maxWindow,
            maxAck: end.maxAck.rawValue, scale: end.scale, flags: end.flags.rawValue)
    }
}

extension TCPEnd {
    fileprivate mutating func take(_ carried: CarriedEnd) {
        end = SequenceNumber(carried.end)
        maxEnd = SequenceNumber(carried.maxEnd)
        maxWindow = carried.maxWindow
        maxAck = SequenceNumber(carried.maxAck)
        flags = TCPEndFlags(rawValue: carried.flags)
    }
}
