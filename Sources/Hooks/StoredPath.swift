// The derived path: what the walk of one packet showed for those that follow it. A plain packet of an established
// connection whose walk asked only for what is the same for all plain packets of its direction (see `RulePath`)
// leaves a note with the connection; the next one with the same ingress, mark and TOS is tracked as ever, gets
// the connection's translation, and goes where the first one went, without rules and routes.
//
// Any doubt leads back to the walk: other rules or routes, flags, fragments, options, a packet too large or out
// of time, one that tracking finds INVALID.

import Conntrack
import Routing
import Ruleset
import Wire

/// Where plain packets of one direction of a connection go.
struct StoredPath: BitwiseCopyable {
    /// The rules and routes that it comes from; 0 is none.
    var snapshot: UInt32 = 0
    /// That of the connection's slot.
    var generation: UInt32 = 0
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
}

/// The stored paths of a connection table's slots, two for each.
struct StoredPaths: ~Copyable {
    private let paths: Slab<StoredPath>

    init(capacity: Int) { paths = Slab(count: 2 * capacity, repeating: StoredPath()) }

    subscript(connection: ConnectionID, direction: Direction) -> StoredPath {
        get { paths[Int(connection.index) &* 2 &+ Int(direction.rawValue)] }
        nonmutating set { paths[Int(connection.index) &* 2 &+ Int(direction.rawValue)] = newValue }
    }
}

extension HookEngine {
    /// What a packet was like when it arrived.
    struct Arrival {
        var mark: UInt32
        var typeOfService: UInt8

        init(_ packet: Packet) {
            mark = packet.mark
            typeOfService = packet.view.typeOfService
        }
    }

    private static let judgedFlags: TCPFlags = [.syn, .ack, .fin, .rst, .urg]

    /// One that neither opens nor ends anything, and is whole (RFC 9293, 3.1).
    static func isPlain(_ packet: Packet) -> Bool {
        let view = packet.view
        guard !view.hasOptions, !view.isFragment, packet.largestFragment == 0,
            packet.inInterface != .none, packet.answers == nil
        else { return false }
        switch view.transport {
        case .udp: return true
        case .tcp:
            return view.tcpFlags.intersection(judgedFlags) == .ack
        default: return false
        }
    }

    /// A connection's direction with the path that is stored for it.
    struct Way {
        var connection: ConnectionID
        var direction: Direction
        var path: StoredPath
    }

    /// The path that is stored for the packet, if it may take it. Changes nothing.
    func storedWay(_ packet: Packet) -> Way? {
        guard rules.hasPaths, needsTracking, let tuple = Tuple(packet.view),
            let (id, direction) = connections.find(tuple, now: now)
        else { return nil }
        let path = storedPaths[id, direction]
        guard path.snapshot == snapshot, path.generation == id.generation,
            path.ingress == packet.inInterface, path.mark == packet.mark,
            path.typeOfService == packet.view.typeOfService, packet.view.timeToLive > 1,
            path.isDirected == hasServices,
            !(path.isDirected && direction == .original && connections.hasLostServer(id)),
            !(packet.view.dontFragment && packet.exceeds(mtu: Int(path.mtu)))
        else { return nil }
        return Way(connection: id, direction: direction, path: path)
    }

    /// Tracks the packet and sends it along; `nil` where tracking finds it not to be what it seemed, and it must
    /// walk after all (`Packet.foreseen`).
    func follow(
        _ way: Way, _ bytes: inout MutableRawSpan, _ packet: inout Packet
    ) -> Disposition? {
        let path = way.path
        let tracked = connections.track(
            way.connection, way.direction, bytes.bytes, packet.view, offload: packet.offload,
            now: now)
        guard tracked.state == .established, tracked.connection == way.connection else {
            packet.foreseen = tracked
            return nil
        }
        packet.tracked = tracked
        if hasNAT { translate(.destination, &bytes, &packet) }
        bytes.decrementTimeToLive(in: &packet.view)
        if hasNAT { translate(.source, &bytes, &packet) }
        _ = connections.confirm(&packet.tracked, now: now)
        packet.mark = path.lastMark
        packet.outInterface = path.egress
        packet.nextHop = path.nextHop
        packet.routeMTU = Int(path.mtu)
        rules.count(path: path.number, bytes: packet.view.totalLength)
        storedPathUses &+= 1
        return .forward(
            Egress(interface: path.egress, nextHop: path.nextHop, mtu: Int(path.mtu)))
    }

    private func translate(
        _ end: PacketEnd, _ bytes: inout MutableRawSpan, _ packet: inout Packet
    ) {
        _ = connections.translate(
            &bytes, &packet.view, packet.tracked, end: end, offload: packet.offload)
    }

    /// Keeps the path that a packet took, if all that follow take it, too. Not on one link: each of those may
    /// draw a redirect.
    func storePath(_ disposition: Disposition, _ packet: Packet, _ arrival: Arrival) {
        guard packet.keepsPath, case .forward(let egress) = disposition,
            packet.tracked.state == .established, let id = packet.tracked.connection,
            egress.interface != packet.inInterface, connections.zone(id) == .none,
            let number = rules.number(of: draft)
        else { return }
        storedPaths[id, packet.tracked.direction] = StoredPath(
            snapshot: snapshot, generation: id.generation, ingress: packet.inInterface,
            mark: arrival.mark, typeOfService: arrival.typeOfService, isDirected: hasServices,
            lastMark: packet.mark,
            egress: egress.interface, nextHop: egress.nextHop,
            mtu: Int32(truncatingIfNeeded: egress.mtu), number: number)
    }
}
