// The ports by interface, with what the packet path needs of each interface's properties, so that a
// packet costs one short search. Refreshed when ports or routes are swapped, never per packet.

import Routing
import Wire

struct PortSlot {
    let port: any FramePort
    let interface: InterfaceIndex
    var name: InterfaceName
    /// The interface's own address; `nil` until routing knows the interface.
    var mac: MACAddress?
    var isLoopback: Bool
    /// The port that leads to the node's own sockets.
    let isHost: Bool
    /// Its frames were sent by the node's own sockets: they pass OUTPUT first.
    var carriesOwnPackets: Bool { isHost || isLoopback }
    /// Something was enqueued since the last flush.
    var needsFlush = false
}

struct PortTable {
    /// Sorted by interface.
    private(set) var slots: [PortSlot] = []
    private(set) var hostSlot: Int?
    private(set) var loopbackSlot: Int?
    /// Another one with every change but `needsFlush`.
    private(set) var version: UInt32 = 0

    mutating func add(_ port: any FramePort, isHost: Bool, routes: RoutingSnapshot) {
        remove(port.interface)
        let slot = PortSlot(
            port: port, interface: port.interface, name: InterfaceName(), mac: nil,
            isLoopback: false, isHost: isHost)
        let position = slots.firstIndex { port.interface < $0.interface } ?? slots.count
        slots.insert(slot, at: position)
        refresh(routes)
    }

    mutating func remove(_ interface: InterfaceIndex) {
        slots.removeAll { $0.interface == interface }
        findSpecialSlots()
    }

    mutating func refresh(_ routes: RoutingSnapshot) {
        for index in slots.indices {
            let interface = routes.interface(slots[index].interface)
            slots[index].name =
                interface?.name ?? InterfaceName(slots[index].port.name) ?? InterfaceName()
            slots[index].mac = interface?.mac
            slots[index].isLoopback = interface?.isLoopback ?? false
        }
        findSpecialSlots()
    }

    private mutating func findSpecialSlots() {
        version &+= 1
        hostSlot = slots.firstIndex { $0.isHost }
        loopbackSlot = slots.firstIndex { $0.isLoopback }
    }

    /// O(log ports).
    func position(_ interface: InterfaceIndex) -> Int? {
        var low = 0
        var high = slots.count
        while low < high {
            let middle = (low &+ high) / 2
            if slots[middle].interface < interface { low = middle &+ 1 } else { high = middle }
        }
        return low < slots.count && slots[low].interface == interface ? low : nil
    }

    @inline(__always)
    mutating func enqueue(_ slot: Int, _ frame: RawSpan, _ metadata: TransmitMetadata) {
        slots[slot].needsFlush = true
        slots[slot].port.enqueue(frame, metadata)
    }

    /// The port, to be sent through until `flush`.
    mutating func use(_ slot: Int) -> any FramePort {
        slots[slot].needsFlush = true
        return slots[slot].port
    }

    mutating func flush() {
        for index in 0..<slots.count where slots[index].needsFlush {
            slots[index].needsFlush = false
            slots[index].port.flush()
        }
    }

    func releaseBatches() {
        for index in 0..<slots.count { slots[index].port.releaseBatch() }
    }
}
