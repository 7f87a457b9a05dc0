// Packets out of fuzzed bytes. A mutation that changes a byte should not die at a checksum, so lengths and
// checksums are mended unless the input says to leave them:
//
//     control (1 byte), time (1 byte), length (2 bytes), the IP packet
//
// and the target reads what `control` says about the rest.

import Wire

@testable import Dataplane

struct FrameInput {
    var control: UInt8
    /// Nanoseconds since the packet before: 2^0 … 2^40 (18 minutes), 0 for most.
    var pause: UInt64
    /// An Ethernet frame.
    var frame: [UInt8]

    private static let leavesHeader: UInt8 = 0x40
    private static let leavesTransport: UInt8 = 0x80

    init(_ input: inout InputReader) {
        control = input.u8()
        let exponent = UInt64(input.u8())
        pause = exponent > 40 || exponent == 0 ? 0 : 1 << exponent
        let length = Int(input.u16()) % 3000
        let macs: [UInt8] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0]
        frame = macs + input.take(length)
        if control & Self.leavesHeader == 0 { mendHeader() }
        if control & Self.leavesTransport == 0 { mendTransport() }
    }

    private mutating func mendHeader() {
        let header = frame.count > 14 ? Int(frame[14] & 15) * 4 : 0
        guard header >= 20, frame.count >= 14 + header else { return }
        let count = frame.count - 14
        frame.withMutableBytes { span in
            span.set(UInt16(count), at: 16)
            span.setHeaderChecksum(networkOffset: 14, headerLength: header)
        }
    }

    private mutating func mendTransport() {
        guard case .packet(let view) = frame.withRawSpan({ PacketView.parse($0) }) else { return }
        let field: Int
        switch view.transport {
        case .tcp: field = view.transportOffset + 16
        case .udp: field = view.transportOffset + 6
        case .icmp: field = view.transportOffset + 2
        case .other, .fragment, .truncated: return
        }
        frame.withMutableBytes { span in
            if view.transport == .udp {
                span.set(UInt16(view.transportLength), at: view.transportOffset + 4)
            }
            span.set(UInt16(0), at: field)
            span.set(transportChecksum(span.bytes, view), at: field)
        }
    }
}

/// Over the whole transport part, pseudo-header included where the protocol has one.
func transportChecksum(_ bytes: RawSpan, _ view: PacketView) -> UInt16 {
    var sum = InternetChecksum()
    if view.transport != .icmp {
        sum.addPseudoHeader(
            source: view.source, destination: view.destination, protocol: view.protocol,
            length: view.transportLength)
    }
    sum.add(bytes, view.transportOffset..<view.end)
    return sum.complemented
}

extension [UInt8] {
    mutating func withMutableBytes<R>(_ body: (inout MutableRawSpan) -> R) -> R {
        var span = mutableSpan
        var bytes = span.mutableBytes
        return body(&bytes)
    }
}

// MARK: Seeds

/// Packets for seeds; checksums and lengths are mended when they are read.
enum SeedPacket {
    static func ipv4(
        _ source: [UInt8], _ destination: [UInt8], _ number: UInt8, _ payload: [UInt8],
        fragment: UInt16 = 0, options: [UInt8] = []
    ) -> [UInt8] {
        let first = UInt8(0x45 + options.count / 4)
        let flags = [UInt8(fragment >> 8), UInt8(fragment & 255)]
        return [first, 0, 0, 0, 0, 7] + flags + [64, number, 0, 0] + source + destination
            + options + payload
    }

    static func ports(_ source: UInt16, _ destination: UInt16) -> [UInt8] {
        [
            UInt8(source >> 8), UInt8(source & 255), UInt8(destination >> 8),
            UInt8(destination & 255),
        ]
    }

