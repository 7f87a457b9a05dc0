// The memory of stored paths. Many connections share one: a path says nothing of a connection but where its
// packets come from, which rules they pass, and where they go.

import Ruleset
import Wire

/// Names a stored path. A name is not used again before four billion others were; what was stored under other
/// rules or routes than today's is nobody's any more.
@frozen
public struct PathID: RawRepresentable, Hashable, Sendable {
    public var rawValue: UInt32
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }
}

/// Where plain packets of one direction of a connection come from and go.
struct StoredPath: BitwiseCopyable, Equatable {
    // As the packet arrived.
    var ingress = InterfaceIndex.none
    var mark: UInt32 = 0
    var typeOfService: UInt8 = 0
    /// Whether virtual services had a say.
    var isDirected = false
    // As it left.
    var lastMark: UInt32 = 0
    var egress = InterfaceIndex.none
    var nextHop = IPv4Address.any
    var mtu: Int32 = 0
    /// In the rules' paths.
    var number: Int32 = 0

    fileprivate var hash: Int {
        var hash = UInt64(ingress.rawValue) << 32 | UInt64(egress.rawValue)
        func mix(_ high: UInt32, _ low: UInt32) {
            hash = (hash ^ hash >> 29 ^ (UInt64(high) << 32 | UInt64(low))) &* 0x9E37_79B9_7F4A_7C15
        }
        mix(mark, lastMark)
        mix(nextHop.rawValue, UInt32(bitPattern: number))
        mix(UInt32(bitPattern: mtu), UInt32(typeOfService))
        return Int(truncatingIfNeeded: hash >> 32)
    }
}

/// The paths stored under today's rules and routes, each once.
final class StoredPaths {
    private struct Slot: BitwiseCopyable {
        var path = StoredPath()
        var packets: UInt64 = 0
        var bytes: UInt64 = 0
    }
    /// Where there are more, packets walk: a node without so many neighbours and marks never gets there.
    static let capacity = 1 << 14

    /// By the number's low bits.
    private let slots = Slab(count: StoredPaths.capacity, repeating: Slot())
    /// Numbers by the path's hash; 0 is a gap.
    private let index = Slab(count: 2 * StoredPaths.capacity, repeating: UInt32(0))
    /// The first number in use, and how many are.
    private var first: UInt32 = 1
    private var count: UInt32 = 0

    var isEmpty: Bool { count == 0 }

    @inline(__always)
    private func place(_ id: PathID) -> Int { Int(id.rawValue) & (Self.capacity &- 1) }

    /// `false` for a name from before the last `removeAll`.
    @inline(__always)
    func contains(_ id: PathID) -> Bool { id.rawValue &- first < count }

    /// - Precondition: `contains(id)`.
    @inline(__always)
    subscript(id: PathID) -> StoredPath { slots[place(id)].path }

    @inline(__always)
    func count(_ id: PathID, bytes: Int) {
        let place = place(id)
        slots[place].packets &+= 1
        slots[place].bytes &+= UInt64(truncatingIfNeeded: bytes)
    }

    /// The name of the path; `nil` where there is no room for another.
    func insert(_ path: StoredPath) -> PathID? {
        let mask = 2 * Self.capacity - 1
        var position = path.hash & mask
        while index[position] != 0 {
            let known = PathID(rawValue: index[position])
            if self[known] == path { return known }
            position = (position + 1) & mask
        }
        // A number of 0 would be none.
        guard count < Self.capacity, first &+ count != 0 else { return nil }
        let id = PathID(rawValue: first &+ count)
        count += 1
        slots[place(id)] = Slot(path: path)
        index[position] = id.rawValue
        return id
    }

    /// Packets counted since the last time.
    var pending: UInt64 {
        (0..<count).reduce(0) { $0 + slots[place(PathID(rawValue: first &+ $1))].packets }
    }

    /// Hands out what was counted since the last time.
    func settle(_ body: (_ number: Int32, Counters) -> Void) {
        for offset in 0..<count {
            let place = place(PathID(rawValue: first &+ offset))
            let counters = Counters(packets: slots[place].packets, bytes: slots[place].bytes)
            guard counters.packets > 0 else { continue }
            body(slots[place].path.number, counters)
            slots[place].packets = 0
            slots[place].bytes = 0
        }
    }

    /// Makes all names stale.
    func removeAll() {
        guard count > 0 else { return }
        first = first &+ count
        if first == 0 { first = 1 }
        count = 0
        for position in 0..<2 * Self.capacity { index[position] = 0 }
    }
}
