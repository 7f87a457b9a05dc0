// What a scheduler is: a table of functions, one file each (`struct ip_vs_scheduler` in
// include/net/ip_vs.h). A new one is a file with such a table and its name in `all`.
//
// A scheduler is asked for the first packet of a connection only. It may not allocate, and it reads no clock
// and no random source: the same services and packets choose the same servers.

import Conntrack
import Wire

/// Who asks.
public struct Flow: Hashable, Sendable {
    public var client: IPv4Address
    public var clientPort: Port
    public var destination: IPv4Address

    public init(client: IPv4Address, clientPort: Port, destination: IPv4Address) {
        self.client = client
        self.clientPort = clientPort
        self.destination = destination
    }
}

/// A server as schedulers see it.
public struct Candidate: Hashable, Sendable {
    public var server: RealServer
    /// Where its load is counted.
    public var account: ServerAccount

    public init(server: RealServer, account: ServerAccount) {
        self.server = server
        self.account = account
    }
}

/// The servers to choose among, in the kernel's order.
public struct Candidates {
    public let servers: [Candidate]
    /// What the scheduler laid out when the servers changed: positions in `servers`.
    public let table: [UInt16]
    public let flags: SchedulerFlags
    private let connections: ConnectionTable

    public init(
        servers: [Candidate], table: [UInt16], flags: SchedulerFlags, connections: ConnectionTable
    ) {
        self.servers = servers
        self.table = table
        self.flags = flags
        self.connections = connections
    }

    public var count: Int { servers.count }
    func weight(_ position: Int) -> Int64 { Int64(servers[position].server.weight) }
    func load(_ position: Int) -> ServerLoad { connections.load(of: servers[position].account) }
    func isOverloaded(_ position: Int) -> Bool { load(position).isOverloaded }
    /// Whether it takes new connections.
    func takes(_ position: Int) -> Bool { weight(position) > 0 && !isOverloaded(position) }
}

/// What a scheduler remembers of a service from one connection to the next.
public struct SchedulerState: Hashable, Sendable {
    /// The position chosen last; -1 before the first server.
    var cursor = -1
    // Of `wrr` alone.
    var currentWeight: Int64 = 0
    var highestWeight: Int64 = 0
    var step: Int64 = 1

    public init() {}
}

public struct Scheduler: Sendable {
    /// As `-s` says it.
    public let name: String
    /// How many servers it can choose among.
    public var mostServers: Int? = nil
    /// Lays a table out for these servers; between packets.
    var layOut: @Sendable ([Candidate]) -> [UInt16] = { _ in [] }
    /// Servers were added, removed or edited: from `old` to `new`; between packets.
    var follow: @Sendable (inout SchedulerState, _ old: [Candidate], _ new: [Candidate]) -> Void =
        { _, _, _ in }
    /// The position of the server for a new connection; `nil` where nobody takes it.
    let choose: @Sendable (Candidates, inout SchedulerState, Flow) -> Int?

    public static let all: [Scheduler] = [
        .roundRobin, .weightedRoundRobin, .leastConnection, .weightedLeastConnection,
        .sourceHashing, .destinationHashing, .maglevHashing, .shortestExpectedDelay, .neverQueue,
    ]

    public static func named(_ name: String) -> Scheduler? { all.first { $0.name == name } }
}