    static func tcp(
        _ source: UInt16, _ destination: UInt16, flags: UInt8, sequence: UInt8 = 0,
        acknowledgement: UInt8 = 0, options: [UInt8] = [], data: [UInt8] = []
    ) -> [UInt8] {
        ports(source, destination) + [0, 0, 0, sequence, 0, 0, 0, acknowledgement]
            + [UInt8(0x50 + options.count / 4 << 4), flags, 0x20, 0, 0, 0, 0, 0] + options + data
    }

    static func udp(_ source: UInt16, _ destination: UInt16, _ data: [UInt8] = [1, 2, 3]) -> [UInt8]
    {
        ports(source, destination) + [0, 0, 0, 0] + data
    }

    static func icmp(_ type: UInt8, _ code: UInt8 = 0, _ rest: [UInt8]) -> [UInt8] {
        [type, code, 0, 0] + rest
    }

    static let client: [UInt8] = [10, 1, 0, 2]
    static let server: [UInt8] = [10, 2, 0, 2]
    static let node: [UInt8] = [10, 1, 0, 1]
    /// Kind, length and two bytes of padding each: MSS, window scale, SACK permitted, timestamps, SACK.
    static let synOptions: [UInt8] = [
        2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7,
    ]
    static let sackOptions: [UInt8] = [1, 1, 5, 10, 0, 0, 0, 5, 0, 0, 0, 9]

    /// Packets as an input: control, pause, length, bytes.
    static func input(_ packets: [(control: UInt8, packet: [UInt8])]) -> [UInt8] {
        packets.flatMap { control, packet in
            [control, 0, UInt8(packet.count >> 8), UInt8(packet.count & 255)] + packet
        }
    }

    /// A TCP conversation through the node, `forth` and `back` being the ports' control bytes.
    static func conversation(forth: UInt8, back: UInt8) -> [(UInt8, [UInt8])] {
        func there(_ segment: [UInt8]) -> (UInt8, [UInt8]) {
            (forth, ipv4(client, server, 6, segment))
        }
        func here(_ segment: [UInt8]) -> (UInt8, [UInt8]) {
            (back, ipv4(server, client, 6, segment))
        }
        return [
            there(tcp(4000, 80, flags: 2, options: synOptions)),
            here(tcp(80, 4000, flags: 0x12, acknowledgement: 1, options: synOptions)),
            there(tcp(4000, 80, flags: 0x10, sequence: 1, acknowledgement: 1)),
            there(tcp(4000, 80, flags: 0x18, sequence: 1, acknowledgement: 1, data: [65, 66, 67])),
            here(tcp(80, 4000, flags: 0x10, sequence: 1, acknowledgement: 1, options: sackOptions)),
            here(tcp(80, 4000, flags: 0x11, sequence: 1, acknowledgement: 4)),
            there(tcp(4000, 80, flags: 0x14, sequence: 4, acknowledgement: 2)),
        ]
    }

    /// Everything else: datagrams, echo, errors that quote, fragments, options.
    static func mixture(forth: UInt8, back: UInt8) -> [(UInt8, [UInt8])] {
        let query = ipv4(client, server, 17, udp(5000, 53))
        let echo = ipv4(client, server, 1, icmp(8, 0, [0, 9, 0, 1, 1, 2, 3]))
        let whole = udp(5001, 53, [UInt8](repeating: 3, count: 40))
        return [
            (forth, query), (back, ipv4(server, client, 17, udp(53, 5000))),
            (forth, echo), (back, ipv4(server, client, 1, icmp(0, 0, [0, 9, 0, 1, 1, 2, 3]))),
            (back, ipv4([10, 2, 0, 9], client, 1, icmp(3, 4, [0, 0, 2, 0] + query))),
            (forth, ipv4(client, server, 17, Array(whole[..<24]), fragment: 0x2000)),
            (forth, ipv4(client, server, 17, Array(whole[24...]), fragment: 3)),
            (forth, ipv4(client, server, 17, udp(1, 2), options: [7, 7, 4, 0, 0, 0, 0, 0])),
            (forth, ipv4(client, node, 47, [1, 2, 3, 4])),
        ]
    }
}
