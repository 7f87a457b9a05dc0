// Maglev's consistent hashing (Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer",
// NSDI 2016, section 3.4): every server has a permutation of all places of a table, its preferences, made of an
// offset and a skip; the servers in turn take the next free place that they like best. So all get equally
// many places, and when one leaves, few places change between those that stay.
//
// The paper leaves the size of the table and the hashes open. Both are those of Linux
// (net/netfilter/ipvs/ip_vs_mh.c), so that the same servers get the same places: 4093 places, SipHash-1-3 under
// two fixed keys, and as many turns in a row as a server's weight says. There a server of weight 0 keeps its
// places: who hashes to it is refused, or sent on with `mh-fallback`, so that draining moves nobody else.

import Wire

extension Scheduler {
    static let maglevHashing = Scheduler(
        name: "mh", mostServers: maglevPlaces,
        layOut: { MaglevTable(servers: $0).places },
        choose: { candidates, _, flow in
            let port = candidates.flags.contains(.port) ? UInt32(flow.clientPort.rawValue) : 0
            return candidates.choosePlace { offset in
                maglevHash(offset &+ port &+ flow.client.rawValue, maglevOffsetKey) % maglevPlaces
            }
        })
}

/// A prime, so that every skip visits every place (CONFIG_IP_VS_MH_TAB_INDEX 12, the default).
let maglevPlaces = 4093
private let maglevOffsetKey: UInt64 = 2_654_435_761
private let maglevSkipKey: UInt64 = 2_654_446_892
/// Turns are at most so many bits wide (IP_VS_MH_TAB_BITS).
private let turnBits = 6

private func maglevHash(_ word: UInt32, _ key: UInt64) -> Int {
    Int(SipHash13.hash(word, key: (key, key)))
}

private struct MaglevTable {
    /// Positions of servers; empty where no server has ever had a weight.
    private(set) var places: [UInt16] = []

    private struct Preferences {
        var next: Int
        let skip: Int
        let turns: Int
    }

    init(servers: [Candidate]) {
        var preferences = Self.preferences(of: servers)
        guard preferences.contains(where: { $0.turns > 0 }) else { return }
        let free = UInt16.max
        places = [UInt16](repeating: free, count: maglevPlaces)
        var left = maglevPlaces
        while true {
            for server in preferences.indices {
                for _ in 0..<preferences[server].turns {
                    while places[preferences[server].next] != free {
                        preferences[server].next += preferences[server].skip
                        if preferences[server].next >= maglevPlaces {
                            preferences[server].next -= maglevPlaces
                        }
                    }
                    places[preferences[server].next] = UInt16(server)
                    left -= 1
                    if left == 0 { return }
                }
            }
        }
    }

    private static func preferences(of servers: [Candidate]) -> [Preferences] {
        let weights = servers.map { Int64($0.server.lastWeight) }
        let divisor = weights.reduce(0, greatestCommonDivisor)
        guard divisor > 0, let highest = weights.max() else { return [] }
        let bits = Int64.bitWidth - (highest / divisor).leadingZeroBitCount
        let shift = max(0, bits - turnBits)
        return zip(servers, weights).map { candidate, weight in
            let word = UInt32(candidate.server.port.rawValue) &+ candidate.server.address.rawValue
            let turns = Int((weight / divisor) >> Int64(shift))
            return Preferences(
                next: maglevHash(word, maglevOffsetKey) % maglevPlaces,
                skip: maglevHash(word, maglevSkipKey) % (maglevPlaces - 1) + 1,
                turns: weight > 0 ? max(1, turns) : 0)
        }
    }
}
