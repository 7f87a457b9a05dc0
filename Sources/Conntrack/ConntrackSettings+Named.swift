// The settings of tracking under the kernel's names (nf_conntrack_standalone.c), with its ranges.
//
// Not among them: what belongs to trackers that Sluice does not have (IPv6, SCTP, DCCP, GRE, helpers).

import Wire

extension ConntrackSettings {
    /// What stands before every name here.
    public static let prefix = "net.netfilter.nf_conntrack_"

    /// In the order of their names.
    public static let named: [NamedSetting<ConntrackSettings>] =
        (timeouts.map { seconds($0, $1) } + switches.map { NamedSetting(prefix + $0, $1) } + [
            NamedSetting(prefix + "tcp_max_retrans", \.tcpMaxRetrans, 0...255),
            NamedSetting(prefix + "events", \.events, 0...2),
            // Sluice writes no log of its own about INVALID packets: a rule can.
            NamedSetting(prefix + "log_invalid", { _ in 0...0 }, get: { _ in 0 }, set: nil),
        ]).sorted { $0.name < $1.name }

    private typealias Path<Value> = WritableKeyPath<ConntrackSettings, Value> & Sendable

    private static let timeouts: [(String, Path<Seconds>)] = [
        ("tcp_timeout_syn_sent", \.tcpTimeoutSynSent),
        ("tcp_timeout_syn_recv", \.tcpTimeoutSynRecv),
        ("tcp_timeout_established", \.tcpTimeoutEstablished),
        ("tcp_timeout_fin_wait", \.tcpTimeoutFinWait),
        ("tcp_timeout_close_wait", \.tcpTimeoutCloseWait),
        ("tcp_timeout_last_ack", \.tcpTimeoutLastAck),
        ("tcp_timeout_time_wait", \.tcpTimeoutTimeWait),
        ("tcp_timeout_close", \.tcpTimeoutClose),
        ("tcp_timeout_max_retrans", \.tcpTimeoutMaxRetrans),
        ("tcp_timeout_unacknowledged", \.tcpTimeoutUnacknowledged),
        ("udp_timeout", \.udpTimeout),
        ("udp_timeout_stream", \.udpTimeoutStream),
        ("icmp_timeout", \.icmpTimeout),
        ("generic_timeout", \.genericTimeout),
    ]

    private static let switches: [(String, Path<Bool>)] = [
        ("tcp_loose", \.tcpLoose),
        ("tcp_be_liberal", \.tcpBeLiberal),
        ("tcp_ignore_invalid_rst", \.tcpIgnoreInvalidRst),
        ("checksum", \.checksum),
        ("acct", \.acct),
        ("timestamp", \.timestamp),
    ]

    /// The kernel counts in ticks that must fit an `int`: at 250 a second, this many seconds.
    private static let longestTimeout: Int64 = 8_589_934

    private static func seconds(
        _ name: String, _ path: Path<Seconds>
    ) -> NamedSetting<ConntrackSettings> {
        NamedSetting(
            prefix + name, { _ in 0...longestTimeout },
            get: { Int64($0[keyPath: path].rawValue) },
            set: { $0[keyPath: path] = Seconds(UInt32($1)) })
    }
}
