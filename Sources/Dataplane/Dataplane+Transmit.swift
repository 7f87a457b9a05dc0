// What becomes of a packet after its walk: delivered, dropped, or sent on: size, fragments, neighbour,
// layer 2.

import Hooks
import Wire

/// What a packet in the neighbour queue needs to go on.
struct WaitingPacket {
    var carried: Carried
    /// It is one of several fragments: only the last one's fate is counted for the whole.
    var counts: Bool
}

extension Dataplane {
    func dispose(
        _ disposition: Disposition, _ frame: inout MutableRawSpan, _ carried: Carried
    ) {
        switch disposition {
        case .forward(let egress): send(&frame, carried, to: egress)
        case .deliver: deliver(&frame, carried)
        case .gather:
            var carried = carried
            reassemble(&frame, &carried, at: .input)
        case .drop(let reason): drop(carried, reason, traced: true)
        case .answer(let answer, let reason):
            drop(carried, reason, traced: true)
            self.answer(answer, reason, about: frame.bytes, carried)
            engine.release(carried.packet)
        }
    }

    /// Counts a packet's end. `traced`: the walk has noted it already.
    func drop(_ carried: Carried, _ reason: DropReason, traced: Bool = false) {
        counters.update(carried.origin) { $0.drops.add(carried.frames, reason) }
        if !traced { note(carried.packet, .end(.drop(reason))) }
    }

    /// To the node's sockets. What appears on `lo` is put back on `lo`, where the kernel keeps the
    /// route that such a packet already has; everything else goes through the host port.
    private func deliver(_ frame: inout MutableRawSpan, _ carried: Carried) {
        let arrival = appearance(carried.packet)
        let loopback = ports.position(arrival)
            .flatMap { ports.slots[$0].isLoopback ? $0 : nil }
        guard let host = loopback ?? ports.hostSlot else { return drop(carried, .hostPortDown) }
        counters.update(carried.origin) { $0.delivered &+= UInt64(carried.frames) }
        // What arrived keeps the address that it was sent to; an answer of the node's own had none.
        if engine.routes.interface(arrival)?.isLoopback == true {
            frame.set(MACAddress(rawValue: 0), at: 0)
            frame.set(MACAddress(rawValue: 0), at: 6)
            frame.set(EtherType.ipv4.rawValue, at: 12)
        }
        ports.enqueue(
            host, frame.bytes.extracting(0..<carried.packet.view.end),
            TransmitMetadata(
                offload: carried.packet.offload, appearsOn: arrival, time: carried.time))
    }

    /// The interface on which the node's sockets see the packet. A reply from elsewhere that INPUT
    /// gave one of the node's own addresses (the node called itself and was sent to a pod) would be a
    /// martian on any but `lo`: netfilter changes the source behind the kernel's check, Sluice before.
    private func appearance(_ packet: Packet) -> InterfaceIndex {
        guard packet.isSourceTranslated, let loopback = ports.loopbackSlot,
            engine.routes.addressType(packet.view.source) == .local
        else { return packet.inInterface }
        return ports.slots[loopback].interface
    }

    /// `ip_finish_output`: whole, in fragments, or not at all.
    private func send(_ frame: inout MutableRawSpan, _ carried: Carried, to egress: Egress) {
        let packet = carried.packet
        let size = PacketSize(packet.view, packet.offload, largestFragment: packet.largestFragment)
        switch size.verdict(mtu: egress.mtu) {
        case .fits:
            emit(&frame, length: packet.view.end, carried, to: egress, counts: true)
        case .fragment:
            fragment(&frame, carried, to: egress)
        case .tooBig:
            drop(carried, .needsFragmentation)
            let mtu = UInt32(truncatingIfNeeded: egress.mtu)
            answer(
                .icmp(type: 3, code: 4, information: mtu), .needsFragmentation,
                about: frame.bytes, carried)
        }
    }

