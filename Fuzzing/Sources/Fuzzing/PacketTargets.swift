// The parsers of single packets, the reassembly, and the connection table with its translations.

import Wire

@testable import Conntrack
@testable import Dataplane
@testable import Routing

/// Traps with a sentence: the fuzzer's assertion.
func promise(_ condition: Bool, _ sentence: @autoclosure () -> String) {
    if !condition { fatalError("broken promise: \(sentence())") }
}

extension FuzzTarget {
    /// A frame as it is, and as the quotation in an ICMP error.
    static let packet = FuzzTarget(
        name: "packet",
        seeds: (SeedPacket.conversation(forth: 0, back: 0) + SeedPacket.mixture(forth: 0, back: 0))
            .map { SeedPacket.input([$0]) }
    ) { bytes in
        var input = InputReader(bytes)
        var frame = FrameInput(&input).frame
        bytes.withRawSpan { span in
            for offset in [0, 14] where span.byteCount >= offset {
                if case .packet(let view) = PacketView.parse(span, networkOffset: offset) {
                    check(view, span)
                }
                if let quoted = PacketView.parseQuoted(span, networkOffset: offset) {
                    check(quoted, span)
                }
            }
        }
        guard case .packet(let view) = frame.withRawSpan({ PacketView.parse($0) }) else { return }
        frame.withRawSpan { check(view, $0) }
        rewrite(&frame, view)
    }

    private static func check(_ view: PacketView, _ span: RawSpan) {
        promise(view.headerLength >= 20 && view.totalLength >= view.headerLength, "lengths")
        promise(view.end <= span.byteCount, "the packet lies in its bytes")
        guard view.transport == .tcp, view.transportLength >= 20 else { return }
        _ = TCPSegment(span, view)
        _ = view.tcpSequence(span)
        _ = view.tcpWindow(span)
    }

    /// Checksums that were right stay right, whatever is rewritten.
    private static func rewrite(_ frame: inout [UInt8], _ original: PacketView) {
        var view = original
        let wasRight = checksumIsRight(frame, view)
        frame.withMutableBytes { span in
            for end in [PacketEnd.source, .destination] {
                let address = IPv4Address(rawValue: view.identification == 0 ? 0 : 0x0A09_0807)
                span.rewriteAddress(end, to: address, in: &view, partialChecksum: false)
                let hasIdentifier = view.transport == .icmp && view.icmpType == 8
                if view.transport != .icmp || hasIdentifier {
                    span.rewritePort(end, to: Port(0xFFFE), in: &view, partialChecksum: false)
                }
            }
            if view.timeToLive > 0 { span.decrementTimeToLive(in: &view) }
        }
        guard case .packet(let again) = frame.withRawSpan({ PacketView.parse($0) }) else {
            fatalError("broken promise: a rewritten header's checksum is right")
        }
        promise(again == view, "the view and the bytes change together")
        if wasRight { promise(checksumIsRight(frame, view), "the transport checksum stays right") }
    }

    static func checksumIsRight(_ frame: [UInt8], _ view: PacketView) -> Bool {
        frame.withRawSpan { span in
            switch view.transport {
            case .udp where span.u16(view.transportOffset + 6) == 0: true
            case .tcp, .udp, .icmp: transportChecksum(span, view) == 0
            case .other, .fragment, .truncated: true
            }
        }
    }

    /// Fragments into a reassembly of little memory. Nothing may be lost from its accounts.
    static let reassembly = FuzzTarget(
        name: "reassembly",
        seeds: [0, 1].map { turn in
            let whole = SeedPacket.udp(1, 2, [UInt8](repeating: 5, count: 56))
            let cut = [(0, 24), (24, 48), (48, 64)].map { from, to in
                SeedPacket.ipv4(
                    SeedPacket.client, SeedPacket.server, 17, Array(whole[from..<to]),
                    fragment: UInt16(from / 8) | (to < 64 ? 0x2000 : 0))
            }
            return SeedPacket.input((turn == 0 ? cut : cut.reversed()).map { (0, $0) })
        }
    ) { bytes in
        var input = InputReader(bytes)
        var reassembly = Reassembly(byteCount: 1 << 15, datagrams: 4, seed: 1)
        var now = Timestamp(nanoseconds: 0)
        var waiting = 0
        let freeBytes = reassembly.pool.freeChunks
        while !input.isEmpty {
            let fragment = FrameInput(&input)
            now = Timestamp(nanoseconds: now.nanoseconds + fragment.pause)
            expire(&reassembly, &waiting, now)
            fragment.frame.withRawSpan { span in
                guard case .packet(let view) = PacketView.parse(span), view.isFragment else {
                    return
                }
                let ingress = InterfaceIndex(rawValue: UInt32(fragment.control & 1))
                switch reassembly.insert(span, view, ingress: ingress, time: now) {
                case .waiting: waiting += 1
                case .dropped: break
                case .discarded(_, let others): waiting -= others
                case .complete: waiting -= take(&reassembly) - 1
                }
            }
            promise(waiting >= 0, "no frame is counted twice")
        }
        expire(&reassembly, &waiting, Timestamp(nanoseconds: .max))
        promise(waiting == 0, "\(waiting) fragments were lost")
        promise(reassembly.pool.freeChunks == freeBytes, "memory was lost")
    }

