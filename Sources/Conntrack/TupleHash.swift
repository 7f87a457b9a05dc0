// Which chain a tuple hangs in. Keyed by the table's seed, so that whoever sends the packets cannot aim
// at one chain; the same seed gives the same chains.

import Wire

struct TupleHash {
    private let keys: (UInt64, UInt64, UInt64)

    init(_ random: inout SeededRandom) {
        keys = (random.next(), random.next(), random.next())
    }

    /// Two folded 64×64-bit multiplications with secret factors (as in wyhash).
    @inline(__always)
    private func mix(_ a: UInt64, _ b: UInt64) -> Int {
        let first = (a ^ keys.0).multipliedFullWidth(by: b ^ keys.1)
        let second = (first.high ^ first.low ^ keys.2).multipliedFullWidth(by: keys.1 | 1)
        return Int(truncatingIfNeeded: second.high ^ second.low)
    }

    @inline(__always)
    func callAsFunction(_ tuple: Tuple, _ zone: UInt16 = 0) -> Int {
        mix(
            UInt64(tuple.source.rawValue) << 32 | UInt64(tuple.destination.rawValue),
            UInt64(tuple.sourcePort.rawValue) << 32 | UInt64(tuple.destinationPort.rawValue) << 16
                | UInt64(tuple.protocol.rawValue) | UInt64(zone) << 48)
    }

    /// For the index by original source: everything about the destination is left out.
    func source(_ tuple: Tuple) -> Int {
        mix(
            UInt64(tuple.source.rawValue),
            UInt64(tuple.sourcePort.rawValue) << 32 | UInt64(tuple.protocol.rawValue) | 1 << 63)
    }

    /// What `-o id` shows: stable for the entry's life, not to be guessed from outside.
    func identity(_ tuple: Tuple, _ id: ConnectionID) -> UInt32 {
        let salt = UInt64(id.index) << 32 | UInt64(id.generation)
        return UInt32(truncatingIfNeeded: mix(UInt64(bitPattern: Int64(self(tuple))), salt))
    }
}
