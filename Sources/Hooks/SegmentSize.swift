// TCPMSS (net/netfilter/xt_TCPMSS.c): lowers the maximum segment size that a TCP header announces, or
// puts the option in. It never raises one, and leaves segments with payload and full headers alone.

import Routing
import Ruleset
import Wire

extension HookEngine {
    /// Bytes of a maximum segment size option (RFC 9293, 3.2).
    static let optionLength = 4
    /// What a host may send that never heard of a size (RFC 9293, 3.7.1).
    private static let defaultSize: UInt16 = 536

    /// Bytes that must lie behind the packet in its frame before it is walked, so that a rule can make
    /// it larger. Without them such a packet goes on as it is.
    public func roomNeeded(_ view: PacketView) -> Int {
        guard rules.mayGrowPackets, view.transport == .tcp, view.tcpHeaderLength < 60,
            view.tcpHeaderLength == view.transportLength
        else { return 0 }
        return Self.optionLength
    }

    func limitSegmentSize<O: WalkObserver>(
        _ target: TCPMSSTarget, _ bytes: inout MutableRawSpan, _ packet: inout Packet,
        _ observer: inout O
    ) -> DropReason? {
        let view = packet.view
        guard view.fragmentOffset == 0 else { return nil }
        guard view.transport == .tcp, view.tcpHeaderLength >= 20,
            view.tcpHeaderLength <= view.transportLength
        else { return .malformedTransport }
        let limit: UInt16
        switch target {
        case .set(let size): limit = size
        case .clampToPathMTU:
            guard let size = segmentSize(packet) else { return .noSegmentSize }
            limit = size
        }
        if let offset = segmentSizeOption(bytes.bytes, view) {
            let old = bytes.u16(offset &+ 2)
            guard old > limit else { return nil }
            bytes.replaceSegmentSize(at: offset, old: old, new: limit, packet)
            observer.note(packet, .mangled(.segmentSize(from: old, to: limit)))
            return nil
        }
        guard roomNeeded(view) > 0, view.end &+ Self.optionLength <= bytes.byteCount else {
            return nil
        }
        let size = min(limit, Self.defaultSize)
        bytes.insertSegmentSize(size, &packet)
        observer.note(packet, .mangled(.segmentSize(from: nil, to: size)))
        return nil
    }

    /// What fits through the packet's own route and the one back to its source, less 40 bytes of headers;
    /// `nil` where nothing does.
    private func segmentSize(_ packet: Packet) -> UInt16? {
        let back = routes.route(
            output: RouteQuery(source: .any, destination: packet.view.source))
        // No route back is no limit.
        let largest = 65_535
        let mtu = min(packet.routeMTU, back.leadsSomewhere ? back.mtu : largest, largest)
        return mtu > 40 ? UInt16(mtu &- 40) : nil
    }

    /// Where the option begins. One of another length than four is passed over.
    private func segmentSizeOption(_ bytes: RawSpan, _ view: PacketView) -> Int? {
        let t = view.transportOffset
        var offset = 20
        while offset &+ Self.optionLength <= view.tcpHeaderLength {
            let kind = bytes.u8(t &+ offset)
            let length = bytes.u8(t &+ offset &+ 1)
            if kind == 2, Int(length) == Self.optionLength { return t &+ offset }
            offset &+= kind < 2 || length == 0 ? 1 : Int(length)
        }
        return nil
    }
}

extension MutableRawSpan {
    fileprivate mutating func replaceSegmentSize(
        at offset: Int, old: UInt16, new: UInt16, _ packet: Packet
    ) {
        var delta = ChecksumDelta()
        delta.replace(old, by: new)
        set(new, at: offset &+ 2)
        updateTransportChecksum(
            delta, in: packet.view, partial: packet.offload.needsChecksum, pseudoHeaderOnly: false)
    }

    /// Before the other options, which move up.
    fileprivate mutating func insertSegmentSize(_ size: UInt16, _ packet: inout Packet) {
        let partial = packet.offload.needsChecksum
        let room = HookEngine.optionLength
        let (t, length) = (packet.view.transportOffset, packet.view.transportLength)
        var position = packet.view.end
        while position > t &+ 20 {
            position &-= 1
            set(u8(position), at: position &+ room)
        }
        let option: UInt32 = 2 << 24 | 4 << 16 | UInt32(size)
        set(option, at: t &+ 20)
        let oldOffset = u16(t &+ 12)
        let newOffset = oldOffset &+ 0x1000
        set(newOffset, at: t &+ 12)
        rewriteTotalLength(to: packet.view.totalLength &+ room, in: &packet.view)
        packet.view.tcpHeaderLength &+= room
        var pseudo = ChecksumDelta()
        pseudo.replace(
            UInt16(truncatingIfNeeded: length), by: UInt16(truncatingIfNeeded: length &+ room))
        updateTransportChecksum(
            pseudo, in: packet.view, partial: partial, pseudoHeaderOnly: true)
        var delta = ChecksumDelta()
        delta.replace(UInt32(0), by: option)
        delta.replace(oldOffset, by: newOffset)
        updateTransportChecksum(
            delta, in: packet.view, partial: partial, pseudoHeaderOnly: false)
    }
}
