// The virtual services at work: finds the service of a new connection and lets its scheduler choose the server
// (net/netfilter/ipvs/ip_vs_core.c, ip_vs_schedule and ip_vs_sched_persist). "Director" is the Linux Virtual
// Server's word for the node that does this.
//
// `follow` takes new services between packets and allocates; `choose` runs for the first packet of a connection
// and does not. What has become of a connection is the connection table's affair, which keeps each server's
// load; a server that was removed keeps its account as long as connections hold on to it, and gets it back if
// it is added again (ip_vs_ctl.c, ip_vs_trash_get_dest).

import Conntrack
import Wire

/// The first packet of a connection, as far as virtual services look at it.
public struct NewConnection: Hashable, Sendable {
    public var `protocol`: IPProtocol
    public var client: IPv4Address
    public var clientPort: Port
    public var destination: IPv4Address
    public var destinationPort: Port
    public var mark: UInt32

    public init(
        protocol: IPProtocol, client: IPv4Address, clientPort: Port, destination: IPv4Address,
        destinationPort: Port, mark: UInt32
    ) {
        self.protocol = `protocol`
        self.client = client
        self.clientPort = clientPort
        self.destination = destination
        self.destinationPort = destinationPort
        self.mark = mark
    }
}

/// What a virtual service says of a new connection; plain values, for traces.
public struct Scheduling: Hashable, Sendable {
    public enum Outcome: Hashable, Sendable {
        /// `keeps`: the client had this server before.
        case server(IPv4Address, Port, keeps: Bool)
        /// Nobody takes connections.
        case nobody
        /// There is no room to remember another client.
        case noRoom
    }

    public var service: ServiceKey
    public var scheduler: String
    public var outcome: Outcome
    /// Whom to charge the connection to.
    public var account: ServerAccount?
    public var client: ClientAccount?
}

/// What is to become of connections and clients whose server takes no new ones.
public struct DirectorSettings: Hashable, Sendable {
    /// `expire_nodest_conn`: a packet to a server that was removed ends its connection.
    public var endsConnections = false
    /// `expire_quiescent_template`: a client does not keep a server of weight 0.
    public var forgetsClients = false

    public init() {}
}

extension DirectorSettings {
    /// Under the kernel's names (ip_vs_ctl.c, vs_vars); what is not among them has its default there.
    public static let named: [NamedSetting<DirectorSettings>] = [
        NamedSetting("net.ipv4.vs.expire_nodest_conn", \.endsConnections),
        NamedSetting("net.ipv4.vs.expire_quiescent_template", \.forgetsClients),
    ]
}

public final class Director {
    public private(set) var services = VirtualServices()
    /// Whether any packet has to be looked at: there are services, or connections that were sent to a server.
    public private(set) var isActive = false { didSet { onActivity?(isActive) } }
    /// Told of `isActive`.
    public var onActivity: ((Bool) -> Void)?
    public var settings = DirectorSettings()

    let connections: ConnectionTable
    private var working: [WorkingService] = []
    /// Parallel to `working`.
    private var states: [SchedulerState] = []
    private var index = ServiceIndex(keys: [])
    private var accounts = ServerAccounts()
    private var nextEstimate = Timestamp(nanoseconds: 0)
    var clients: ClientTable

    /// - Parameter clientCapacity: clients of persistent services that can be remembered at once.
    public init(_ connections: ConnectionTable, clientCapacity: Int = 65_536) {
        self.connections = connections
        clients = ClientTable(capacity: clientCapacity)
    }

    // MARK: Between packets

    /// Takes the place of the former services. Schedulers go on where they were.
    public func follow(_ services: VirtualServices, now: Timestamp) {
        let former = working
        let formerStates = states
        self.services = services
        accounts.retire(connections, now: now)
        working = services.services.map { service in
            WorkingService(service, accounts: accounts.claim(service, connections))
        }
        states = working.map { service in
            var state = SchedulerState()
            var old: [Candidate] = []
            if let before = former.firstIndex(where: { $0.isContinued(by: service) }) {
                state = formerStates[before]
                old = former[before].servers
            }
            if old != service.servers { service.scheduler.follow(&state, old, service.servers) }
            return state
        }
        index = ServiceIndex(keys: services.services.map(\.key))
        if services.services.contains(where: { $0.persistence != nil }) {
            clients.allocate(connections)
        }
        accounts.free(connections, now: now)
        isActive = !working.isEmpty || accounts.areHeld(connections)
    }

    /// Time passes: forgets clients whose time is over, at most `limit` of them looked at, and servers that
    /// nobody holds on to; every two seconds it looks at the rates. To be called once per batch.
    public func expire(now: Timestamp, limit: Int = 256) {
        guard isActive || !accounts.isEmpty else { return }
        clients.sweep(connections, now: now, limit: limit)
        if now >= nextEstimate {
            nextEstimate = now + Seconds(2)
            accounts.tick(connections)
        }
        guard working.isEmpty else { return }
        accounts.free(connections, now: now)
        isActive = accounts.areHeld(connections)
    }

    /// `-Z`: of one service or of all.
    public func zero(_ key: ServiceKey?) { accounts.zero(key, connections) }

    /// What there is to show of a service: its traffic and rates, removed servers included.
    public func counted(of key: ServiceKey) -> (traffic: ServerTraffic, rates: ServerRates) {
        (accounts.traffic(of: key, connections), accounts.rates(of: key))
    }