    private func fragment(_ frame: inout MutableRawSpan, _ carried: Carried, to egress: Egress) {
        let view = carried.packet.view
        // Each fragment would carry a part of a sum that nobody finishes: finish it here.
        _ = frame.completeChecksum(carried.packet.offload, end: view.end)
        var whole = carried
        whole.packet.offload = .none
        guard
            var fragmenter = Fragmenter(
                view, mtu: egress.mtu, pieceLengths: reassembly.pieceLengths,
                reassembled: carried.reassembled)
        else { return drop(carried, .needsFragmentation) }
        var count = 0
        var done = false
        while !done, let start = arena.reserve(fragmenter.largestFrame) {
            let size = fragmenter.largestFrame
            let length = arena.withBytes(start..<start + size) { out in
                fragmenter.next(
                    of: frame.bytes, pieceLengths: reassembly.pieceLengths, into: &out)
            }
            guard let length else { break }
            arena.trim(start, to: length)
            count += 1
            done = fragmenter.isDone
            arena.withBytes(start..<start + length) { out in
                emit(&out, length: length, whole, to: egress, counts: done)
            }
        }
        precondition(done, "a step leaves room for the fragments of one datagram")
        counters.fragmentsMade &+= UInt64(count)
        note(carried.packet, .fragmented(count: count))
    }

    /// Writes the Ethernet header and hands the frame to the port, or makes it wait for the header.
    func emit(
        _ frame: inout MutableRawSpan, length: Int, _ carried: Carried, to egress: Egress,
        counts: Bool
    ) {
        guard let slot = ports.position(egress.interface) else {
            if counts { drop(carried, .noPort) }
            return
        }
        guard let target = targetMAC(egress) else {
            wait(frame.bytes, length: length, carried, for: egress, counts: counts)
            return
        }
        frame.set(target, at: 0)
        frame.set(ports.slots[slot].mac ?? MACAddress(rawValue: 0), at: 6)
        frame.set(EtherType.ipv4.rawValue, at: 12)
        if trace != nil {
            note(carried.packet, .neighbour(egress.nextHop, target))
            note(carried.packet, .sent(ports.slots[slot].name))
        }
        if counts { counters.update(carried.origin) { $0.forwarded &+= UInt64(carried.frames) } }
        ports.enqueue(
            slot, frame.bytes.extracting(0..<length),
            TransmitMetadata(offload: carried.packet.offload, time: carried.time))
    }

    /// The Ethernet addresses of what leaves that way; `nil` where nothing would leave at once.
    public func ethernetAddresses(_ egress: Egress) -> (target: MACAddress, source: MACAddress)? {
        guard let slot = ports.position(egress.interface), !ports.slots[slot].carriesOwnPackets,
            let source = ports.slots[slot].mac, let target = targetMAC(egress)
        else { return nil }
        return (target, source)
    }

    /// `nil` where the next hop must be resolved first.
    func targetMAC(_ egress: Egress) -> MACAddress? {
        let hop = egress.nextHop
        if let mac = neighbours.mac(interface: egress.interface, address: hop) { return mac }
        if hop.isLimitedBroadcast { return .broadcast }
        // RFC 1112, 6.4: the low 23 bits behind 01:00:5e.
        if hop.isMulticast {
            return MACAddress(rawValue: 0x0100_5E00_0000 | UInt64(hop.rawValue & 0x7F_FFFF))
        }
        // A subnet's broadcast address (arp_constructor).
        if engine.routes.addressType(hop, interface: egress.interface) == .broadcast {
            return .broadcast
        }
        guard configuration.inventsNeighbours else { return nil }
        return MACAddress(rawValue: 0x0200_0000_0000 | UInt64(hop.rawValue))
    }

    private func wait(
        _ frame: RawSpan, length: Int, _ carried: Carried, for egress: Egress, counts: Bool
    ) {
        note(carried.packet, .neighbour(egress.nextHop, nil))
        let key = NeighbourKey(interface: egress.interface, address: egress.nextHop)
        let outcome = neighbourQueue.hold(
            frame, length: length, for: key, WaitingPacket(carried: carried, counts: counts),
            now: carried.time
        ) { displaced in
            if displaced.counts { drop(displaced.carried, .neighbourQueueFull) }
        }
        switch outcome {
        case .held(isFirst: true): resolver?.probe(egress.interface, egress.nextHop)
        case .held: break
        case .full: if counts { drop(carried, .neighbourQueueFull) }
        }
    }
}
