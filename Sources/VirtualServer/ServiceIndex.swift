// Which service a new connection means: by its mark, by its exact destination, by its destination with port 0
// (net/netfilter/ipvs/ip_vs_ctl.c, ip_vs_service_find). Made when services change, read for new connections.

import Wire

struct ServiceIndex {
    /// Open addressing; a place holds a position in the services, or -1. At most half of them are taken.
    private let places: [Int32]
    private let keys: [ServiceKey]
    private let hasMarks: Bool
    private let hasPortZero: Bool

    init(keys: [ServiceKey]) {
        self.keys = keys
        var size = 2
        while size < keys.count * 2 { size *= 2 }
        var places = [Int32](repeating: -1, count: size)
        for (position, key) in keys.enumerated() {
            var place = Self.hash(key) & (size - 1)
            while places[place] >= 0 { place = (place + 1) & (size - 1) }
            places[place] = Int32(position)
        }
        self.places = places
        hasMarks = keys.contains { if case .mark = $0 { true } else { false } }
        hasPortZero = keys.contains {
            if case .address(_, _, let port) = $0 { port.rawValue == 0 } else { false }
        }
    }

    func find(_ connection: NewConnection) -> Int? {
        if keys.isEmpty { return nil }
        if hasMarks, connection.mark != 0, let found = find(.mark(connection.mark)) { return found }
        let `protocol` = connection.protocol
        let address = connection.destination
        if let found = find(.address(`protocol`, address, connection.destinationPort)) {
            return found
        }
        return hasPortZero ? find(.address(`protocol`, address, Port(0))) : nil
    }

    private func find(_ key: ServiceKey) -> Int? {
        var place = Self.hash(key) & (places.count - 1)
        while places[place] >= 0 {
            let position = Int(places[place])
            if keys[position] == key { return position }
            place = (place + 1) & (places.count - 1)
        }
        return nil
    }

    /// Who chooses the services also chooses what hangs in one place: no secret is needed.
    private static func hash(_ key: ServiceKey) -> Int {
        var value: UInt64
        switch key {
        case .mark(let mark): value = UInt64(mark)
        case .address(let `protocol`, let address, let port):
            value =
                UInt64(address.rawValue) << 24 | UInt64(port.rawValue) << 8
                | UInt64(`protocol`.rawValue)
        }
        value = (value ^ value >> 30) &* 0xBF58_476D_1CE4_E5B9
        return Int(truncatingIfNeeded: value >> 33)
    }
}
