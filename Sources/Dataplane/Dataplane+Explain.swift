// What would become of a packet that is never sent: the walk without its effects, and where it would leave.

import Hooks
public import Wire

extension Dataplane {
    /// Explains a frame as if it came in on `ingress`, or, with `.none`, from the node's own sockets.
    /// Neither rules' counters nor connections nor neighbours change, and nothing is sent.
    public func explain(
        _ frame: inout MutableRawSpan, ingress: InterfaceIndex, mark: UInt32 = 0,
        userID: UInt32? = nil, groupID: UInt32? = nil, now: Timestamp
    ) -> TraceRecord {
        let origin: PacketOrigin = ingress == .none ? .host : .interface
        var record = TraceRecord(trace: Trace(), origin: origin, time: now, ingress: ingress)
        switch PacketView.parse(frame.bytes) {
        case .malformed(let reason): record.refused = reason
        case .packet(let view):
            var packet = Packet(
                view: view, inInterface: ingress, inName: engine.routes.name(of: ingress),
                mark: mark, userID: userID, groupID: groupID)
            withRoom(engine.roomNeeded(view), behind: frame.bytes, view) { copy in
                let (disposition, trace) = engine.explain(
                    &copy, &packet, ofNode: origin == .host, now: now)
                record.trace = trace
                if case .forward(let egress) = disposition { leave(packet, egress, &record.trace) }
            }
            finishBatch()
        }
        return record
    }

    /// The steps behind the hooks: size, neighbour, port.
    private func leave(_ packet: Packet, _ egress: Egress, _ trace: inout Trace) {
        let size = PacketSize(packet.view, packet.offload, largestFragment: 0)
        switch size.verdict(mtu: egress.mtu) {
        case .tooBig: return trace.note(packet, .end(.drop(.needsFragmentation)))
        case .fragment:
            let payload = max(8, (egress.mtu - packet.view.headerLength) & ~7)
            let count = (packet.view.transportLength + payload - 1) / payload
            trace.note(packet, .fragmented(count: count))
        case .fits: break
        }
        guard let slot = ports.position(egress.interface) else {
            return trace.note(packet, .end(.drop(.noPort)))
        }
        let mac = targetMAC(egress)
        trace.note(packet, .neighbour(egress.nextHop, mac))
        if mac != nil { trace.note(packet, .sent(ports.slots[slot].name)) }
    }
}
