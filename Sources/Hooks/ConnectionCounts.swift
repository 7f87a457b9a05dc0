// How many connections `-m connlimit` counts (net/netfilter/nf_conncount.c, Linux 6.18): for each rule and
// network the tuples of the connections that met it. Those that are gone, or that TCP has closed, are
// found out when the network is asked about again.

import Conntrack
import Ruleset
import Wire

private let nobody = UInt32.max
/// CONNCOUNT_GC_MAX_COLLECT.
private let mostCollected = 64
/// CONNCOUNT_GC_MAX_NODES.
private let mostReclaimed = 8

private struct CountedConnection: BitwiseCopyable {
    var tuple: Tuple
    var zone: Zone
    var next = nobody
}

/// What is counted for one network.
private struct CountedNetwork: BitwiseCopyable {
    /// `nobody` in a free slot.
    var rule: UInt32
    var address: UInt32
    var zone: UInt16
    var next = nobody
    var first = nobody
    var last = nobody
    var count: Int32 = 0
    /// The tick of the last clearing out, and what was left then.
    var cleared: UInt64 = 0
    var left: Int32 = 0
}

/// The connection of a packet.
struct CountedPacket {
    var tuple: Tuple
    var zone: Zone
    var isConfirmed: Bool
    var isAssured: Bool
}

final class ConnectionCounts {
    private struct Owner: Hashable {
        var rule: RuleID
        var position: Int32
    }

    private let table: ConnectionTable
    private var owners: [Owner] = []
    private var tests: [ConnlimitMatch] = []
    private var heads = Slab<UInt32>(count: 0)
    private var networks = Slab<CountedNetwork>(count: 0)
    private var connections = Slab<CountedConnection>(count: 0)
    private var freeNetwork = nobody
    private var freeConnection = nobody
    private var touchedNetworks: UInt32 = 0
    private var touchedConnections: UInt32 = 0
    /// Where the search for networks that are over goes on.
    private var hand = 0

    init(_ table: ConnectionTable) { self.table = table }

    // MARK: Between packets

    func follow(_ rules: [Stateful<ConnlimitMatch>]) {
        tests = rules.map(\.match)
        let wanted = rules.map { Owner(rule: $0.rule, position: $0.position) }
        guard wanted != owners else { return }
        let former = owners
        let touched = touchedNetworks
        owners = wanted
        // Every rule can count every connection.
        let capacity = min(owners.count * table.capacity, Int(nobody) - 1)
        heads = Slab(count: owners.isEmpty ? 0 : 4096, repeating: nobody)
        var oldNetworks = Slab<CountedNetwork>(count: capacity)
        var oldConnections = Slab<CountedConnection>(count: capacity)
        swap(&networks, &oldNetworks)
        swap(&connections, &oldConnections)
        (freeNetwork, freeConnection, touchedNetworks, touchedConnections) = (nobody, nobody, 0, 0)
        hand = 0
        for index in 0..<Int(touched) where oldNetworks[index].rule != nobody {
            let old = oldNetworks[index]
            guard let rule = wanted.firstIndex(of: former[Int(old.rule)]),
                let network = insert(
                    UInt32(rule), old.address, old.zone, Ticks(rawValue: old.cleared))
            else { continue }
            var link = old.first
            while link != nobody {
                let connection = oldConnections[Int(link)]
                add(network, connection.tuple, connection.zone)
                link = connection.next
            }
            networks[network].left = old.left
        }
    }

    // MARK: Packets

    /// Whether the rule matches; `nil` where nothing could be counted, for which the packet is dropped.
    func evaluate(
        _ rule: Int, _ view: PacketView, _ packet: CountedPacket, now: Timestamp, counting: Bool
    ) -> Bool? {
        let test = tests[rule]
        let mask: UInt32 = test.prefixLength == 0 ? 0 : .max << (32 - UInt32(test.prefixLength))
        let address = (test.ofDestination ? view.destination : view.source).rawValue & mask
        let zone = max(packet.zone.original, packet.zone.reply)
        let count =
            counting
            ? self.count(UInt32(rule), address, zone, packet, now)
            : peek(UInt32(rule), address, zone, packet, now)
        return count == 0 ? nil : (count > test.limit) != test.upTo
    }

    /// `count_tree`.
    private func count(
        _ rule: UInt32, _ address: UInt32, _ zone: UInt16, _ packet: CountedPacket, _ now: Timestamp
    ) -> UInt32 {
        if isShort { reclaim(now) }
        guard let network = find(rule, address, zone) else {
            guard let fresh = insert(rule, address, zone, Ticks(now)),
                add(fresh, packet.tuple, packet.zone)
            else { return 0 }
            return 1
        }
        // A network stays when its connections are gone: for one of them that still sends there is
        // nothing to count then, and its packet is dropped.
        //
        // What is assured has been counted, or never will be.
        if packet.isConfirmed, packet.isAssured {
            if networks[network].cleared != Ticks(now).rawValue { _ = clear(network, nil, now) }
            return UInt32(networks[network].count)
        }
        let isRecent =
            networks[network].cleared == Ticks(now).rawValue
            && networks[network].count - networks[network].left < mostCollected
        if packet.isConfirmed || !isRecent, clear(network, packet, now) {
            return UInt32(networks[network].count)
        }
        guard add(network, packet.tuple, packet.zone) else { return 0 }
        return UInt32(networks[network].count)
    }

