// The MAC addresses of the node's neighbours, as the kernel knows them. The kernel resolves; this
// table only remembers, in a fixed amount of memory, and is the packet path's own: one thread.

import Wire

/// The state of a neighbour entry (NUD_*).
public enum NeighbourState: UInt8, Hashable, Sendable {
    case none
    /// Being resolved: there is no MAC address yet.
    case incomplete
    case reachable
    case stale
    case delay
    case probe
    /// Resolution was given up.
    case failed
    case noARP
    case permanent

    /// Whether the MAC address may be used (NUD_VALID).
    @inlinable public var isUsable: Bool {
        switch self {
        case .reachable, .stale, .delay, .probe, .noARP, .permanent: true
        case .none, .incomplete, .failed: false
        }
    }
}

/// What happened to one neighbour.
public struct NeighbourUpdate: Hashable, Sendable {
    public var interface: InterfaceIndex
    public var address: IPv4Address
    public var mac: MACAddress?
    public var state: NeighbourState
    /// The entry was deleted.
    public var isRemoved: Bool

    public init(
        interface: InterfaceIndex, address: IPv4Address, mac: MACAddress?, state: NeighbourState,
        isRemoved: Bool = false
    ) {
        self.interface = interface
        self.address = address
        self.mac = mac
        self.state = state
        self.isRemoved = isRemoved
    }
}

/// (interface, address) → MAC address and state. Open addressing with linear probing; deletions
/// shift later entries back, so that there are no tombstones and a look-up ends at the first gap.
public struct NeighbourTable: ~Copyable {
    public struct Entry: Sendable {
        public var interface: InterfaceIndex
        public var address: IPv4Address
        public var mac: MACAddress
        public var state: NeighbourState
        static let free = Entry(
            interface: .none, address: .any, mac: MACAddress(rawValue: 0), state: .none)
    }

    private var slots: ContiguousArray<Entry>
    private let mask: Int
    public let capacity: Int
    public private(set) var count = 0
    /// Another one with every change.
    public private(set) var version: UInt32 = 0
    /// Updates refused because the table was full.
    public private(set) var refused = 0

    /// - Parameter capacity: entries it holds at most; the memory is twice the next power of two.
    public init(capacity: Int = 4096) {
        precondition(capacity > 0, "a neighbour table holds at least one entry")
        self.capacity = capacity
        var size = 2
        while size < capacity * 2 { size *= 2 }
        slots = ContiguousArray(repeating: .free, count: size)
        mask = size - 1
    }

    /// The entry in whatever state; O(1), no allocation.
    public func entry(interface: InterfaceIndex, address: IPv4Address) -> Entry? {
        let slot = position(interface, address)
        return slots[slot].interface == .none ? nil : slots[slot]
    }

    /// The MAC address if it may be used now.
    public func mac(interface: InterfaceIndex, address: IPv4Address) -> MACAddress? {
        let slot = position(interface, address)
        return slots[slot].interface != .none && slots[slot].state.isUsable ? slots[slot].mac : nil
    }

    /// - Returns: `false` where the table is full and the update was counted as refused.
    @discardableResult
    public mutating func apply(_ update: NeighbourUpdate) -> Bool {
        precondition(update.interface != .none, "a neighbour is on an interface")
        version &+= 1
        let slot = position(update.interface, update.address)
        let isNew = slots[slot].interface == .none
        if update.isRemoved {
            if !isNew { remove(slot) }
            return true
        }
        if isNew {
            guard count < capacity else {
                refused += 1
                return false
            }
            count += 1
        }
        slots[slot] = Entry(
            interface: update.interface, address: update.address,
            mac: update.mac ?? MACAddress(rawValue: 0),
            state: update.mac == nil && update.state.isUsable ? .incomplete : update.state)
        return true
    }

    /// Forgets every neighbour of an interface that is gone.
    public mutating func removeAll(on interface: InterfaceIndex) {
        version &+= 1
        let gone = slots.filter { $0.interface == interface && interface != .none }
        for entry in gone { remove(position(entry.interface, entry.address)) }
    }

    /// Before a full resynchronisation.
    public mutating func removeAll() {
        version &+= 1
        for index in slots.indices { slots[index] = .free }
        count = 0
    }

    public var entries: [Entry] { slots.filter { $0.interface != .none } }

    /// The entry's slot, or the gap where it would go.
    private func position(_ interface: InterfaceIndex, _ address: IPv4Address) -> Int {
        var slot = home(interface, address)
        while slots[slot].interface != .none
            && !(slots[slot].interface == interface && slots[slot].address == address)
        {
            slot = (slot + 1) & mask
        }
        return slot
    }

    /// Fibonacci hashing of both keys: neighbouring addresses spread.
    private func home(_ interface: InterfaceIndex, _ address: IPv4Address) -> Int {
        let key = UInt64(interface.rawValue) << 32 | UInt64(address.rawValue)
        return Int(truncatingIfNeeded: (key &* 0x9E37_79B9_7F4A_7C15) >> 32) & mask
    }

    private mutating func remove(_ start: Int) {
        var gap = start
        var next = (gap + 1) & mask
        while slots[next].interface != .none {
            let wanted = home(slots[next].interface, slots[next].address)
            // Movable if its home does not lie between the gap and where it stands.
            if (next - wanted) & mask >= (next - gap) & mask {
                slots[gap] = slots[next]
                gap = next
            }
            next = (next + 1) & mask
        }
        slots[gap] = .free
        count -= 1
    }
}
