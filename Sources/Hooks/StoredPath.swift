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

extension HookEngine {
    /// What a packet was like when it arrived.
    struct Arrival {
        var ingress: InterfaceIndex
        var mark: UInt32
        var typeOfService: UInt8

        init(_ packet: Packet) {
            ingress = packet.inInterface
            mark = packet.mark
            typeOfService = packet.view.typeOfService
        }
    }

    /// Whether it came in, and was not put together from fragments.
    @inline(__always)
    static func cameWhole(_ packet: Packet) -> Bool {
        packet.largestFragment == 0 && packet.inInterface != .none && packet.answers == nil
    }

    /// The plain packet that came in as one.
    static func plain(_ bytes: RawSpan, _ packet: Packet) -> PlainPacket? {
        cameWhole(packet) && packet.view.networkOffset == 14 ? PlainPacket(bytes) : nil
    }

    /// A connection's direction with the path that is stored for it.
    struct Way {
        var flow: NotedFlow
        var path: PathID
    }

    /// The path that is stored for a plain packet, if it may take it. Changes nothing.
    /// - Parameter bucket: that of its tuple (`ConnectionTable.bucket`).
    @inline(__always)
    func storedWay(
        _ packet: PlainPacket, bucket: Int, offload: OffloadHeader, ingress: InterfaceIndex,
        mark: UInt32
    ) -> Way? {
        guard
            let flow = connections.notedFlow(Tuple(packet), bucket: bucket, now: now)
        else { return nil }
        let id = PathID(rawValue: flow.note)
        guard storedPaths.contains(id) else { return nil }
        let path = storedPaths[id]
        guard path.ingress == ingress, path.mark == mark,
            path.typeOfService == packet.typeOfService, packet.timeToLive > 1,
            path.isDirected == hasServices, !packet.exceeds(mtu: Int(path.mtu), offload)
        else { return nil }
        if hasServices, flow.direction == .original, connections.hasLostServer(flow) { return nil }
        return Way(flow: flow, path: id)
    }

    /// Tracks the packet and sends it along; where tracking finds it not to be what it seemed, that is returned,
    /// and it must walk after all (`Packet.foreseen`).
    @inline(__always)
    func follow(
        _ way: Way, _ bytes: inout MutableRawSpan, _ packet: PlainPacket,
        _ offload: OffloadHeader
    ) -> Tracked? {
        let tracked = connections.forward(
            way.flow, &bytes, packet, offload: offload, translates: hasNAT, now: now)
        if tracked == nil { storedPaths.count(way.path, bytes: Int(packet.totalLength)) }
        return tracked
    }

    /// Where a path leads; good until rules or routes change.
    public func egress(_ id: PathID) -> Egress {
        let path = storedPaths[id]
        return Egress(interface: path.egress, nextHop: path.nextHop, mtu: Int(path.mtu))
    }

    /// `follow` for a packet whose metadata somebody needs.
    func take(
        _ way: Way, _ bytes: inout MutableRawSpan, _ plain: PlainPacket, _ packet: inout Packet
    ) -> Disposition? {
        packet.foreseen = follow(way, &bytes, plain, packet.offload)
        guard packet.foreseen == nil, case .packet(let view) = PacketView.parse(bytes.bytes) else {
            return nil
        }
        packet.view = view
        packet.tracked = Tracked(
            state: .established, connection: connections.connection(way.flow),
            direction: way.flow.direction)
        if offersPaths { offer(connections.connection(way.flow)) }
        let path = storedPaths[way.path]
        packet.mark = path.lastMark
        packet.outInterface = path.egress
        packet.nextHop = path.nextHop
        packet.routeMTU = Int(path.mtu)
        return .forward(egress(way.path))
    }

    /// Keeps the path that a packet took, if all that follow take it, too. Not on one link: each of those may
    /// draw a redirect.
    func storePath(_ disposition: Disposition, _ packet: Packet, _ arrival: Arrival) {
        guard packet.keepsPath, case .forward(let egress) = disposition,
            isSettled(packet), let id = packet.tracked.connection,
            egress.interface != packet.inInterface, connections.zone(id) == .none,
            let number = rules.number(of: draft),
            let path = storedPaths.insert(
                StoredPath(
                    ingress: arrival.ingress, mark: arrival.mark,
                    typeOfService: arrival.typeOfService, isDirected: hasServices,
                    lastMark: packet.mark, egress: egress.interface, nextHop: egress.nextHop,
                    mtu: Int32(truncatingIfNeeded: egress.mtu), number: number))
        else { return }
        connections.note(path.rawValue, for: id, packet.tracked.direction)
        if offersPaths { offer(id) }
    }

    /// What was stored is walked again.
    func forgetPaths(countedBy rules: CompiledRuleset) {
        settlePaths(to: rules)
        storedPaths.removeAll()
        snapshot &+= 1
        carrier?.follow(snapshot: snapshot)
    }

    /// Adds what packets on stored paths counted to the counters of the rules.
    func settlePaths(to rules: CompiledRuleset) {
        storedPaths.settle { number, counters in
            rules.count(path: number, counters)
            settledPathUses &+= counters.packets
        }
    }
}
