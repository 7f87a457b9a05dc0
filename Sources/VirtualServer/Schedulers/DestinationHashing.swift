// Destination hashing (net/netfilter/ipvs/ip_vs_dh.c): 256 places, filled with the servers in turn whatever their
// weights; the address that the client asked for says which. Meant for caches behind a firewall mark.

extension Scheduler {
    static let destinationHashing = Scheduler(
        name: "dh",
        layOut: { servers in
            servers.isEmpty ? [] : (0..<placeCount).map { UInt16($0 % servers.count) }
        },
        choose: { candidates, _, flow in
            guard !candidates.table.isEmpty else { return nil }
            let position = Int(candidates.table[Int(hashOf32Bits(flow.destination.rawValue))])
            return candidates.takes(position) ? position : nil
        })
}
