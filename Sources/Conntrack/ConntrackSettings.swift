// The knobs of tracking, named after the kernel's sysctls (net.netfilter.nf_conntrack_*) with the
// kernel's defaults.

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
    /// Count packets and bytes (`nf_conntrack_acct`).
    public var acct = false
    /// Show when a connection began (`nf_conntrack_timestamp`).
    public var timestamp = false

    public init() {}

    /// The timeout that goes with a TCP state; SYN_SENT2 shares SYN_SENT's default and knob.
    @inlinable
    public func timeout(_ state: TCPState) -> Seconds {
        switch state {
        case .none: Seconds(0)
        case .synSent, .synSent2: tcpTimeoutSynSent
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
