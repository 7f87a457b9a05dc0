// From a frame to a walk: Ethernet, IPv4, reassembly.

import Hooks
import Wire

/// A packet in the data plane: what the hooks know of it, and what only layer 2 and the counters do.
struct Carried {
    var packet: Packet
    var origin: PacketOrigin
    /// Frames that it came in; each is counted with the packet's fate.
    var frames: Int
    /// It came in a broadcast or multicast frame.
    var isGroup: Bool
    var time: Timestamp
    var reassembled: ReassembledDatagram?

    init(
        _ packet: Packet, origin: PacketOrigin, frames: Int = 1, isGroup: Bool = false,
        time: Timestamp
    ) {
        self.packet = packet
        self.origin = origin
        self.frames = frames
        self.isGroup = isGroup
        self.time = time
        reassembled = nil
    }
}

extension Dataplane {
    /// A frame that came in on an interface.
    func receive(_ frame: inout MutableRawSpan, _ metadata: FrameMetadata, _ slot: PortSlot) {
        counters.interface.received &+= 1
        beginTrace(frame.bytes, metadata)
        guard frame.byteCount >= 14 else { return refuse(.frameTooShort, .interface, metadata) }
        guard frame.u16(12) == EtherType.ipv4.rawValue else {
            return refuse(.notIPv4, .interface, metadata)
        }
        let target = frame.bytes.mac(0)
        // Broadcast and multicast are the kernel's; so is what another host's MAC address names.
        if target.isGroup || (configuration.checksDestinationMAC && target != slot.mac) {
            return refuse(.notForUs, .interface, metadata)
        }
        switch PacketView.parse(frame.bytes) {
        case .malformed(let reason): refuse(reason, .interface, metadata)
        case .packet(let view):
            let packet = packet(view, metadata, slot)
            enter(&frame, Carried(packet, origin: .interface, time: metadata.time))
        }
    }

    func packet(_ view: PacketView, _ metadata: FrameMetadata, _ slot: PortSlot) -> Packet {
        Packet(
            view: view, offload: metadata.offload, inInterface: slot.interface, inName: slot.name,
            mark: metadata.mark)
    }

    /// A frame that the node's own sockets sent.
    func receiveFromHost(_ frame: inout MutableRawSpan, _ metadata: FrameMetadata) {
        counters.host.received &+= 1
        beginTrace(frame.bytes, metadata)
        guard frame.byteCount >= 14 else { return refuse(.frameTooShort, .host, metadata) }
        guard frame.u16(12) == EtherType.ipv4.rawValue else {
            return refuse(.notIPv4, .host, metadata)
        }
        switch PacketView.parse(frame.bytes) {
        case .malformed(let reason): refuse(reason, .host, metadata)
        case .packet(let view):
            let packet = Packet(
                view: view, offload: metadata.offload, mark: metadata.mark,
                userID: metadata.userID, groupID: metadata.groupID)
            enter(&frame, Carried(packet, origin: .host, time: metadata.time))
        }
    }

    /// Dropped before it was a packet.
    private func refuse(
        _ reason: DropReason, _ origin: PacketOrigin, _ metadata: FrameMetadata
    ) {
        counters.update(origin) { $0.drops.add(1, reason) }
        endTrace(origin, metadata.time, refused: reason)
    }

    /// Reassembles while some rule tracks (NF_IP_PRI_CONNTRACK_DEFRAG), then walks. What the node's
    /// sockets send is cut by the route to the host port; the kernel would cut it behind POSTROUTING.
    func enter(_ frame: inout MutableRawSpan, _ carried: Carried) {
        var carried = carried
        if carried.packet.view.isFragment
            && (engine.needsTracking || carried.origin == .host)
        {
            reassemble(&frame, &carried, at: .arrival)
        } else {
            walk(&frame, &carried)
        }
        endTrace(carried.origin, carried.time, refused: nil)
    }

    /// Where a datagram is put together, and so where it goes on.
    enum GatheringPlace { case arrival, input }