    /// What `count` would say.
    private func peek(
        _ rule: UInt32, _ address: UInt32, _ zone: UInt16, _ packet: CountedPacket, _ now: Timestamp
    ) -> UInt32 {
        guard let network = find(rule, address, zone) else { return 1 }
        var count: UInt32 = 0
        var isThere = packet.isConfirmed && packet.isAssured
        var link = networks[network].first
        while link != nobody {
            let connection = connections[Int(link)]
            if isAlive(connection, now) { count += 1 }
            if isSame(connection, packet, now) { isThere = true }
            link = connection.next
        }
        return isThere ? count : count + 1
    }

    private func isAlive(_ connection: CountedConnection, _ now: Timestamp) -> Bool {
        guard let (id, _) = table.find(connection.tuple, zone: connection.zone, now: now) else {
            return false
        }
        let state = table.tcpState(id)
        return state != .timeWait && state != .close
    }

    /// Whether the packet is of what was counted. A packet that answers a connection that begins in another zone
    /// never is, and counts anew each time (6.18).
    private func isSame(
        _ connection: CountedConnection, _ packet: CountedPacket, _ now: Timestamp
    ) -> Bool {
        guard connection.tuple == packet.tuple,
            let (id, _) = table.find(connection.tuple, zone: connection.zone, now: now)
        else { return false }
        return table.zone(id).original == packet.zone.original
    }

    /// Drops what is gone; `true`, and nothing more is looked at, where the packet's own connection is
    /// among what is there.
    private func clear(_ network: Int, _ packet: CountedPacket?, _ now: Timestamp) -> Bool {
        var collected = 0
        var before = nobody
        var link = networks[network].first
        while link != nobody, collected <= mostCollected {
            let connection = connections[Int(link)]
            if let packet, isSame(connection, packet, now) { return true }
            let exists = table.find(connection.tuple, zone: connection.zone, now: now) != nil
            if exists, isAlive(connection, now) {
                before = link
            } else {
                drop(network, link, after: before)
                collected += 1
            }
            link = connection.next
        }
        networks[network].cleared = Ticks(now).rawValue
        networks[network].left = networks[network].count
        return false
    }

    // MARK: Slots

    /// Whether every slot of either kind has been used and none is free.
    private var isShort: Bool {
        (freeNetwork == nobody && Int(touchedNetworks) == networks.count)
            || (freeConnection == nobody && Int(touchedConnections) == connections.count)
    }

    /// Looks at a few networks for whom nobody has asked for long and frees what is over. The kernel
    /// does that while it looks for the place of a new network (`insert_tree`).
    private func reclaim(_ now: Timestamp) {
        for _ in 0..<min(mostReclaimed, Int(touchedNetworks)) {
            hand = hand + 1 < Int(touchedNetworks) ? hand + 1 : 0
            guard networks[hand].rule != nobody else { continue }
            _ = clear(hand, nil, now)
            if networks[hand].count == 0 { remove(hand) }
        }
    }

    private func bucket(_ rule: UInt32, _ address: UInt32, _ zone: UInt16) -> Int {
        let mixed =
            (UInt64(address) << 32 | UInt64(rule) << 16 | UInt64(zone)) &* 0x9E37_79B9_7F4A_7C15
        return Int(mixed >> 52)
    }

    private func find(_ rule: UInt32, _ address: UInt32, _ zone: UInt16) -> Int? {
        var link = heads[bucket(rule, address, zone)]
        while link != nobody {
            let network = networks[Int(link)]
            if network.address == address, network.rule == rule, network.zone == zone {
                return Int(link)
            }
            link = network.next
        }
        return nil
    }

    private func insert(
        _ rule: UInt32, _ address: UInt32, _ zone: UInt16, _ now: Ticks
    ) -> Int? {
        var link = freeNetwork
        if link != nobody {
            freeNetwork = networks[Int(link)].next
        } else {
            guard Int(touchedNetworks) < networks.count else { return nil }
            link = touchedNetworks
            touchedNetworks += 1
        }
        let bucket = bucket(rule, address, zone)
        var network = CountedNetwork(rule: rule, address: address, zone: zone)
        network.next = heads[bucket]
        network.cleared = now.rawValue
        networks.begin(Int(link), with: network)
        heads[bucket] = link
        return Int(link)
    }

    private func remove(_ network: Int) {
        let link = UInt32(network)
        let old = networks[network]
        let bucket = bucket(old.rule, old.address, old.zone)
        if heads[bucket] == link {
            heads[bucket] = old.next
        } else {
            var before = Int(heads[bucket])
            while networks[before].next != link { before = Int(networks[before].next) }
            networks[before].next = old.next
        }
        networks[network].rule = nobody
        networks[network].next = freeNetwork
        freeNetwork = link
    }

    @discardableResult
    private func add(_ network: Int, _ tuple: Tuple, _ zone: Zone) -> Bool {
        var link = freeConnection
        if link != nobody {
            freeConnection = connections[Int(link)].next
        } else {
            guard Int(touchedConnections) < connections.count else { return false }
            link = touchedConnections
            touchedConnections += 1
        }
        connections.begin(Int(link), with: CountedConnection(tuple: tuple, zone: zone))
        if networks[network].last == nobody {
            networks[network].first = link
        } else {
            connections[Int(networks[network].last)].next = link
        }
        networks[network].last = link
        networks[network].count += 1
        return true
    }

    private func drop(_ network: Int, _ link: UInt32, after before: UInt32) {
        let next = connections[Int(link)].next
        if before == nobody {
            networks[network].first = next
        } else {
            connections[Int(before)].next = next
        }
        if networks[network].last == link { networks[network].last = before }
        networks[network].count -= 1
        connections[Int(link)].next = freeConnection
        freeConnection = link
    }
}
