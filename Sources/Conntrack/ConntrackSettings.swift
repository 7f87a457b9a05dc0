// The knobs of tracking, named after the kernel's sysctls (net.netfilter.nf_conntrack_*) with the
// kernel's defaults. A change holds for every packet from then on, also of connections that exist, but
// for what is decided when a connection begins (`acct`, `timestamp`).

import Wire

public struct ConntrackSettings: Hashable, Sendable {
    public var tcpTimeoutSynSent = Seconds(120)
    public var tcpTimeoutSynRecv = Seconds(60)
    public var tcpTimeoutEstablished = Seconds(432_000)
    public var tcpTimeoutFinWait = Seconds(120)
    public var tcpTimeoutCloseWait = Seconds(60)
    public var tcpTimeoutLastAck = Seconds(30)
    public var tcpTimeoutTimeWait = Seconds(120)
    public var tcpTimeoutClose = Seconds(10)
    public var tcpTimeoutMaxRetrans = Seconds(300)
    public var tcpTimeoutUnacknowledged = Seconds(300)
    public var udpTimeout = Seconds(30)
    public var udpTimeoutStream = Seconds(120)
    public var icmpTimeout = Seconds(30)
    public var genericTimeout = Seconds(600)

    /// Retransmissions after which `tcpTimeoutMaxRetrans` applies.
    public var tcpMaxRetrans: UInt8 = 3
    /// Pick up connections whose beginning was not seen.
    public var tcpLoose = true
    /// Only a RST out of window is INVALID.
    public var tcpBeLiberal = false
    /// Not even a RST out of window is INVALID.
    public var tcpIgnoreInvalidRst = false
    /// Verify checksums of incoming packets.
    public var checksum = true
    /// Count packets and bytes of connections that begin from now on.
    public var acct = false
    /// Note when connections begin and end, of those that begin from now on.
    public var timestamp = false
    /// Whether listeners are told what happens to connections that begin from now on: 0 never, 1 always, 2
    /// if somebody listens when they begin.
    public var events: UInt8 = 2
    /// Connections that are tracked at once; `nil` leaves it to the table's capacity.
    public var maximum: UInt32?

    public init() {}

    /// The timeout that goes with a TCP state. SYN_SENT2's is no setting.
    @inlinable
    public func timeout(_ state: TCPState) -> Seconds {
        switch state {
        case .none: Seconds(0)
        case .synSent: tcpTimeoutSynSent
        case .synSent2: Seconds(120)
        case .synRecv: tcpTimeoutSynRecv
        case .established: tcpTimeoutEstablished
        case .finWait: tcpTimeoutFinWait
        case .closeWait: tcpTimeoutCloseWait
        case .lastAck: tcpTimeoutLastAck
        case .timeWait: tcpTimeoutTimeWait
        case .close: tcpTimeoutClose
        }
    }
}
