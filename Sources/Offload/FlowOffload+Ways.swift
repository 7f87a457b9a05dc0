// A stored path as the programs in the kernel follow it, and a flow's state between both sides.

import CFlowABI
import Conntrack
import Dataplane
import Hooks
import Routing
import Wire

/// What becomes of the packets of one direction, and the path on which they count.
struct FlowWay {
    var way: sluice_flow_way
    var key: sluice_flow_key
    var path: Int32
}

extension FlowOffload {
    /// `nil` where packets have no path, or one that begins or ends where nothing is carried.
    func way(
        _ id: ConnectionID, _ direction: Direction, _ connection: CarriedConnection
    ) -> FlowWay? {
        guard let path = engine.carriedPath(id, direction), roads[path.ingress] != nil,
            roads[path.egress.interface] != nil,
            let addresses = dataplane.ethernetAddresses(path.egress)
        else { return nil }
        let tuple = direction == .original ? connection.original : connection.reply
        let other = direction == .original ? connection.reply : connection.original
        var way = sluice_flow_way()
        way.translate(tuple, to: path.isTranslated ? other.reversed : tuple)
        way.egress = path.egress.interface.rawValue
        way.mtu = UInt32(clamping: path.egress.mtu)
        way.type_of_service = path.typeOfService
        way.target_mac = addresses.target.octets
        way.source_mac = addresses.source.octets
        way.flags |= UInt8(SLUICE_WAY_OPEN)
        if takers.contains(path.egress.interface) { way.flags |= UInt8(SLUICE_WAY_XDP) }
        if mayEnterPeer(path.egress.interface), !addresses.target.isGroup {
            way.flags |= UInt8(SLUICE_WAY_PEER)
        }
        return FlowWay(
            way: way, key: sluice_flow_key(path.ingress, tuple), path: path.number)
    }

    /// Whether packets may be handed to the other end of the interface at once: that of a veth that leads to
    /// another network namespace, and that nobody has given a queue.
    private func mayEnterPeer(_ interface: InterfaceIndex) -> Bool {
        guard let known = engine.routes.interface(interface) else { return false }
        return known.kind == .veth && known.link == .none && !known.hasQueue
    }

    /// Writes the flow, which the daemon has.
    func write(
        _ number: UInt32, _ connection: CarriedConnection, _ original: FlowWay?, _ reply: FlowWay?
    ) {
        var flow = sluice_flow()
        flow.owner = SLUICE_FLOW_DAEMON
        flow.snapshot = engine.snapshot
        flow.last_seen_ns = connection.lastSeen.nanoseconds
        flow.until_ns = connection.until
        flow.idle_ns = connection.idle
        flow.window = connection.window
        if let original { flow.ways.0 = original.way }
        if let reply { flow.ways.1 = reply.way }
        flow.ways.0.generation = flows[Int(number)].original.generation
        flow.ways.1.generation = flows[Int(number)].reply.generation
        programs.memory[number] = flow
        flows[Int(number)].original.path = original?.path ?? 0
        flows[Int(number)].reply.path = reply?.path ?? 0
    }
}

extension sluice_flow {
    var window: CarriedWindow {
        get {
            var window = CarriedWindow()
            window.original = CarriedEnd(ends.0)
            window.reply = CarriedEnd(ends.1)
            window.lastSequence = last_sequence
            window.lastAck = last_ack
            window.lastEnd = last_end
            window.lastWindow = last_window
            window.lastDirection = last_direction == 0 ? .original : .reply
            window.retransmissions = retransmissions
            return window
        }
        set {
            ends = (sluice_flow_end(newValue.original), sluice_flow_end(newValue.reply))
            last_sequence = newValue.lastSequence
            last_ack = newValue.lastAck
            last_end = newValue.lastEnd
            last_window = newValue.lastWindow
            last_direction = newValue.lastDirection.rawValue
            retransmissions = newValue.retransmissions
        }
    }

