import Conntrack
import Testing
import Wire

@testable import VirtualServer

/// Servers 10.0.1.1, 10.0.1.2 … with weights, in the kernel's order, and their loads.
struct Pool {
    let connections = ConnectionTable(capacity: 4, seed: 1)
    var servers: [Candidate]

    init(weights: [Int32]) {
        connections.reserve(servers: weights.count, clients: 0)
        servers = weights.enumerated().map { index, weight in
            Candidate(
                server: RealServer(
                    address: IPv4Address(10, 0, 1, UInt8(index + 1)), port: Port(80), weight: weight
                ),
                account: ServerAccount(rawValue: UInt32(index)))
        }
    }

    func setLoad(_ index: Int, active: UInt32 = 0, inactive: UInt32 = 0, isOverloaded: Bool = false)
    {
        var load = ServerLoad()
        load.active = active
        load.inactive = inactive
        load.isOverloaded = isOverloaded
        connections.setLoad(of: ServerAccount(rawValue: UInt32(index)), load)
    }

    func candidates(_ scheduler: Scheduler, _ flags: SchedulerFlags = []) -> Candidates {
        Candidates(
            servers: servers, table: scheduler.layOut(servers), flags: flags,
            connections: connections)
    }

    /// A state that has seen the servers come, the last of the list first.
    func state(_ scheduler: Scheduler) -> SchedulerState {
        var state = SchedulerState()
        for count in 1...servers.count {
            scheduler.follow(
                &state, Array(servers.suffix(count - 1)), Array(servers.suffix(count)))
        }
        return state
    }

    /// The choices for `count` connections of one client.
    func sequence(
        _ scheduler: Scheduler, _ count: Int, _ state: inout SchedulerState
    ) -> [Int?] {
        let candidates = candidates(scheduler)
        return (0..<count).map { _ in scheduler.choose(candidates, &state, flow(1)) }
    }

    func sequence(_ scheduler: Scheduler, _ count: Int) -> [Int?] {
        var state = state(scheduler)
        return sequence(scheduler, count, &state)
    }
}

/// A connection of a client of its own.
func flow(_ number: UInt32, port: UInt16 = 1024, to destination: UInt32 = 0x0A64_0001) -> Flow {
    Flow(
        client: IPv4Address(rawValue: 0xC000_0200 &+ number), clientPort: Port(port),
        destination: IPv4Address(rawValue: destination))
}

@Suite("Schedulers that take turns")
struct TurnTests {
    @Test("rr goes around, and past servers of weight 0 and overloaded ones")
    func roundRobin() {
        let pool = Pool(weights: [1, 5, 0, 1])
        #expect(pool.sequence(.roundRobin, 7) == [0, 1, 3, 0, 1, 3, 0])
        pool.setLoad(1, isOverloaded: true)
        #expect(pool.sequence(.roundRobin, 4) == [0, 3, 0, 3])
    }

    @Test("rr with one server left takes it every time, and with none nobody")
    func roundRobinOfOne() {
        #expect(Pool(weights: [0, 1, 0]).sequence(.roundRobin, 3) == [1, 1, 1])
        #expect(Pool(weights: [0, 0]).sequence(.roundRobin, 2) == [nil, nil])
    }

    @Test("rr goes on behind the last one when servers come and go")
    func roundRobinFollows() {
        let pool = Pool(weights: [1, 1, 1])
        var state = pool.state(.roundRobin)
        #expect(pool.sequence(.roundRobin, 2, &state) == [0, 1])
        // The one chosen last goes: the next is the one behind it.
        var fewer = pool
        fewer.servers.remove(at: 1)
        Scheduler.roundRobin.follow(&state, pool.servers, fewer.servers)
        #expect(fewer.sequence(.roundRobin, 3, &state) == [1, 0, 1])
        Scheduler.roundRobin.follow(&state, fewer.servers, pool.servers)
        #expect(pool.sequence(.roundRobin, 2, &state) == [0, 1])
    }

