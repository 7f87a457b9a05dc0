// Virtual services and their real servers as plain values: what `ipvsadm` edits, saves and lists. Every edit
// answers as the kernel does (net/netfilter/ipvs/ip_vs_ctl.c).
//
// Refuses to know packets and connections: `Director` carries out what is written here.

import Wire

/// What a virtual service is found by.
public enum ServiceKey: Hashable, Sendable {
    /// Port 0 stands for every port without a service of its own.
    case address(IPProtocol, IPv4Address, Port)
    case mark(UInt32)
}

extension ServiceKey: CustomStringConvertible {
    public var description: String {
        switch self {
        case .address(let `protocol`, let address, let port):
            "\(`protocol` == .tcp ? "TCP" : "UDP") \(address):\(port)"
        case .mark(let mark): "FWM \(mark)"
        }
    }
}

/// `-b`: what each flag means is the scheduler's affair.
public struct SchedulerFlags: OptionSet, Hashable, Sendable {
    public var rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    /// `flag-1`, `sh-fallback`, `mh-fallback`: another server where the chosen one takes nobody.
    public static let fallback = Self(rawValue: 1 << 0)
    /// `flag-2`, `sh-port`, `mh-port`: the client's port counts too.
    public static let port = Self(rawValue: 1 << 1)
    /// `flag-3`, which no scheduler reads.
    public static let third = Self(rawValue: 1 << 2)
}

/// `-p` and `-M`: which clients keep their server, and for how long.
public struct Persistence: Hashable, Sendable {
    public var timeout: Seconds
    /// Clients that agree in these bits count as one.
    public var mask: UInt32

    public init(timeout: Seconds, mask: UInt32 = .max) {
        self.timeout = timeout
        self.mask = mask
    }
}

/// A server that connections are sent to.
public struct RealServer: Hashable, Sendable {
    public var address: IPv4Address
    /// 0 leaves a connection the port that it asked for.
    public var port: Port
    public var weight: Int32
    /// The last weight above 0, which `mh` lays its table out by.
    public internal(set) var lastWeight: Int32
    /// From as many connections on it takes no more; 0 for never.
    public var upperThreshold: UInt32
    /// Below as many it takes some again; 0 for three quarters of the upper one.
    public var lowerThreshold: UInt32

    public init(
        address: IPv4Address, port: Port, weight: Int32 = 1, upperThreshold: UInt32 = 0,
        lowerThreshold: UInt32 = 0
    ) {
        self.address = address
        self.port = port
        self.weight = weight
        lastWeight = weight
        self.upperThreshold = upperThreshold
        self.lowerThreshold = lowerThreshold
    }
}

public struct VirtualService: Hashable, Sendable {
    public var key: ServiceKey
    /// The name of one of `Scheduler.all`.
    public var scheduler: String
    public var flags: SchedulerFlags
    public var persistence: Persistence?
    /// In the kernel's order, in which schedulers look at them: what was added last comes first.
    public internal(set) var servers: [RealServer] = []
    /// Tells it from one that was deleted and made again.
    public internal(set) var identity: UInt64 = 0

    public init(
        key: ServiceKey, scheduler: String = "wlc", flags: SchedulerFlags = [],
        persistence: Persistence? = nil
    ) {
        self.key = key
        self.scheduler = scheduler
        self.flags = flags
        self.persistence = persistence
    }
}

/// Why an edit was refused: the kernel's error number for it.
public enum ServiceEditError: Error, Hashable, Sendable {
    case serviceExists
    case noService
    case noScheduler
    case serverExists
    case noServer
    case thresholdsReversed
    /// `-r` names an address that is nobody's alone: broadcast, multicast, 0.0.0.0.
    case notUnicast
    /// More servers than `mh` has places.
    case tooManyServers
}

/// The virtual services of a node, in the order in which they were added.
public struct VirtualServices: Hashable, Sendable {
    public private(set) var services: [VirtualService] = []
    private var identities: UInt64 = 0

    public init() {}

    public subscript(key: ServiceKey) -> VirtualService? {
        services.first { $0.key == key }
    }

    private func index(_ key: ServiceKey) throws(ServiceEditError) -> Int {
        guard let index = services.firstIndex(where: { $0.key == key }) else { throw .noService }
        return index
    }

    // MARK: Services

    /// `-A`. The servers of `service` are not looked at.
    public mutating func add(_ service: VirtualService) throws(ServiceEditError) {
        guard self[service.key] == nil else { throw .serviceExists }
        guard Scheduler.named(service.scheduler) != nil else { throw .noScheduler }
        identities += 1
        var added = service
        added.servers = []
        added.identity = identities
        services.append(added)
    }

    /// `-E`: everything but the servers is as `service` says.
    public mutating func edit(_ service: VirtualService) throws(ServiceEditError) {
        let index = try index(service.key)
        guard Scheduler.named(service.scheduler) != nil else { throw .noScheduler }
        services[index].scheduler = service.scheduler
        services[index].flags = service.flags
        services[index].persistence = service.persistence
    }

    /// `-D`.
    public mutating func delete(_ key: ServiceKey) throws(ServiceEditError) {
        services.remove(at: try index(key))
    }

    /// `-C`.
    public mutating func clear() { services = [] }

    // MARK: Servers

    /// `-a`.
    public mutating func add(_ server: RealServer, to key: ServiceKey) throws(ServiceEditError) {
        let index = try index(key)
        guard server.lowerThreshold <= server.upperThreshold else { throw .thresholdsReversed }
        guard services[index].position(of: server) == nil else { throw .serverExists }
        if let most = Scheduler.named(services[index].scheduler)?.mostServers,
            services[index].servers.count >= most
        {
            throw .tooManyServers
        }
        services[index].servers.insert(server, at: 0)
    }

    /// `-e`.
    public mutating func edit(_ server: RealServer, of key: ServiceKey) throws(ServiceEditError) {
        let index = try index(key)
        guard server.lowerThreshold <= server.upperThreshold else { throw .thresholdsReversed }
        guard let position = services[index].position(of: server) else { throw .noServer }
        var edited = server
        if edited.weight == 0 { edited.lastWeight = services[index].servers[position].lastWeight }
        services[index].servers[position] = edited
    }

    /// `-d`.
    public mutating func delete(
        server address: IPv4Address, _ port: Port, of key: ServiceKey
    ) throws(ServiceEditError) {
        let index = try index(key)
        let wanted = RealServer(address: address, port: port)
        guard let position = services[index].position(of: wanted) else { throw .noServer }
        services[index].servers.remove(at: position)
    }
}

extension VirtualService {
    func position(of server: RealServer) -> Int? {
        servers.firstIndex { $0.address == server.address && $0.port == server.port }
    }
}