    /// The same of one of its servers, with its load.
    public func counted(
        of server: RealServer, in key: ServiceKey
    ) -> (load: ServerLoad, rates: ServerRates) {
        guard let account = accounts.account(of: server, in: key) else {
            return (ServerLoad(), ServerRates())
        }
        return (accounts.shown(account, connections), accounts.rates(of: account))
    }

    func owner(of account: ServerAccount) -> AccountOwner? { accounts.owner(of: account) }

    // MARK: New connections

    /// Whether a service is meant, and whom its scheduler chooses; `nil` where no service is meant.
    ///
    /// - Parameter counting: off in a dry run, which remembers neither clients nor turns.
    public func choose(
        _ connection: NewConnection, now: Timestamp, counting: Bool
    ) -> Scheduling? {
        // Never the data connection of active FTP, which the server opens.
        guard connection.clientPort.rawValue != 20, let found = index.find(connection) else {
            return nil
        }
        let service = working[found]
        var scheduling = Scheduling(
            service: service.key, scheduler: service.scheduler.name, outcome: .nobody)
        if let persistence = service.persistence {
            keep(connection, found, service, persistence, now, counting, &scheduling)
        } else if let position = schedule(connection, found, service, counting) {
            settle(service, service.servers[position], connection, keeps: false, &scheduling)
        }
        return scheduling
    }

    private func schedule(
        _ connection: NewConnection, _ found: Int, _ service: WorkingService, _ counting: Bool
    ) -> Int? {
        let flow = Flow(
            client: connection.client, clientPort: connection.clientPort,
            destination: connection.destination)
        var state = states[found]
        let position = service.scheduler.choose(service.candidates(connections), &state, flow)
        if counting { states[found] = state }
        return position
    }

    private func settle(
        _ service: WorkingService, _ candidate: Candidate, _ connection: NewConnection,
        keeps: Bool, _ scheduling: inout Scheduling
    ) {
        scheduling.account = candidate.account
        let server = candidate.server
        var port = server.port
        if port.rawValue == 0 || !service.translatesPort(of: connection) {
            port = connection.destinationPort
        }
        scheduling.outcome = .server(server.address, port, keeps: keeps)
    }

    /// `ip_vs_sched_persist`.
    private func keep(
        _ connection: NewConnection, _ found: Int, _ service: WorkingService,
        _ persistence: Persistence, _ now: Timestamp, _ counting: Bool,
        _ scheduling: inout Scheduling
    ) {
        let key = service.clientKey(of: connection, mask: persistence.mask)
        if let client = clients.find(key, connections, now: now) {
            let account = clients.server(of: client)
            if connections.load(of: account).isAvailable,
                let position = service.position(of: account),
                !settings.forgetsClients || service.servers[position].server.weight > 0
            {
                if counting { clients.prolong(client, now: now) }
                scheduling.client = client
                return settle(
                    service, service.servers[position], connection, keeps: true, &scheduling)
            }
        }
        guard let position = schedule(connection, found, service, counting) else { return }
        let candidate = service.servers[position]
        if counting {
            guard
                let client = clients.remember(
                    key, candidate.account, persistence.timeout, connections, now: now)
            else {
                scheduling.outcome = .noRoom
                return
            }
            scheduling.client = client
        }
        settle(service, candidate, connection, keeps: false, &scheduling)
    }
}

/// A service as `choose` uses it.
struct WorkingService {
    let key: ServiceKey
    let identity: UInt64
    let scheduler: Scheduler
    let flags: SchedulerFlags
    let persistence: Persistence?
    let servers: [Candidate]
    let table: [UInt16]

    init(_ service: VirtualService, accounts: [ServerAccount]) {
        guard let scheduler = Scheduler.named(service.scheduler) else {
            preconditionFailure("a service has a scheduler that there is")
        }
        self.scheduler = scheduler
        key = service.key
        identity = service.identity
        flags = service.flags
        persistence = service.persistence
        servers = zip(service.servers, accounts).map { Candidate(server: $0, account: $1) }
        table = scheduler.layOut(servers)
    }

    /// Whether `other` is the same service later on, its scheduler unchanged.
    func isContinued(by other: WorkingService) -> Bool {
        identity == other.identity && scheduler.name == other.scheduler.name
    }

    func candidates(_ connections: ConnectionTable) -> Candidates {
        Candidates(servers: servers, table: table, flags: flags, connections: connections)
    }

    /// A loop of its own: the generic one allocates where it is not specialised.
    func position(of account: ServerAccount) -> Int? {
        for position in 0..<servers.count where servers[position].account == account {
            return position
        }
        return nil
    }

    /// Whether a server's own port takes the place of the one asked for: a persistent service leaves it
    /// to connections to its own port, of which a firewall mark has none.
    func translatesPort(of connection: NewConnection) -> Bool {
        guard persistence != nil else { return true }
        guard case .address(_, _, let port) = key else {
            return connection.destinationPort.rawValue == 0
        }
        return connection.destinationPort == port
    }

    /// Under what a client is remembered.
    func clientKey(of connection: NewConnection, mask: UInt32) -> ClientKey {
        let network = connection.client.rawValue & mask
        switch key {
        case .mark(let mark):
            return ClientKey(network: network, service: mark, port: 0, protocol: 0)
        case .address(let `protocol`, let address, let port):
            return ClientKey(
                network: network, service: address.rawValue, port: port.rawValue,
                protocol: `protocol`.rawValue)
        }
    }
}