    /// By hand from ip_vs_wrr.c: servers come one by one, which leaves the bar at 1, so that the first round takes
    /// everybody; then come the rounds from the highest weight down.
    @Test(
        "wrr takes each as often as its weight says, spread over the cycle",
        arguments: [
            ([1, 3], [0, 1, 1, 1, 0, 1, 1, 1, 0, 1]),
            ([4, 2], [0, 1, 0, 0, 1, 0, 0, 1]),
            ([2, 2], [0, 1, 0, 1]),
            ([3, 0, 1], [0, 2, 0, 0, 0, 2, 0, 0]),
        ] as [([Int32], [Int])])
    func weightedRoundRobin(weights: [Int32], order: [Int]) {
        let pool = Pool(weights: weights)
        #expect(pool.sequence(.weightedRoundRobin, order.count) == order.map { $0 })
    }

    @Test("over whole cycles wrr gives every server exactly its share")
    func shares() {
        let weights: [Int32] = [5, 1, 0, 3, 7, 7, 2]
        let pool = Pool(weights: weights)
        var state = pool.state(.weightedRoundRobin)
        // Past the first round, which takes everybody once.
        _ = pool.sequence(.weightedRoundRobin, 6, &state)
        let sum = Int(weights.reduce(0, +))
        var counts = [Int](repeating: 0, count: weights.count)
        for choice in pool.sequence(.weightedRoundRobin, 40 * sum, &state) {
            if let choice { counts[choice] += 1 }
        }
        #expect(counts == weights.map { 40 * Int($0) })
    }

    @Test("wrr with nobody to take gives up, and finds whoever comes back")
    func weightedRoundRobinOfNone() {
        let pool = Pool(weights: [3, 2])
        var state = pool.state(.weightedRoundRobin)
        pool.setLoad(0, isOverloaded: true)
        pool.setLoad(1, isOverloaded: true)
        #expect(pool.sequence(.weightedRoundRobin, 2, &state) == [nil, nil])
        pool.setLoad(1)
        #expect(pool.sequence(.weightedRoundRobin, 2, &state) == [1, 1])
        #expect(Pool(weights: [0, 0]).sequence(.weightedRoundRobin, 1) == [nil])
    }

    @Test("wrr begins at the top again when a weight changes")
    func weightChanges() {
        var pool = Pool(weights: [1, 1, 1])
        var state = pool.state(.weightedRoundRobin)
        #expect(pool.sequence(.weightedRoundRobin, 2, &state) == [0, 1])
        let before = pool.servers
        pool.servers[2].server.weight = 2
        Scheduler.weightedRoundRobin.follow(&state, before, pool.servers)
        #expect(pool.sequence(.weightedRoundRobin, 5, &state) == [0, 1, 2, 2, 0])
    }
}

@Suite("Schedulers that count connections")
struct LoadTests {
    private func choice(_ scheduler: Scheduler, _ pool: Pool) -> Int? {
        var state = SchedulerState()
        return scheduler.choose(pool.candidates(scheduler), &state, flow(1))
    }

    @Test("an active connection weighs as much as 256 inactive ones")
    func overhead() {
        let pool = Pool(weights: [1, 1])
        pool.setLoad(0, active: 1)
        pool.setLoad(1, inactive: 255)
        for scheduler in [Scheduler.leastConnection, .weightedLeastConnection] {
            #expect(choice(scheduler, pool) == 1, "\(scheduler.name)")
        }
        pool.setLoad(1, inactive: 257)
        for scheduler in [Scheduler.leastConnection, .weightedLeastConnection] {
            #expect(choice(scheduler, pool) == 0, "\(scheduler.name)")
        }
    }

    @Test("lc does not look at weights, wlc does")
    func weights() {
        let pool = Pool(weights: [1, 10])
        pool.setLoad(0, active: 1)
        pool.setLoad(1, active: 9)
        #expect(choice(.leastConnection, pool) == 0)
        #expect(choice(.weightedLeastConnection, pool) == 1)
    }

    @Test("sed counts the new connection: an idle slow server may wait for a fast one")
    func shortestExpectedDelay() {
        let pool = Pool(weights: [1, 4])
        pool.setLoad(1, active: 2)
        // 1/1 against 3/4.
        #expect(choice(.shortestExpectedDelay, pool) == 1)
        #expect(choice(.weightedLeastConnection, pool) == 0)
        // nq lets nobody stand idle.
        #expect(choice(.neverQueue, pool) == 0)
        pool.setLoad(0, active: 1)
        #expect(choice(.neverQueue, pool) == 1)
    }

