// What the data plane asks of a port: batches of frames in, batches of frames out, and counters for
// everything that was lost on the way. Ports are AF_PACKET sockets, TAPs, capture files and memory;
// how they do it is `PacketIO`'s business. Nothing here makes a system call or knows a rule.

public import Wire

/// What a port says about a frame that it hands over.
@frozen
public struct FrameMetadata: Hashable, Sendable {
    /// The interface on which the frame came in.
    public var ingress: InterfaceIndex
    /// The state of its transport checksum and whether it is a super-frame.
    public var offload: OffloadHeader
    /// The mark of the socket that sent it; 0 where the port cannot know it.
    public var mark: UInt32
    /// The user of the socket that sent it; only the host port knows it.
    public var userID: UInt32?
    /// That user's group, with which the socket was opened.
    public var groupID: UInt32?
    /// `now` of the receiving call for live ports, the capture's own time for files.
    public var time: Timestamp
    /// Length on the wire; larger than the span where a capture cut the frame short.
    public var wireLength: Int

    @inlinable
    public init(
        ingress: InterfaceIndex, offload: OffloadHeader = .none, mark: UInt32 = 0,
        userID: UInt32? = nil, groupID: UInt32? = nil, time: Timestamp, wireLength: Int
    ) {
        self.ingress = ingress
        self.offload = offload
        self.mark = mark
        self.userID = userID
        self.groupID = groupID
        self.time = time
        self.wireLength = wireLength
    }
}

/// What the data plane says about a frame that it sends.
@frozen
public struct TransmitMetadata: Hashable, Sendable {
    public var offload: OffloadHeader
    /// Host port only: the interface on which the packet is to appear to the kernel's sockets.
    public var appearsOn: InterfaceIndex
    public var time: Timestamp

    @inlinable
    public init(offload: OffloadHeader = .none, appearsOn: InterfaceIndex = .none, time: Timestamp)
    {
        self.offload = offload
        self.appearsOn = appearsOn
        self.time = time
    }
}

/// What became of the thing behind a port.
public enum PortCondition: Hashable, Sendable {
    case up
    /// The interface is administratively down (ENETDOWN); it may come back.
    case down
    /// The interface was removed (ENXIO, ENODEV); it never comes back under this index.
    case gone
    /// A file or a memory port has no more frames.
    case exhausted
    /// A system call failed in a way that is none of the above; the value is errno.
    case failed(Int32)
}

/// Counters of a port; each only grows.
@frozen
public struct PortStatistics: Hashable, Sendable {
    public var receivedFrames: UInt64 = 0
    public var receivedBytes: UInt64 = 0
    public var sentFrames: UInt64 = 0
    public var sentBytes: UInt64 = 0
    /// Frames that the kernel dropped before Sluice could read them: the ring or the queue was full.
    public var overruns: UInt64 = 0
    /// Frames that arrived cut short because no buffer could hold them; they are not handed over.
    public var oversized: UInt64 = 0
    /// Frames that the kernel refused to send, or still had no room for after the retries.
    public var failedSends: UInt64 = 0
    /// Times that a full transmit queue was tried again.
    public var sendRetries: UInt64 = 0

    @inlinable public init() {}
}

/// A source and sink of Ethernet frames, used by one worker at a time.
///
/// A round is: `receive`, any number of `enqueue` on any ports, `flush` on each of those ports, then
/// `releaseBatch`. Frames are never copied on the way: what `enqueue` is given stays where it is, so
/// its bytes must not change until `flush` returns, and `flush` must come before the `releaseBatch`
/// of the port that the bytes came from. What has to wait longer (for a neighbour, for its other
/// fragments) is copied by whoever makes it wait.
public protocol FramePort: AnyObject {
    var interface: InterfaceIndex { get }
    var name: String { get }
    /// Becomes readable when there are frames; -1 for files and memory.
    var descriptor: Int32 { get }
    var condition: PortCondition { get }
    /// Reading may ask the kernel for its own drop counters: for the control path.
    var statistics: PortStatistics { get }

    /// Hands over up to `limit` waiting frames, without blocking; returns how many.
    ///
    /// The spans' memory stays valid until `releaseBatch`. Each frame starts with its Ethernet header.
    func receive(
        limit: Int, now: Timestamp, _ body: (inout MutableRawSpan, FrameMetadata) -> Void
    ) -> Int

    /// Queues a frame that starts with its Ethernet header. Flushes by itself when the queue is full.
    func enqueue(_ frame: RawSpan, _ metadata: TransmitMetadata)

    /// Sends what is queued. A frame that cannot be sent is counted, never retried later.
    func flush()

    /// Gives the memory of the received batch back.
    func releaseBatch()
}
