// The settings of a node that a person changes while it runs, under the kernel's names: those of
// tracking, and those of `net.ipv4` that say what the node itself sends and keeps.

public import Conntrack
public import VirtualServer
public import Wire

public struct NodeSettings: Hashable, Sendable {
    public var conntrack = ConntrackSettings()
    /// `net.ipv4.icmp_*`.
    public var answers = AnswerLimits()
    /// `net.ipv4.ip_default_ttl`, for the packets the node makes.
    public var defaultTimeToLive: UInt8 = 64
    /// `net.ipv4.ipfrag_time`: how long fragments wait for the rest. Holds for datagrams that begin from
    /// now on.
    public var fragmentTimeout = Seconds(30)
    /// `net.ipv4.ipfrag_max_dist`: fragments of a sender's that may come between two of a datagram; 0 is any
    /// number.
    public var fragmentDistance: UInt32 = 64
    /// `net.ipv4.vs.*`.
    public var virtualServices = DirectorSettings()
    /// Connections that the table has room for: what `nf_conntrack_max` may be at most.
    public var capacity: Int
    /// `nf_conntrack_count`: entries in the table. Can only be read.
    public var connectionCount = 0
    /// `nf_conntrack_buckets`. Can only be read.
    public var bucketCount = 0

    public init(capacity: Int = 65_536) { self.capacity = capacity }
}

extension NodeSettings {
    /// All settings, in the order of their names.
    public static let named: [NamedSetting<NodeSettings>] =
        (ConntrackSettings.named.map { $0.of(\.conntrack) }
        + DirectorSettings.named.map { $0.of(\.virtualServices) } + table + internet)
        .sorted { $0.name < $1.name }

    public static func named(_ name: String) -> NamedSetting<NodeSettings>? {
        named.first { $0.name == name }
    }

    private static let table: [NamedSetting<NodeSettings>] = [
        NamedSetting(
            ConntrackSettings.prefix + "max", { 0...Int64($0.capacity) },
            get: { Int64($0.conntrack.maximum ?? UInt32(clamping: $0.capacity)) },
            // 0 is no limit of its own.
            set: { $0.conntrack.maximum = $1 == 0 ? nil : UInt32($1) }),
        NamedSetting(
            ConntrackSettings.prefix + "count", { _ in 0...0 },
            get: { Int64($0.connectionCount) }, set: nil),
        NamedSetting(
            ConntrackSettings.prefix + "buckets", { _ in 0...0 },
            get: { Int64($0.bucketCount) }, set: nil),
    ]

    private static let internet: [NamedSetting<NodeSettings>] = [
        NamedSetting(
            "net.ipv4.icmp_ratelimit", \.answers.ratelimitMilliseconds, 0...Int64(Int32.max)),
        // A set of bits that the kernel reads as a signed number.
        NamedSetting(
            "net.ipv4.icmp_ratemask", { _ in Int64(Int32.min)...Int64(Int32.max) },
            get: { Int64(Int32(bitPattern: $0.answers.ratemask)) },
            set: { $0.answers.ratemask = UInt32(bitPattern: Int32($1)) }),
        NamedSetting(
            "net.ipv4.icmp_msgs_per_sec", \.answers.messagesPerSecond, 0...Int64(Int32.max)),
        NamedSetting("net.ipv4.icmp_msgs_burst", \.answers.burst, 0...Int64(Int32.max)),
        NamedSetting("net.ipv4.ip_default_ttl", \.defaultTimeToLive, 1...255),
        NamedSetting(
            "net.ipv4.ipfrag_time", { _ in 0...8_589_934 },
            get: { Int64($0.fragmentTimeout.rawValue) },
            set: { $0.fragmentTimeout = Seconds(UInt32($1)) }),
        NamedSetting("net.ipv4.ipfrag_max_dist", \.fragmentDistance, 0...Int64(Int32.max)),
    ]
}

extension Dataplane {
    /// What the node does at present; what is set holds from the next packet on.
    public var settings: NodeSettings {
        get {
            let connections = engine.connections
            var settings = NodeSettings(capacity: connections.capacity)
            settings.conntrack = connections.settings
            settings.answers = limiter.limits
            settings.defaultTimeToLive = defaultTimeToLive
            settings.fragmentTimeout = reassembly.timeout
            settings.fragmentDistance = reassembly.maximumDistance
            settings.virtualServices = engine.director.settings
            settings.connectionCount = connections.count
            settings.bucketCount = connections.bucketCount
            return settings
        }
        set {
            engine.endPaths()
            engine.connections.settings = newValue.conntrack
            limiter.limits = newValue.answers
            defaultTimeToLive = newValue.defaultTimeToLive
            reassembly.timeout = newValue.fragmentTimeout
            reassembly.maximumDistance = newValue.fragmentDistance
            engine.director.settings = newValue.virtualServices
        }
    }
}
