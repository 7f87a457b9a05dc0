// Packets that waited for a neighbour go on when it answers, and are answered themselves when it does not.

import Hooks
public import Routing
import Wire

extension Dataplane {
    /// Takes over what the kernel says of a neighbour; packets that wait for it go on in this call.
    public func apply(_ update: NeighbourUpdate, now: Timestamp) {
        let known = neighbours.mac(interface: update.interface, address: update.address)
        neighbours.apply(update)
        // Whoever carries packets past this data plane writes the address that he was told.
        if let known, engine.carrier != nil,
            neighbours.mac(interface: update.interface, address: update.address) != known
        {
            engine.endPaths()
        }
        guard !neighbourQueue.isEmpty else { return }
        // Only an event says that resolution failed: the table may still hold an older failure.
        let failed =
            update.state == .failed && !update.isRemoved
            ? NeighbourKey(interface: update.interface, address: update.address) : nil
        serveNeighbours(now: now, failed: failed)
        finishBatch()
    }

    /// Looks at every neighbour that is waited for: few at a time, and none in the usual case.
    func serveNeighbours(now: Timestamp, failed: NeighbourKey? = nil) {
        var index = 0
        while index < neighbourQueue.count {
            let key = neighbourQueue.key(at: index)
            if neighbours.mac(interface: key.interface, address: key.address) != nil {
                drain(index) { sendWaiting(&$0, $1, key) }
            } else if key == failed || neighbourQueue.isOverdue(at: index, now: now) {
                drain(index) { giveUp(&$0, $1) }
            } else {
                index += 1
            }
        }
    }

    private func drain(_ index: Int, _ body: (inout MutableRawSpan, WaitingPacket) -> Void) {
        while let length = neighbourQueue.nextLength(index) {
            makeRoom()
            guard let start = arena.reserve(length) else {
                preconditionFailure("a step leaves room for one datagram")
            }
            arena.withBytes(start..<start + length) { frame in
                let waiting = neighbourQueue.takeNext(index, into: &frame)
                body(&frame, waiting)
            }
        }
        neighbourQueue.close(index)
    }

    private func sendWaiting(
        _ frame: inout MutableRawSpan, _ waiting: WaitingPacket, _ key: NeighbourKey
    ) {
        let egress = Egress(interface: key.interface, nextHop: key.address, mtu: .max)
        emit(
            &frame, length: frame.byteCount, waiting.carried, to: egress, counts: waiting.counts)
    }

    /// `arp_error_report`: host unreachable, about the packet as it would have left.
    private func giveUp(_ frame: inout MutableRawSpan, _ waiting: WaitingPacket) {
        guard case .packet(let view) = PacketView.parse(frame.bytes) else {
            preconditionFailure("what waits was parsed before")
        }
        var carried = waiting.carried
        carried.packet.view = view
        if waiting.counts { drop(carried, .neighbourUnresolved) }
        answer(
            .icmp(type: 3, code: 1, information: 0), .neighbourUnresolved, about: frame.bytes,
            carried)
    }
}
