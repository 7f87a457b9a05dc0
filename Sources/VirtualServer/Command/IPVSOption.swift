// The options of ipvsadm 1.31, and which command takes which.

/// An option by what it means.
enum IPVSOption: Hashable {
    case command(IPVSVerb)
    case help, version
    case tcpService, udpService, sctpService, markService
    case scheduler, persistent, netmask, schedulerFlags, engine, onePacket, ipv6
    case server, masquerading, tunneling, gatewaying, weight, upperThreshold, lowerThreshold
    case numeric, connection, timeout, daemon, statistics, rate, thresholds, persistentConnections
    case noSort, sort, exact, tunnelInformation
    /// Of the synchronisation daemon and of tunnels: known by name, and refused.
    case unsupported(String, IPVSOptionName)

    static let table: [CommandWords.Option] = [
        option("add-service", "A", .command(.addService)),
        option("edit-service", "E", .command(.editService)),
        option("delete-service", "D", .command(.deleteService)),
        option("clear", "C", .command(.flush)), option("list", "L", .command(.list)),
        option("list", "l", .command(.list)), option("zero", "Z", .command(.zero)),
        option("add-server", "a", .command(.addServer)),
        option("edit-server", "e", .command(.editServer)),
        option("delete-server", "d", .command(.deleteServer)), option("set", nil, .command(.set)),
        option("help", "h", .help), option("version", "v", .version),
        option("restore", "R", .command(.restore)), option("save", "S", .command(.save)),
        option("start-daemon", nil, .command(.startDaemon), .required),
        option("stop-daemon", nil, .command(.stopDaemon), .required),
        option("tcp-service", "t", .tcpService, .required),
        option("udp-service", "u", .udpService, .required),
        option("sctp-service", nil, .sctpService, .required),
        option("fwmark-service", "f", .markService, .required),
        option("scheduler", "s", .scheduler, .required),
        option("persistent", "p", .persistent, .optional),
        option("netmask", "M", .netmask, .required), option("real-server", "r", .server, .required),
        option("masquerading", "m", .masquerading), option("ipip", "i", .tunneling),
        option("gatewaying", "g", .gatewaying), option("weight", "w", .weight, .required),
        option("u-threshold", "x", .upperThreshold, .required),
        option("l-threshold", "y", .lowerThreshold, .required),
        option("numeric", "n", .numeric), option("connection", "c", .connection),
        unsupported("mcast-interface", .multicast), unsupported("syncid", .syncID),
        option("timeout", nil, .timeout), option("daemon", nil, .daemon),
        option("stats", nil, .statistics), option("rate", nil, .rate),
        option("thresholds", nil, .thresholds),
        option("persistent-conn", nil, .persistentConnections), option("nosort", nil, .noSort),
        option("sort", nil, .sort), option("exact", "X", .exact), option("ipv6", "6", .ipv6),
        option("ops", "o", .onePacket), option("pe", nil, .engine, .required),
        option("sched-flags", "b", .schedulerFlags, .required),
        unsupported("mcast-group", .multicastGroup), unsupported("mcast-port", .multicastPort),
        unsupported("mcast-ttl", .multicastTTL), unsupported("sync-maxlen", .syncLength),
        option("tun-info", nil, .tunnelInformation), unsupported("tun-type", .tunnelType),
        unsupported("tun-port", .tunnelPort),
        unsupported("tun-nocsum", .tunnelNoChecksum, .none),
        unsupported("tun-csum", .tunnelChecksum, .none),
        unsupported("tun-remcsum", .tunnelRemoteChecksum, .none),
    ]

    private static func option(
        _ long: String, _ short: Character?, _ tag: IPVSOption, _ value: OptionValue = .none
    ) -> CommandWords.Option {
        CommandWords.Option(long: long, short: short, value: value, tag: tag)
    }

    private static func unsupported(
        _ long: String, _ name: IPVSOptionName, _ value: OptionValue = .required
    ) -> CommandWords.Option {
        option(long, nil, .unsupported("--\(long)", name), value)
    }
}

/// The names under which ipvsadm complains of options, in its order, which is the order of its complaints.
enum IPVSOptionName: String, CaseIterable {
    case numeric, connection
    case service = "service-address"
    case scheduler, persistent, netmask
    case server = "real-server"
    case forwarding = "forwarding-method"
    case weight
    case upperThreshold = "u-threshold"
    case lowerThreshold = "l-threshold"
    case multicast = "mcast-interface"
    case timeout, daemon
    case statistics = "stats"
    case rate, thresholds
    case persistentConnections = "persistent-conn"
    case noSort = "nosort"
    case syncID = "syncid"
    case exact
    case onePacket = "ops"
    case engine = "pe"
    case schedulerFlags = "sched-flags"
    case multicastGroup = "mcast-group"
    case multicastPort = "mcast-port"
    case multicastTTL = "mcast-ttl"
    case syncLength = "sync-maxlen"
    case tunnelInformation = "tun-info"
    case tunnelType = "tun-type"
    case tunnelPort = "tun-port"
    case tunnelNoChecksum = "tun-nocsum"
    case tunnelChecksum = "tun-csum"
    case tunnelRemoteChecksum = "tun-remcsum"
}

/// The commands under the names that complaints give them.
enum IPVSVerb: String {
    case addService = "add-service"
    case editService = "edit-service"
    case deleteService = "delete-service"
    case flush, list
    case addServer = "add-server"
    case deleteServer = "delete-server"
    case editServer = "edit-server"
    case set
    case startDaemon = "start-daemon"
    case stopDaemon = "stop-daemon"
    case restore, save, zero

    /// What it cannot do without.
    var required: Set<IPVSOptionName> {
        switch self {
        case .addService, .editService, .deleteService: [.service]
        case .addServer, .editServer, .deleteServer: [.service, .server]
        default: []
        }
    }

    /// What it takes besides.
    var optional: Set<IPVSOptionName> {
        switch self {
        case .addService, .editService:
            [.scheduler, .persistent, .netmask, .onePacket, .engine, .schedulerFlags]
        case .list:
            [
                .numeric, .statistics, .rate, .thresholds, .persistentConnections, .noSort,
                .syncID, .exact, .tunnelInformation,
            ]
        case .addServer, .editServer:
            [
                .forwarding, .weight, .upperThreshold, .lowerThreshold, .tunnelType, .tunnelPort,
                .tunnelNoChecksum, .tunnelChecksum, .tunnelRemoteChecksum,
            ]
        case .startDaemon:
            [
                .multicast, .syncID, .multicastGroup, .multicastPort, .multicastTTL, .syncLength,
            ]
        case .stopDaemon: [.syncID]
        case .save: [.numeric]
        case .zero: [.service]
        default: []
        }
    }

    /// Of which it takes one.
    var exclusive: Set<IPVSOptionName> {
        self == .list ? [.connection, .service, .timeout, .daemon] : []
    }
}