    /// Reads what has happened, and counts from 0 again.
    mutating func takeState() -> CarriedState {
        var state = CarriedState()
        state.lastSeen = Timestamp(nanoseconds: last_seen_ns)
        state.original = FlowCounters(packets: ways.0.packets, bytes: ways.0.bytes)
        state.reply = FlowCounters(packets: ways.1.packets, bytes: ways.1.bytes)
        state.window = window
        ways.0.packets = 0
        ways.0.bytes = 0
        ways.1.packets = 0
        ways.1.bytes = 0
        return state
    }
}

extension sluice_flow_way {
    /// What packets are given, and what that adds to their sums (RFC 1624, equation 3).
    fileprivate mutating func translate(_ old: Tuple, to new: Tuple) {
        new_source = new.source.rawValue.bigEndian
        new_destination = new.destination.rawValue.bigEndian
        new_source_port = new.sourcePort.rawValue.bigEndian
        new_destination_port = new.destinationPort.rawValue.bigEndian
        if old.source != new.source || old.destination != new.destination {
            flags |= UInt8(SLUICE_WAY_NEW_ADDRESSES)
            address_difference = Self.difference(
                from: [old.source.rawValue, old.destination.rawValue],
                to: [new.source.rawValue, new.destination.rawValue])
        }
        if old.sourcePort != new.sourcePort || old.destinationPort != new.destinationPort {
            flags |= UInt8(SLUICE_WAY_NEW_PORTS)
            port_difference = Self.difference(
                from: [old.sourcePort, old.destinationPort].map { UInt32($0.rawValue) },
                to: [new.sourcePort, new.destinationPort].map { UInt32($0.rawValue) })
        }
    }

    /// In the byte order of the packet: sums may be made in either (RFC 1071, 2).
    private static func difference(from old: [UInt32], to new: [UInt32]) -> UInt16 {
        var sum: UInt32 = 0
        for word in old { sum += (~word >> 16) + (~word & 0xFFFF) }
        for word in new { sum += (word >> 16) + (word & 0xFFFF) }
        while sum > 0xFFFF { sum = (sum >> 16) + (sum & 0xFFFF) }
        return UInt16(sum).bigEndian
    }
}

extension sluice_flow_key {
    fileprivate init(_ ingress: InterfaceIndex, _ tuple: Tuple) {
        self.init(
            interface: ingress.rawValue, source: tuple.source.rawValue.bigEndian,
            destination: tuple.destination.rawValue.bigEndian,
            source_port: tuple.sourcePort.rawValue.bigEndian,
            destination_port: tuple.destinationPort.rawValue.bigEndian,
            protocol: UInt32(tuple.protocol.rawValue))
    }

    func isSame(as other: Self) -> Bool {
        interface == other.interface && source == other.source
            && destination == other.destination && source_port == other.source_port
            && destination_port == other.destination_port && `protocol` == other.protocol
    }
}

extension sluice_flow_end {
    fileprivate init(_ end: CarriedEnd) {
        self.init(
            end: end.end, max_end: end.maxEnd, max_window: end.maxWindow, max_ack: end.maxAck,
            scale: end.scale, flags: end.flags, unused: 0)
    }
}

extension CarriedEnd {
    fileprivate init(_ end: sluice_flow_end) {
        self.init(
            end: end.end, maxEnd: end.max_end, maxWindow: end.max_window, maxAck: end.max_ack,
            scale: end.scale, flags: end.flags)
    }
}

extension MACAddress {
    /// As C has it, in the order of transmission.
    fileprivate var octets: (UInt8, UInt8, UInt8, UInt8, UInt8, UInt8) {
        func octet(_ position: UInt64) -> UInt8 {
            UInt8(truncatingIfNeeded: rawValue >> (8 * (5 - position)))
        }
        return (octet(0), octet(1), octet(2), octet(3), octet(4), octet(5))
    }
}
