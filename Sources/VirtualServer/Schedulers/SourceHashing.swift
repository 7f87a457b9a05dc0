// Source hashing (net/netfilter/ipvs/ip_vs_sh.c): 256 places, filled with the servers in turn, each as often as
// its weight says; the client's address says which place.

import Wire

extension Scheduler {
    static let sourceHashing = Scheduler(
        name: "sh",
        layOut: { servers in
            guard !servers.isEmpty else { return [] }
            var server = 0
            var taken: Int32 = 0
            return (0..<placeCount).map { _ in
                let place = UInt16(server)
                taken += 1
                // A server of weight 0 takes one place all the same, and refuses who comes to it.
                if taken >= servers[server].server.weight {
                    server = (server + 1) % servers.count
                    taken = 0
                }
                return place
            }
        },
        choose: { candidates, _, flow in
            let port = candidates.flags.contains(.port) ? UInt32(flow.clientPort.rawValue) : 0
            return candidates.choosePlace { offset in
                (Int(offset) &+ Int(hashOf32Bits(port &+ flow.client.rawValue))) % placeCount
            }
        })
}

/// IP_VS_SH_TAB_SIZE, IP_VS_DH_TAB_SIZE.
let placeCount = 256

/// The upper 8 bits of `hash_32` (include/linux/hash.h).
func hashOf32Bits(_ value: UInt32) -> UInt32 { (value &* 0x61C8_8647) >> 24 }

extension Candidates {
    /// The server of the place that `place` gives for offset 0; with `fallback`, of the first place whose
    /// server takes connections, by offsets that begin at that first place's own number.
    func choosePlace(_ place: (UInt32) -> Int) -> Int? {
        guard !table.isEmpty else { return nil }
        let first = place(0)
        if takes(Int(table[first])) { return Int(table[first]) }
        guard flags.contains(.fallback) else { return nil }
        for offset in 0..<table.count {
            let next = place(UInt32((offset + first) % table.count))
            if takes(Int(table[next])) { return Int(table[next]) }
        }
        return nil
    }
}