    @Test("of equals the first of the list is taken")
    func equals() {
        for scheduler in [
            Scheduler.leastConnection, .weightedLeastConnection, .shortestExpectedDelay,
            .neverQueue,
        ] {
            #expect(choice(scheduler, Pool(weights: [2, 2, 2])) == 0, "\(scheduler.name)")
        }
    }

    @Test("weight 0 and overload take no connections, whatever the load")
    func unavailable() {
        for scheduler in [
            Scheduler.leastConnection, .weightedLeastConnection, .shortestExpectedDelay,
            .neverQueue,
        ] {
            let pool = Pool(weights: [0, 1, 1])
            pool.setLoad(1, isOverloaded: true)
            pool.setLoad(2, active: 1000)
            #expect(choice(scheduler, pool) == 2, "\(scheduler.name)")
            pool.setLoad(2, isOverloaded: true)
            #expect(choice(scheduler, pool) == nil, "\(scheduler.name)")
        }
    }
}

@Suite("Schedulers that hash")
struct HashingTests {
    private func choices(
        _ scheduler: Scheduler, _ pool: Pool, _ flags: SchedulerFlags = [], flows: [Flow]
    ) -> [Int?] {
        let candidates = pool.candidates(scheduler, flags)
        var state = SchedulerState()
        return flows.map { scheduler.choose(candidates, &state, $0) }
    }

    private func many(_ count: UInt32) -> [Flow] { (0..<count).map { flow($0 &* 7919) } }

    private func counts(_ choices: [Int?], _ size: Int) -> [Int] {
        var counts = [Int](repeating: 0, count: size)
        for choice in choices { if let choice { counts[choice] += 1 } }
        return counts
    }

    /// The vector of four bytes in lib/tests/siphash_kunit.c, test_vectors_hsiphash.
    @Test("SipHash-1-3 of 00 01 02 03 under the key 00 01 … 0f is the kernel's")
    func sipHash() {
        let key = (UInt64(0x0706_0504_0302_0100), UInt64(0x0F0E_0D0C_0B0A_0908))
        #expect(SipHash13.hash(0x0302_0100, key: key) == 0x88D3_8328)
    }

    @Test("sh and dh place an address by hash_32: the golden ratio's upper 8 bits")
    func hash32() {
        // 0x0A000001 * 0x61C88647 = …, modulo 2^32; the upper byte.
        #expect(hashOf32Bits(1) == 0x61)
        #expect(hashOf32Bits(0x0A00_0001) == (0x0A00_0001 &* 0x61C8_8647) >> 24)
    }

    @Test(
        "a client keeps its server, whatever its port, until the port is to count",
        arguments: ["sh", "mh"])
    func stays(name: String) throws {
        let scheduler = try #require(Scheduler.named(name))
        let pool = Pool(weights: [1, 1, 1, 1])
        let flows = (0..<100).map { flow(5, port: 1000 + UInt16($0)) }
        #expect(Set(choices(scheduler, pool, flows: flows)).count == 1)
        #expect(Set(choices(scheduler, pool, .port, flows: flows)).count == 4)
    }