    func reassemble(
        _ frame: inout MutableRawSpan, _ carried: inout Carried, at place: GatheringPlace
    ) {
        let outcome = reassembly.insert(
            frame.bytes, carried.packet.view, ingress: carried.packet.inInterface,
            time: carried.time)
        if reassembly.givenUp > 0 {
            counters.update(carried.origin) {
                $0.drops.add(reassembly.givenUp, .fragmentDistance)
            }
        }
        switch outcome {
        case .waiting: return
        case .dropped(let reason): drop(carried, reason)
        case .discarded(let reason, let others):
            carried.frames = 1 + others
            drop(carried, reason)
        case .complete:
            let length = reassembly.completedFrameLength
            guard let start = arena.reserve(length) else {
                preconditionFailure("a step leaves room for one datagram")
            }
            arena.withBytes(start..<start + length) { bytes in
                let datagram = reassembly.takeCompleted(into: &bytes)
                // A datagram for the node keeps the addresses of the frame that completed it.
                bytes.copy(frame.bytes, 0..<14, to: 0)
                walkReassembled(&bytes, carried, datagram, place)
            }
        }
    }

    private func walkReassembled(
        _ bytes: inout MutableRawSpan, _ fragment: Carried, _ datagram: ReassembledDatagram,
        _ place: GatheringPlace
    ) {
        guard case .packet(let view) = PacketView.parse(bytes.bytes) else {
            preconditionFailure("reassembly writes a well-formed header")
        }
        var whole = fragment
        whole.packet.view = view
        // The pieces' partial checksums, if any, were those of the whole.
        whole.packet.largestFragment = datagram.largestFragment
        whole.frames = datagram.frames
        whole.reassembled = datagram
        counters.reassembled &+= 1
        note(whole.packet, .reassembled)
        switch place {
        case .arrival: walk(&bytes, &whole)
        case .input: deliverReassembled(&bytes, &whole)
        }
    }

    private func deliverReassembled(_ bytes: inout MutableRawSpan, _ whole: inout Carried) {
        let disposition: Disposition
        if var steps = trace {
            disposition = engine.deliver(&bytes, &whole.packet, now: whole.time, trace: &steps)
            trace = steps
        } else {
            disposition = engine.deliver(&bytes, &whole.packet, now: whole.time)
        }
        dispose(disposition, &bytes, whole)
    }

    /// Through the hooks and on to its fate.
    func walk(_ frame: inout MutableRawSpan, _ carried: inout Carried) {
        let room = engine.roomNeeded(carried.packet.view)
        if room > 0, frame.byteCount &- carried.packet.view.end < room {
            withRoom(room, behind: frame.bytes, carried.packet.view) { copy in
                walkAsItIs(&copy, &carried)
            }
        } else {
            walkAsItIs(&frame, &carried)
        }
    }

    /// Lends a copy of the packet's frame with `room` more bytes, for a rule that makes it larger.
    func withRoom(
        _ room: Int, behind frame: RawSpan, _ view: PacketView,
        _ body: (inout MutableRawSpan) -> Void
    ) {
        let length = view.end &+ room
        guard let start = arena.reserve(length) else {
            preconditionFailure("a step leaves room for a copy of one packet")
        }
        arena.withBytes(start..<start &+ length) { copy in
            copy.copy(frame, 0..<view.end, to: 0)
            body(&copy)
        }
    }

    private func walkAsItIs(_ frame: inout MutableRawSpan, _ carried: inout Carried) {
        let disposition: Disposition
        switch (trace != nil, carried.origin == .interface) {
        case (false, true):
            disposition = engine.receive(&frame, &carried.packet, now: carried.time)
        case (false, false):
            disposition = engine.send(&frame, &carried.packet, now: carried.time)
        case (true, let arrived):
            var steps = trace ?? Trace()
            disposition =
                arrived
                ? engine.receive(&frame, &carried.packet, now: carried.time, trace: &steps)
                : engine.send(&frame, &carried.packet, now: carried.time, trace: &steps)
            trace = steps
        }
        dispose(disposition, &frame, carried)
    }
}
