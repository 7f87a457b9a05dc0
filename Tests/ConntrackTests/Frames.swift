// Frames and a small bench for the tests: packets are built field by field with right checksums
// unless told otherwise, and every packet that leaves is checked by full recomputation.

import FrameFixture
import Testing
import Wire

@testable import Conntrack

let client = IPv4Address(10, 1, 0, 2)
let server = IPv4Address(10, 2, 0, 2)
let gateway = IPv4Address(192, 0, 2, 1)

func seconds(_ value: Double) -> Timestamp {
    Timestamp(nanoseconds: UInt64(value * 1e9))
}

/// An Ethernet frame with one IPv4 packet.
struct Frame {
    var bytes: [UInt8]

    init(
        _ source: IPv4Address, _ destination: IPv4Address, _ protocol: IPProtocol,
        _ transport: [UInt8], checksumAt field: Int?, partial: Bool = false
    ) {
        var bytes = ipv4Frame(source, destination, `protocol`, transport)
        var storage = bytes.mutableSpan
        var span = storage.mutableBytes
        if let field {
            var sum = InternetChecksum()
            if `protocol` != .icmp {
                sum.addPseudoHeader(
                    source: source, destination: destination, protocol: `protocol`,
                    length: transport.count)
            }
            if partial {
                span.set(sum.folded, at: 34 + field)
            } else {
                sum.add(span.bytes, 34..<(34 + transport.count))
                span.set(sum.complemented, at: 34 + field)
            }
        }
        self.bytes = bytes
    }

    var view: PacketView {
        guard case .packet(let view) = PacketView.parse(bytes.span.bytes) else {
            preconditionFailure("a test frame is well formed")
        }
        return view
    }

    static func tcp(
        _ flow: Flow, _ flags: TCPFlags, seq: UInt32 = 0, ack: UInt32 = 0, window: UInt16 = 64_240,
        options: [UInt8] = [], data: Int = 0, partial: Bool = false
    ) -> Frame {
        var segment = [UInt8](repeating: 0, count: 20) + options
        segment += (0..<data).map { UInt8(truncatingIfNeeded: $0) }
        put(flow.from.1, in: &segment, at: 0)
        put(flow.to.1, in: &segment, at: 2)
        put(UInt16(seq >> 16), in: &segment, at: 4)
        put(UInt16(seq & 0xFFFF), in: &segment, at: 6)
        put(UInt16(ack >> 16), in: &segment, at: 8)
        put(UInt16(ack & 0xFFFF), in: &segment, at: 10)
        segment[12] = UInt8((20 + options.count) / 4) << 4
        segment[13] = flags.rawValue
        put(window, in: &segment, at: 14)
        return Frame(flow.from.0, flow.to.0, .tcp, segment, checksumAt: 16, partial: partial)
    }

    static func udp(_ flow: Flow, data: Int = 4, checksum: Bool = true) -> Frame {
        var datagram = [UInt8](repeating: 7, count: 8 + data)
        put(flow.from.1, in: &datagram, at: 0)
        put(flow.to.1, in: &datagram, at: 2)
        put(UInt16(8 + data), in: &datagram, at: 4)
        put(0, in: &datagram, at: 6)
        return Frame(flow.from.0, flow.to.0, .udp, datagram, checksumAt: checksum ? 6 : nil)
    }

    static func icmp(
        _ source: IPv4Address, _ destination: IPv4Address, type: UInt8, code: UInt8 = 0,
        id: UInt16 = 0, body: [UInt8] = [1, 2, 3]
    ) -> Frame {
        var message: [UInt8] = [type, code, 0, 0, 0, 0, 0, 1] + body
        put(id, in: &message, at: 4)
        return Frame(source, destination, .icmp, message, checksumAt: 2)
    }

