// Events for `conntrack -E`: a bounded ring that the owner drains. Nobody listens, nothing is stored;
// full, the newest event is lost and counted.

import Wire

struct EventRing {
    private var slots: [ConnectionEvent] = []
    private var first = 0
    private var used = 0

    var isOpen: Bool { !slots.isEmpty }

    mutating func open(capacity: Int) {
        let nobody = Tuple(
            source: .any, destination: .any, sourcePort: Port(0), destinationPort: Port(0),
            protocol: IPProtocol(rawValue: 0))
        let record = ConnectionRecord(
            connection: ConnectionID(index: 0, generation: 0), id: 0, original: nobody,
            reply: nobody, status: [], mark: 0, timeout: Seconds(0), tcpState: nil)
        let event = ConnectionEvent(
            kind: .new, time: Timestamp(nanoseconds: 0), record: record)
        slots = [ConnectionEvent](repeating: event, count: capacity)
        first = 0
        used = 0
    }

    mutating func push(_ event: ConnectionEvent) -> Bool {
        guard used < slots.count else { return false }
        slots[(first &+ used) % slots.count] = event
        used &+= 1
        return true
    }

    mutating func pop() -> ConnectionEvent? {
        guard used > 0 else { return nil }
        defer {
            first = (first &+ 1) % slots.count
            used &-= 1
        }
        return slots[first]
    }
}

extension ConnectionTable {
    /// Starts recording events into a ring of `capacity`; 0 stops. As in the kernel, what happens to
    /// connections that began while nobody listened is not told, unless `events` was 1 then
    /// (nf_conntrack_ecache.c, nf_ct_ecache_ext_add).
    public func listen(capacity: Int) { events.open(capacity: capacity) }

    public var isListening: Bool { events.isOpen }

    /// Takes the oldest event.
    public func nextEvent() -> ConnectionEvent? { events.pop() }

    /// One event for all that a packet did to its connection.
    func deliverPending(_ index: UInt32, _ now: Timestamp) {
        let mask = storage[index].pendingEvents
        guard !mask.isEmpty else { return }
        storage[index].pendingEvents = []
        guard events.isOpen, storage[index].status.contains(.confirmed),
            !storage[index].status.contains(.dying),
            mask.kernelBits & storage[index].reportedEvents != 0
        else { return }
        var record = record(index, now)
        let isNew = mask.contains(.new)
        // An update says the protocol's state only where that changed (ctnetlink_conntrack_event).
        if !isNew, !mask.contains(.protocolState) { record.tcpState = nil }
        record.markChanged = mask.contains(.mark)
        push(ConnectionEvent(kind: isNew ? .new : .update, time: now, record: record))
    }

    /// The events to be told of a connection that begins now. `wanted` is all bits where no rule chose; a
    /// rule's choice counts although the setting says no (nf_ct_ecache_ext_add).
    func reportedEvents(_ wanted: UInt16) -> UInt16 {
        switch settings.events {
        case 0: wanted == .max ? 0 : wanted
        case 1: wanted
        default: events.isOpen ? wanted : 0
        }
    }

    func report(_ kind: ConnectionEvent.Kind, _ index: UInt32, _ now: Timestamp) {
        guard events.isOpen, storage[index].reportedEvents & EventMask.destroyBit != 0
        else { return }
        var record = record(index, now)
        if storage[index].isTimed { record.stop = now }
        push(ConnectionEvent(kind: kind, time: now, record: record))
    }

    private func push(_ event: ConnectionEvent) {
        if !events.push(event) { eventsLost &+= 1 }
    }
}
