// Which server has which account of the connection table. A server keeps its account, and what was counted there,
// while it is edited, and for two minutes after it was removed, or longer if connections hold on to it
// (IP_VS_DEST_TRASH_PERIOD).

import Conntrack
import Wire

/// Whose account it is.
struct AccountOwner: Hashable {
    var service: ServiceKey
    var address: IPv4Address
    var port: Port
}

struct ServerAccounts {
    private struct Account {
        /// `nil` in a free one.
        var owner: AccountOwner?
        /// The service it counted for.
        var identity: UInt64 = 0
        var retired: Timestamp?
        /// What had been counted at the last `-Z`.
        var zero = ServerTraffic()
        var estimate = RateEstimate(from: ServerTraffic())
    }

    private static let keptFor = Seconds(120)

    private var accounts: [Account] = []
    private var numbers: [AccountOwner: UInt32] = [:]
    private var free: [UInt32] = []
    /// What servers counted whose accounts are free.
    private var past: [ServiceKey: ServerTraffic] = [:]
    /// Which service it was counted for.
    private var pastIdentities: [ServiceKey: UInt64] = [:]

    /// No account is in use.
    var isEmpty: Bool { numbers.isEmpty }

    /// Connections, or clients that are remembered, hold on to some of them.
    func areHeld(_ connections: ConnectionTable) -> Bool {
        numbers.values.contains { connections.load(of: ServerAccount(rawValue: $0)).isInUse }
    }

    func owner(of account: ServerAccount) -> AccountOwner? {
        accounts[Int(account.rawValue)].owner
    }

    func account(of server: RealServer, in key: ServiceKey) -> ServerAccount? {
        numbers[AccountOwner(service: key, address: server.address, port: server.port)]
            .map(ServerAccount.init(rawValue:))
    }

    /// Every server is removed until `claim` says otherwise.
    mutating func retire(_ connections: ConnectionTable, now: Timestamp) {
        for number in numbers.values {
            var load = connections.load(of: ServerAccount(rawValue: number))
            if load.isAvailable { accounts[Int(number)].retired = now }
            load.isAvailable = false
            connections.setLoad(of: ServerAccount(rawValue: number), load)
        }
    }

    /// The accounts of a service's servers, in their order.
    mutating func claim(
        _ service: VirtualService, _ connections: ConnectionTable
    ) -> [ServerAccount] {
        if pastIdentities[service.key] != service.identity {
            past[service.key] = nil
            pastIdentities[service.key] = service.identity
        }
        return service.servers.map { server in
            let owner = AccountOwner(
                service: service.key, address: server.address, port: server.port)
            let number = numbers[owner] ?? open(owner, connections)
            let account = ServerAccount(rawValue: number)
            var load = connections.load(of: account)
            if accounts[Int(number)].identity != service.identity {
                accounts[Int(number)].identity = service.identity
                accounts[Int(number)].zero = load.traffic
                accounts[Int(number)].estimate = RateEstimate(from: load.traffic)
            }
            accounts[Int(number)].retired = nil
            load.isAvailable = true
            // A higher threshold, or none, lifts the overload at once (__ip_vs_update_dest).
            if server.upperThreshold == 0 || server.upperThreshold > load.upperThreshold {
                load.isOverloaded = false
            }
            load.upperThreshold = server.upperThreshold
            load.lowerThreshold = server.lowerThreshold
            connections.setLoad(of: account, load)
            return account
        }
    }

    private mutating func open(
        _ owner: AccountOwner, _ connections: ConnectionTable
    ) -> UInt32 {
        let number = free.popLast() ?? UInt32(accounts.count)
        if Int(number) == accounts.count {
            accounts.append(Account())
            connections.reserve(servers: accounts.count, clients: 0)
        }
        accounts[Int(number)] = Account(owner: owner)
        connections.setLoad(of: ServerAccount(rawValue: number), ServerLoad())
        numbers[owner] = number
        return number
    }

    /// Frees what belongs to no service and is held by nobody.
    mutating func free(_ connections: ConnectionTable, now: Timestamp) {
        for (owner, number) in numbers {
            let account = ServerAccount(rawValue: number)
            guard let retired = accounts[Int(number)].retired, retired + Self.keptFor <= now,
                !connections.load(of: account).isInUse
            else { continue }
            past[owner.service, default: ServerTraffic()].add(shown(account, connections).traffic)
            accounts[Int(number)].owner = nil
            numbers[owner] = nil
            free.append(number)
        }
    }

    // MARK: Counters

    func shown(_ account: ServerAccount, _ connections: ConnectionTable) -> ServerLoad {
        var load = connections.load(of: account)
        load.traffic.subtract(accounts[Int(account.rawValue)].zero)
        return load
    }

    /// Of the servers of one service, removed ones included, or of all.
    mutating func zero(_ key: ServiceKey?, _ connections: ConnectionTable) {
        for (owner, number) in numbers where key == nil || owner.service == key {
            let traffic = connections.load(of: ServerAccount(rawValue: number)).traffic
            accounts[Int(number)].zero = traffic
            accounts[Int(number)].estimate = RateEstimate(from: traffic)
        }
        if let key { past[key] = nil } else { past = [:] }
    }

    mutating func tick(_ connections: ConnectionTable) {
        for number in numbers.values {
            let traffic = connections.load(of: ServerAccount(rawValue: number)).traffic
            accounts[Int(number)].estimate.tick(traffic)
        }
    }

    func rates(of account: ServerAccount) -> ServerRates {
        accounts[Int(account.rawValue)].estimate.rates
    }

    /// The numbers of a service's accounts.
    private func numbers(of key: ServiceKey) -> [Int] {
        let identity = pastIdentities[key]
        return numbers.filter {
            $0.key.service == key && accounts[Int($0.value)].identity == identity
        }.map { Int($0.value) }
    }

    func rates(of key: ServiceKey) -> ServerRates {
        var sum = ServerRates()
        for number in numbers(of: key) { sum.add(accounts[number].estimate.rates) }
        return sum
    }

    func traffic(of key: ServiceKey, _ connections: ConnectionTable) -> ServerTraffic {
        var sum = past[key] ?? ServerTraffic()
        for number in numbers(of: key) {
            sum.add(shown(ServerAccount(rawValue: UInt32(number)), connections).traffic)
        }
        return sum
    }
}

extension ServerTraffic {
    mutating func add(_ other: ServerTraffic) {
        connections &+= other.connections
        packetsIn &+= other.packetsIn
        packetsOut &+= other.packetsOut
        bytesIn &+= other.bytesIn
        bytesOut &+= other.bytesOut
    }

    mutating func subtract(_ other: ServerTraffic) {
        connections &-= other.connections
        packetsIn &-= other.packetsIn
        packetsOut &-= other.packetsOut
        bytesIn &-= other.bytesIn
        bytesOut &-= other.bytesOut
    }
}