    private static func take(_ reassembly: inout Reassembly) -> Int {
        var frame = [UInt8](repeating: 0xEE, count: reassembly.completedFrameLength)
        let datagram = frame.withMutableBytes { reassembly.takeCompleted(into: &$0) }
        promise(datagram.frameLength == frame.count, "the length was announced")
        guard case .packet(let view) = frame.withRawSpan({ PacketView.parse($0) }) else {
            fatalError("broken promise: reassembly writes a header that parses")
        }
        promise(!view.isFragment && view.end == frame.count, "the whole is no fragment")
        return datagram.frames
    }

    private static func expire(
        _ reassembly: inout Reassembly, _ waiting: inout Int, _ now: Timestamp
    ) {
        var memory = [UInt8](repeating: 0, count: 600)
        memory.withMutableBytes { span in
            while let given = reassembly.takeExpired(now: now, into: &span) {
                waiting -= given.frames
            }
        }
    }

    /// Packets into a small table, bound, translated, confirmed or given up.
    static let conntrack = FuzzTarget(
        name: "conntrack",
        seeds: [0x00, 0x03, 0x0C, 0x1F].map { control in
            SeedPacket.input(
                SeedPacket.conversation(forth: control, back: control)
                    + SeedPacket.mixture(forth: control, back: control))
        }
    ) { bytes in
        var input = InputReader(bytes)
        var settings = ConntrackSettings()
        settings.acct = true
        let table = ConnectionTable(capacity: 6, settings: settings, seed: 1)
        var now = Timestamp(nanoseconds: 1_000_000_000)
        while !input.isEmpty {
            var packet = FrameInput(&input)
            now = Timestamp(nanoseconds: now.nanoseconds + packet.pause)
            _ = table.expire(now: now, limit: Int.max)
            guard case .packet(var view) = packet.frame.withRawSpan({ PacketView.parse($0) }),
                !view.isFragment
            else { continue }
            pass(&packet.frame, &view, packet.control, table, now)
        }
        checkIndexes(table, now)
    }

    /// Control's bits: 1 translates the destination, 2 the source, 4 takes a port range, 8 chooses at
    /// random, 16 gives the packet up before it is confirmed, 32 is a packet of the node's own.
    private static func pass(
        _ frame: inout [UInt8], _ view: inout PacketView, _ control: UInt8,
        _ table: ConnectionTable,
        _ now: Timestamp
    ) {
        var tracked = frame.withRawSpan { span in
            let dry = table.peek(
                span, view, offload: .none, verifyChecksum: control & 32 == 0, now: now)
            let tracked = table.track(
                span, view, offload: .none, verifyChecksum: control & 32 == 0, now: now)
            promise(dry.state == tracked.state, "a dry run says what will be")
            return tracked
        }
        guard tracked.drop == nil, let id = tracked.connection else { return }
        let wasRight = checksumIsRight(frame, view)
        let ports = control & 4 == 0 ? nil : Port(1000)...Port(1003)
        let flags: NATRange.Flags = control & 8 == 0 ? [] : .random
        for (end, bit) in [(PacketEnd.destination, UInt8(1)), (.source, 2)] {
            if tracked.state == .new, table.needsBinding(id, end) {
                let address = IPv4Address(192, 0, 2, end == .source ? 1 : 2)
                let range = NATRange(address, ports: ports, flags: flags)
                if table.bind(id, end, range: control & bit == 0 ? nil : range, now: now) != nil {
                    return table.releaseUnconfirmed(id)
                }
            }
            var refused = false
            frame.withMutableBytes { span in
                refused =
                    table.translate(&span, &view, tracked, end: end, offload: .none) == .refused
            }
            if refused { return tracked.created ? table.releaseUnconfirmed(id) : () }
        }
        guard case .packet(let again) = frame.withRawSpan({ PacketView.parse($0) }) else {
            fatalError("broken promise: a translated packet parses")
        }
        promise(again == view, "the view and the bytes change together")
        if wasRight { promise(checksumIsRight(frame, view), "a translated checksum is right") }
        if control & 16 != 0, tracked.created { return table.releaseUnconfirmed(id) }
        _ = table.confirm(&tracked, now: now)
    }

    /// Every entry is found under both its tuples, and its text is read back as it was.
    private static func checkIndexes(_ table: ConnectionTable, _ now: Timestamp) {
        var records: [ConnectionRecord] = []
        _ = table.forEach(from: 0, limit: table.capacity, now: now) { records.append($0) }
        for record in records {
            promise(
                table.find(record.original, now: now)?.0 == record.connection
                    && table.find(record.reply, now: now)?.0 == record.connection,
                "an entry is found under both tuples")
            guard let saved = ConnectionRecord(savedLine: ConntrackText.saved(record)) else {
                fatalError("broken promise: a saved line is read: \(ConntrackText.saved(record))")
            }
            promise(saved.original == record.original, "a saved line keeps the tuple")
        }
        promise(table.count == records.count, "the table counts its entries")
    }
}
