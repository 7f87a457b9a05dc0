// The clients of persistent services and the servers that they keep: what the kernel calls templates
// (net/netfilter/ipvs/ip_vs_conn.c, IP_VS_CONN_F_TEMPLATE). A fixed number of them, allocated when the first
// persistent service comes; full is an outcome that `remember` reports.
//
// A client is remembered for the service's timeout after its last new connection, and then on for as long as it
// has connections, looked at every 60 seconds.

import Conntrack
import Wire

struct ClientKey: Hashable {
    var network: UInt32
    /// The service's address, or its mark where `protocol` is 0.
    var service: UInt32
    var port: UInt16
    var `protocol`: UInt8
}

private let nobody = UInt32.max

private struct Client {
    var key: ClientKey
    var account: ServerAccount
    /// Nanoseconds.
    var timeout: UInt64
    var expires: UInt64
    var next: UInt32
    var isTaken: Bool
}

struct ClientTable {
    let capacity: Int
    private var clients: [Client] = []
    private var heads: [UInt32] = []
    private var free = nobody
    private(set) var count = 0
    /// Where the search for those whose time is over goes on.
    private var hand = 0

    init(capacity: Int) { self.capacity = capacity }

    mutating func allocate(_ connections: ConnectionTable) {
        guard clients.isEmpty else { return }
        let key = ClientKey(network: 0, service: 0, port: 0, protocol: 0)
        clients = (0..<capacity).map {
            Client(
                key: key, account: ServerAccount(rawValue: 0), timeout: 0, expires: 0,
                next: $0 + 1 < capacity ? UInt32($0 + 1) : nobody, isTaken: false)
        }
        free = 0
        var buckets = 16
        while buckets < capacity { buckets *= 2 }
        heads = [UInt32](repeating: nobody, count: buckets)
        connections.reserve(servers: 0, clients: capacity)
    }

    /// SplitMix64's last step: clients choose their addresses, but an address is all they can choose.
    private func bucket(_ key: ClientKey) -> Int {
        var value = UInt64(key.network) << 32 | UInt64(key.service)
        value ^= UInt64(key.port) << 8 | UInt64(key.protocol)
        value = (value ^ value >> 30) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
        return Int(truncatingIfNeeded: value >> 31) & (heads.count - 1)
    }

    func find(_ key: ClientKey, _ connections: ConnectionTable, now: Timestamp) -> ClientAccount? {
        guard !heads.isEmpty else { return nil }
        var index = heads[bucket(key)]
        while index != nobody {
            let client = clients[Int(index)]
            if client.key == key {
                let account = ClientAccount(rawValue: index)
                return isOver(Int(index), connections, now) ? nil : account
            }
            index = client.next
        }
        return nil
    }

    func server(of client: ClientAccount) -> ServerAccount {
        clients[Int(client.rawValue)].account
    }

    mutating func prolong(_ client: ClientAccount, now: Timestamp) {
        let index = Int(client.rawValue)
        clients[index].expires = now.nanoseconds &+ clients[index].timeout
    }

    /// The client keeps this server from now on, instead of another one that it may have had; `nil` where the
    /// table is full.
    mutating func remember(
        _ key: ClientKey, _ account: ServerAccount, _ timeout: Seconds,
        _ connections: ConnectionTable, now: Timestamp
    ) -> ClientAccount? {
        if free == nobody { sweep(connections, now: now, limit: 64) }
        let bucket = bucket(key)
        var index = heads[bucket]
        while index != nobody, clients[Int(index)].key != key { index = clients[Int(index)].next }
        if index != nobody {
            connections.count(client: -1, of: clients[Int(index)].account)
        } else {
            guard free != nobody else { return nil }
            index = free
            free = clients[Int(index)].next
            clients[Int(index)].key = key
            clients[Int(index)].isTaken = true
            clients[Int(index)].next = heads[bucket]
            heads[bucket] = index
            count += 1
            connections.begin(ClientAccount(rawValue: index))
        }
        let nanoseconds = UInt64(timeout.rawValue) &* 1_000_000_000
        clients[Int(index)].account = account
        clients[Int(index)].timeout = nanoseconds
        clients[Int(index)].expires = now.nanoseconds &+ nanoseconds
        connections.count(client: 1, of: account)
        return ClientAccount(rawValue: index)
    }

    /// Looks at `limit` slots and frees those whose time is over.
    mutating func sweep(_ connections: ConnectionTable, now: Timestamp, limit: Int) {
        guard count > 0 else { return }
        for _ in 0..<min(limit, clients.count) {
            hand = hand + 1 < clients.count ? hand + 1 : 0
            if clients[hand].isTaken, connections.use(of: hand.account).connections == 0,
                isOver(hand, connections, now)
            {
                forget(hand, connections)
            }
        }
    }

    private func isOver(_ index: Int, _ connections: ConnectionTable, _ now: Timestamp) -> Bool {
        let expires = clients[index].expires
        guard now.nanoseconds >= expires else { return false }
        let use = connections.use(of: index.account)
        if use.connections > 0 { return false }
        let late = use.lastEnd.nanoseconds
        guard late > expires else { return true }
        let steps = (late &- expires &+ secondLook &- 1) / secondLook
        return now.nanoseconds >= expires &+ steps &* secondLook
    }

    private mutating func forget(_ index: Int, _ connections: ConnectionTable) {
        let bucket = bucket(clients[index].key)
        let after = clients[index].next
        if heads[bucket] == UInt32(index) {
            heads[bucket] = after
        } else {
            var previous = Int(heads[bucket])
            while clients[previous].next != UInt32(index) { previous = Int(clients[previous].next) }
            clients[previous].next = after
        }
        connections.count(client: -1, of: clients[index].account)
        clients[index].isTaken = false
        clients[index].next = free
        free = UInt32(index)
        count -= 1
    }

    /// The clients that are remembered, for `-L -c`.
    func list(_ connections: ConnectionTable, now: Timestamp) -> [RememberedClient] {
        clients.indices.filter { clients[$0].isTaken && !isOver($0, connections, now) }.map {
            let client = clients[$0]
            let left = client.expires > now.nanoseconds ? client.expires &- now.nanoseconds : 0
            return RememberedClient(
                key: client.key, account: client.account,
                timeout: Seconds(UInt32(clamping: left / 1_000_000_000)),
                isAssured: connections.use(of: $0.account).isAssured)
        }
    }
}

/// One line of `-L -c`.
struct RememberedClient {
    var key: ClientKey
    var account: ServerAccount
    var timeout: Seconds
    /// One of its connections was answered.
    var isAssured: Bool
}

/// A client whose time is over but who has connections is looked at again after so many nanoseconds.
private let secondLook: UInt64 = 60_000_000_000

extension Int {
    fileprivate var account: ClientAccount { ClientAccount(rawValue: UInt32(self)) }
}
