// A port's batch, in passes: the first tells each packet's chain in the connection table and asks the cache for its
// head, the second for the entry there, the third handles frame after frame in the order of their arrival. The
// first two change nothing and judge nothing; what they guessed wrong costs time.

import Conntrack
import Hooks
import Wire

/// Where packets on a stored path leave, as long as neither neighbours nor ports have changed.
struct Adjacency {
    var path = PathID(rawValue: 0)
    var version: UInt32 = 0
    var slot = 0
    var source = MACAddress(rawValue: 0)
    var target = MACAddress(rawValue: 0)
}

extension Dataplane {
    func receiveBatch(from index: Int, now: Timestamp) -> Int {
        let slot = ports.slots[index]
        batch.removeAll()
        let received = slot.port.receive(limit: configuration.batch, now: now) {
            batch.append(&$0, $1)
        }
        if slot.carriesOwnPackets {
            forBatch { frame, metadata, _ in receiveFromHost(&frame, metadata) }
        } else if engine.hasPaths, !engine.verifiesPaths, traceFilter == nil {
            lookAhead()
            expedite(slot)
        } else {
            forBatch { frame, metadata, _ in receive(&frame, metadata, slot) }
        }
        return received
    }

    @inline(__always)
    private func forBatch(_ body: (inout MutableRawSpan, FrameMetadata, Int) -> Void) {
        for index in 0..<batch.count {
            batch.withFrame(index) { frame, metadata in
                makeRoom()
                advance(to: metadata.time)
                body(&frame, metadata, index)
            }
        }
    }

    /// The first two passes.
    private func lookAhead() {
        let connections = engine.connections
        for index in 0..<batch.count {
            let bucket = batch.withFrame(index) { frame, _ in
                Tuple(unjudged: frame.bytes).map { connections.bucket(of: $0) } ?? 0
            }
            batch.setBucket(index, bucket)
            connections.prefetchChain(bucket)
        }
        for index in 0..<batch.count { connections.prefetchEntry(batch.bucket(index)) }
    }

    /// The third pass.
    private func expedite(_ slot: PortSlot) {
        var expressed: UInt64 = 0
        var outlet = Outlet()
        forBatch { frame, metadata, index in
            guard let packet = expected(frame.bytes, slot) else {
                return receive(&frame, metadata, slot)
            }
            var foreseen: Tracked?
            let path = engine.express(
                &frame, packet, bucket: batch.bucket(index), offload: metadata.offload,
                ingress: slot.interface, mark: metadata.mark, now: metadata.time,
                foreseen: &foreseen)
            if let path {
                expressed &+= 1
                leave(&frame, packet.end, path, metadata, slot, &outlet)
            } else {
                walk(&frame, metadata, slot, foreseen)
            }
        }
        counters.interface.received &+= expressed
    }

    /// The plain packet of a frame for this node; `nil` where there is any doubt.
    @inline(__always)
    private func expected(_ frame: RawSpan, _ slot: PortSlot) -> PlainPacket? {
        guard frame.byteCount >= 34, frame.u16(12) == EtherType.ipv4.rawValue else { return nil }
        let target = frame.mac(0)
        guard !target.isGroup, !configuration.checksDestinationMAC || target == slot.mac else {
            return nil
        }
        return PlainPacket(frame)
    }

    @inline(never)
    private func walk(
        _ frame: inout MutableRawSpan, _ metadata: FrameMetadata, _ slot: PortSlot,
        _ foreseen: Tracked?
    ) {
        counters.interface.received &+= 1
        var packet = packet(parsed(frame.bytes), metadata, slot)
        packet.hasNoPath(foreseen)
        enter(&frame, Carried(packet, origin: .interface, time: metadata.time))
    }

    private func parsed(_ frame: RawSpan) -> PacketView {
        guard case .packet(let view) = PacketView.parse(frame) else {
            preconditionFailure("a plain packet is well formed")
        }
        return view
    }

    /// The port that the last packet left through.
    private struct Outlet {
        var slot = -1
        var port: (any FramePort)?
    }

    /// Layer 2 and the port.
    /// - Parameter end: where the packet ends in its frame.
    @inline(__always)
    private func leave(
        _ frame: inout MutableRawSpan, _ end: Int, _ path: PathID,
        _ metadata: FrameMetadata, _ slot: PortSlot, _ outlet: inout Outlet
    ) {
        let place = Int(path.rawValue) & (adjacencies.count &- 1)
        let version = neighbours.version &+ ports.version
        let adjacency = adjacencies[place]
        guard adjacency.path == path, adjacency.version == version else {
            return leaveAnew(&frame, path, metadata, slot)
        }
        frame.set(adjacency.target, at: 0)
        frame.set(adjacency.source, at: 6)
        counters.interface.forwarded &+= 1
        if outlet.slot != adjacency.slot {
            outlet = Outlet(slot: adjacency.slot, port: ports.use(adjacency.slot))
        }
        outlet.port?.enqueue(
            frame.bytes.extracting(0..<end),
            TransmitMetadata(offload: metadata.offload, time: metadata.time))
    }

    /// The same with a look at neighbours and ports, which is kept.
    @inline(never)
    private func leaveAnew(
        _ frame: inout MutableRawSpan, _ path: PathID, _ metadata: FrameMetadata, _ slot: PortSlot
    ) {
        let packet = packet(parsed(frame.bytes), metadata, slot)
        let egress = engine.egress(path)
        if let exit = ports.position(egress.interface), let target = targetMAC(egress) {
            adjacencies[Int(path.rawValue) & (adjacencies.count &- 1)] = Adjacency(
                path: path, version: neighbours.version &+ ports.version, slot: exit,
                source: ports.slots[exit].mac ?? MACAddress(rawValue: 0), target: target)
        }
        emit(
            &frame, length: packet.view.end,
            Carried(packet, origin: .interface, time: metadata.time), to: egress, counts: true)
    }
}

extension Tuple {
    /// What a plain packet of TCP or UDP has for a tuple, if this is one: read where such packets have it.
    @inline(__always)
    fileprivate init?(unjudged frame: RawSpan) {
        guard frame.byteCount >= 38, frame.u8(14) == 0x45 else { return nil }
        self.init(
            source: IPv4Address(rawValue: frame.u32(26)),
            destination: IPv4Address(rawValue: frame.u32(30)),
            sourcePort: Port(frame.u16(34)), destinationPort: Port(frame.u16(36)),
            protocol: IPProtocol(rawValue: frame.u8(23)))
    }
}
