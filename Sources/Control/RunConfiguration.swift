// What `sluice run` was asked for, before anything is touched.

import Conntrack
import Wire

public struct RunConfiguration: Sendable {
    public enum OnDeath: String, CaseIterable, Sendable { case open, closed }

    public var interfaces: [String]
    public var rulesFile: String?
    /// A name as `ip netns` knows it, or a path to a namespace file.
    public var networkNamespace: String?
    public var onDeath = OnDeath.open
    public var takesOver = false
    public var settings = ConntrackSettings()
    /// Connections that the table holds.
    public var capacity = 65_536
    public var seed: UInt64

    public init(interfaces: [String], seed: UInt64) {
        self.interfaces = interfaces
        self.seed = seed
    }
}

extension ConntrackSettings {
    private typealias Timeout = WritableKeyPath<ConntrackSettings, Seconds> & Sendable
    private typealias Switch = WritableKeyPath<ConntrackSettings, Bool> & Sendable

    /// The kernel's names behind `net.netfilter.nf_conntrack_`.
    private static let timeouts: [String: Timeout] = [
        "tcp_timeout_syn_sent": \.tcpTimeoutSynSent,
        "tcp_timeout_syn_recv": \.tcpTimeoutSynRecv,
        "tcp_timeout_established": \.tcpTimeoutEstablished,
        "tcp_timeout_fin_wait": \.tcpTimeoutFinWait,
        "tcp_timeout_close_wait": \.tcpTimeoutCloseWait,
        "tcp_timeout_last_ack": \.tcpTimeoutLastAck,
        "tcp_timeout_time_wait": \.tcpTimeoutTimeWait,
        "tcp_timeout_close": \.tcpTimeoutClose,
        "tcp_timeout_max_retrans": \.tcpTimeoutMaxRetrans,
        "tcp_timeout_unacknowledged": \.tcpTimeoutUnacknowledged,
        "udp_timeout": \.udpTimeout,
        "udp_timeout_stream": \.udpTimeoutStream,
        "icmp_timeout": \.icmpTimeout,
        "generic_timeout": \.genericTimeout,
    ]
    private static let switches: [String: Switch] = [
        "tcp_loose": \.tcpLoose,
        "tcp_be_liberal": \.tcpBeLiberal,
        "tcp_ignore_invalid_rst": \.tcpIgnoreInvalidRst,
        "checksum": \.checksum,
        "acct": \.acct,
        "timestamp": \.timestamp,
    ]

    /// Applies `key=value`, the key being the kernel's with or without its prefix.
    public mutating func set(_ assignment: String) throws(Refusal) {
        let parts = assignment.split(separator: "=", maxSplits: 1).map(String.init)
        guard parts.count == 2 else {
            throw Refusal("--set \(assignment): expected key=value")
        }
        var key = parts[0]
        for prefix in ["net.netfilter.", "nf_conntrack_"] where key.hasPrefix(prefix) {
            key.removeFirst(prefix.count)
        }
        if let path = Self.timeouts[key] {
            guard let seconds = UInt32(parts[1]) else {
                throw Refusal("--set \(assignment): expected whole seconds after '='")
            }
            self[keyPath: path] = Seconds(seconds)
        } else if let path = Self.switches[key] {
            guard parts[1] == "0" || parts[1] == "1" else {
                throw Refusal("--set \(assignment): expected 0 or 1 after '='")
            }
            self[keyPath: path] = parts[1] == "1"
        } else if key == "tcp_max_retrans" {
            guard let count = UInt8(parts[1]) else {
                throw Refusal("--set \(assignment): expected a number from 0 to 255 after '='")
            }
            tcpMaxRetrans = count
        } else {
            let known = (Array(Self.timeouts.keys) + Self.switches.keys + ["tcp_max_retrans"])
                .sorted().joined(separator: ", ")
            throw Refusal("--set \(assignment): expected one of \(known)")
        }
    }
}