    @Test("sh gives places by weight, dh to all alike")
    func places() {
        let pool = Pool(weights: [3, 1])
        #expect(counts(pool.candidates(.sourceHashing).table.map { Int($0) }, 2) == [192, 64])
        #expect(
            counts(pool.candidates(.destinationHashing).table.map { Int($0) }, 2) == [128, 128])
    }

    @Test("dh looks at the destination alone")
    func destination() {
        let pool = Pool(weights: [1, 1, 1])
        let byClient = choices(.destinationHashing, pool, flows: many(50))
        #expect(Set(byClient).count == 1)
        let byDestination = choices(
            .destinationHashing, pool, flows: (0..<200).map { flow(1, to: 0x0A64_0000 + $0) })
        #expect(Set(byDestination).count == 3)
    }

    @Test(
        "who hashes to a server that takes nobody is refused, or falls back to another",
        arguments: ["sh", "mh"])
    func fallback(name: String) throws {
        let scheduler = try #require(Scheduler.named(name))
        let pool = Pool(weights: [1, 1, 1])
        let before = choices(scheduler, pool, flows: many(300))
        pool.setLoad(1, isOverloaded: true)
        let refused = choices(scheduler, pool, flows: many(300))
        let fallen = choices(scheduler, pool, .fallback, flows: many(300))
        for (index, choice) in before.enumerated() {
            #expect(refused[index] == (choice == 1 ? nil : choice))
            if choice != 1 { #expect(fallen[index] == choice) }
            #expect(fallen[index] != nil && fallen[index] != 1)
        }
        #expect(Set(fallen) == [0, 2])
        for index in 0..<3 { pool.setLoad(index, isOverloaded: true) }
        #expect(choices(scheduler, pool, .fallback, flows: many(5)) == [nil, nil, nil, nil, nil])
    }

    @Test("without servers nobody is chosen", arguments: ["sh", "dh", "mh"])
    func empty(name: String) throws {
        let scheduler = try #require(Scheduler.named(name))
        #expect(choices(scheduler, Pool(weights: []), flows: many(2)) == [nil, nil])
    }

    @Test("Maglev's table is full, and no server has more than one place above another")
    func balance() {
        for size in [1, 2, 3, 7, 50, 200] {
            let pool = Pool(weights: [Int32](repeating: 1, count: size))
            let table = pool.candidates(.maglevHashing).table
            #expect(table.count == maglevPlaces)
            let counts = counts(table.map { Int($0) }, size)
            #expect(counts.max()! - counts.min()! <= 1, "\(size) servers")
        }
    }

    @Test("Maglev's places go by weight")
    func maglevWeights() {
        let pool = Pool(weights: [1, 2, 5, 0])
        let counts = counts(pool.candidates(.maglevHashing).table.map { Int($0) }, 4)
        let share = Double(maglevPlaces) / 8
        for (count, weight) in zip(counts, [1.0, 2, 5, 0]) {
            #expect(abs(Double(count) - weight * share) <= 5)
        }
    }

    /// The paper measures some per cent of places that change hands between servers that stay (its figure 12,
    /// for a table of 65,537); a plain remainder would move nearly all.
    @Test("when a server leaves Maglev, its places are shared out, and few others change")
    func disruption() {
        let pool = Pool(weights: [Int32](repeating: 1, count: 10))
        let before = pool.candidates(.maglevHashing).table
        var fewer = pool
        fewer.servers.remove(at: 4)
        let after = fewer.candidates(.maglevHashing).table
        var moved = 0
        for place in 0..<maglevPlaces {
            let old = pool.servers[Int(before[place])].account
            let new = fewer.servers[Int(after[place])].account
            if old != new, old.rawValue != 4 { moved += 1 }
        }
        #expect(moved * 100 < maglevPlaces * 6, "\(moved) of \(maglevPlaces)")
    }

    @Test("a server that is drained keeps its places in Maglev's table, so that nobody else moves")
    func draining() throws {
        var services = VirtualServices()
        let key = ServiceKey.address(.tcp, IPv4Address(10, 0, 0, 1), Port(80))
        try services.add(VirtualService(key: key, scheduler: "mh"))
        for last in UInt8(1)...4 {
            try services.add(
                RealServer(address: IPv4Address(10, 0, 1, last), port: Port(80), weight: 2), to: key
            )
        }
        func table() throws -> [UInt16] {
            let servers = try #require(services[key]).servers
            return Scheduler.maglevHashing.layOut(
                servers.map { Candidate(server: $0, account: ServerAccount(rawValue: 0)) })
        }
        let before = try table()
        try services.edit(
            RealServer(address: IPv4Address(10, 0, 1, 2), port: Port(80), weight: 0), of: key)
        #expect(try table() == before)
    }

    @Test("hashing spreads clients over servers", arguments: ["sh", "mh"])
    func spread(name: String) throws {
        let scheduler = try #require(Scheduler.named(name))
        let pool = Pool(weights: [1, 1, 1, 1])
        let counts = counts(choices(scheduler, pool, flows: many(4000)), 4)
        for count in counts { #expect((800...1200).contains(count), "\(counts)") }
    }
}