    /// An ICMP error about this frame, sent by `router` to the frame's source; `quoting` bytes of
    /// the IP packet at most.
    func error(
        from router: IPv4Address, type: UInt8 = 3, code: UInt8 = 1, quoting: Int = 548,
        to: IPv4Address? = nil
    ) -> Frame {
        let quoted = Array(bytes[14..<min(bytes.count, 14 + quoting)])
        return .icmp(router, to ?? view.source, type: type, code: code, body: quoted)
    }

    private static func put(_ value: UInt16, in bytes: inout [UInt8], at offset: Int) {
        bytes[offset] = UInt8(value >> 8)
        bytes[offset + 1] = UInt8(value & 255)
    }
}

/// One direction of a conversation.
struct Flow {
    var from: (IPv4Address, UInt16)
    var to: (IPv4Address, UInt16)
    var back: Flow { Flow(from: to, to: from) }

    init(from: (IPv4Address, UInt16), to: (IPv4Address, UInt16)) {
        self.from = from
        self.to = to
    }
    init(_ port: UInt16 = 40_000, to destinationPort: UInt16 = 80) {
        self.init(from: (client, port), to: (server, destinationPort))
    }
}

extension Tuple {
    init(
        _ source: IPv4Address, _ sourcePort: UInt16, _ destination: IPv4Address,
        _ destinationPort: UInt16, _ protocol: IPProtocol
    ) {
        self.init(
            source: source, destination: destination, sourcePort: Port(sourcePort),
            destinationPort: Port(destinationPort), protocol: `protocol`)
    }
}

extension ConnectionTable {
    func track(
        _ frame: Frame, at now: Timestamp, verify: Bool = true, offload: OffloadHeader = .none
    ) -> Tracked {
        track(
            frame.bytes.span.bytes, frame.view, offload: offload, verifyChecksum: verify, now: now)
    }

    func peek(_ frame: Frame, at now: Timestamp) -> Tracked {
        peek(frame.bytes.span.bytes, frame.view, offload: .none, verifyChecksum: true, now: now)
    }

    /// Tracks and confirms, without NAT.
    @discardableResult
    func pass(_ frame: Frame, at now: Timestamp) -> Tracked {
        var tracked = track(frame, at: now)
        if let reason = confirm(&tracked, now: now) { tracked.drop = reason }
        return tracked
    }

    /// A packet through a node that translates: binds where needed, rewrites both ends, confirms.
    func forward(
        _ frame: inout Frame, at now: Timestamp, dnat: NATRange? = nil, snat: NATRange? = nil,
        offload: OffloadHeader = .none
    ) -> Tracked {
        var tracked = track(frame, at: now, offload: offload)
        guard tracked.drop == nil, let id = tracked.connection else { return tracked }
        for (end, range) in [(PacketEnd.destination, dnat), (.source, snat)] {
            if tracked.state == .new, needsBinding(id, end) {
                tracked.drop = bind(id, end, range: range, now: now)
            }
            var view = frame.view
            var storage = frame.bytes.mutableSpan
            var span = storage.mutableBytes
            if translate(&span, &view, tracked, end: end, offload: offload) == .refused {
                tracked.drop = .rule
            }
            #expect(view == frame.view, "the view and the bytes change together")
        }
        tracked.drop = tracked.drop ?? confirm(&tracked, now: now)
        return tracked
    }
}

/// Header and transport checksums by full recomputation.
func checksumsAreRight(_ frame: Frame, partial: Bool = false) -> Bool {
    let view = frame.view
    var sum = InternetChecksum()
    if view.transport != .icmp {
        sum.addPseudoHeader(
            source: view.source, destination: view.destination, protocol: view.protocol,
            length: view.transportLength)
    }
    if partial {
        let field = view.transportOffset + (view.transport == .tcp ? 16 : 6)
        return frame.bytes.span.bytes.u16(field) == sum.folded
    }
    if view.transport == .udp, frame.bytes.span.bytes.u16(view.transportOffset + 6) == 0 {
        return true
    }
    sum.add(frame.bytes.span.bytes, view.transportOffset..<view.end)
    return sum.folded == 0xFFFF
}
