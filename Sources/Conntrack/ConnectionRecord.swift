// A snapshot of one entry as a plain value: what `conntrack` prints and filters. No reference to the
// table, no strings.

import Wire

/// Packets and bytes of one direction.
@frozen
public struct FlowCounters: Hashable, Sendable {
    public var packets: UInt64
    public var bytes: UInt64
    @inlinable
    public init(packets: UInt64 = 0, bytes: UInt64 = 0) {
        self.packets = packets
        self.bytes = bytes
    }
}

public struct ConnectionRecord: Hashable, Sendable {
    public var connection: ConnectionID
    /// What `-o id` shows.
    public var id: UInt32
    public var original: Tuple
    public var reply: Tuple
    public var status: ConnectionStatus
    public var mark: UInt32
    public var zone = Zone.none
    /// In an event: the mark is news, even where it is 0.
    public var markChanged = false
    /// Time left.
    public var timeout: Seconds
    /// TCP only.
    public var tcpState: TCPState?
    /// `nil` while accounting is off.
    public var counters: (original: FlowCounters, reply: FlowCounters)? {
        get { counted ? (originalCounters, replyCounters) : nil }
        set {
            counted = newValue != nil
            originalCounters = newValue?.original ?? FlowCounters()
            replyCounters = newValue?.reply ?? FlowCounters()
        }
    }
    /// When it was confirmed, on the clock of the table's owner; `nil` while timestamps are off.
    public var start: Timestamp?
    /// When it was destroyed; only in a DESTROY event, while timestamps are on.
    public var stop: Timestamp?
    var counted = false
    var originalCounters = FlowCounters()
    var replyCounters = FlowCounters()

    public init(
        connection: ConnectionID, id: UInt32, original: Tuple, reply: Tuple,
        status: ConnectionStatus, mark: UInt32, timeout: Seconds, tcpState: TCPState?,
        start: Timestamp? = nil
    ) {
        self.connection = connection
        self.id = id
        self.original = original
        self.reply = reply
        self.status = status
        self.mark = mark
        self.timeout = timeout
        self.tcpState = tcpState
        self.start = start
    }
}

/// Something that happened to an entry, for `conntrack -E`.
public struct ConnectionEvent: Hashable, Sendable {
    public enum Kind: UInt8, Sendable { case new, update, destroy }
    public var kind: Kind
    public var time: Timestamp
    public var record: ConnectionRecord

    public init(kind: Kind, time: Timestamp, record: ConnectionRecord) {
        self.kind = kind
        self.time = time
        self.record = record
    }
}
