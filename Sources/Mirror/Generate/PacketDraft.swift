// IPv4 packets field by field, with everything that can be wrong about one within reach: the generators
// begin with a sound packet and then damage what they want damaged.

import Wire

/// An IPv4 packet under construction.
struct PacketDraft {
    var source: IPv4Address
    var destination: IPv4Address
    var `protocol`: IPProtocol
    var typeOfService: UInt8 = 0
    var identification: UInt16 = 0
    /// Flags and offset as on the wire.
    var fragmentField: UInt16 = 0
    var timeToLive: UInt8 = 64
    /// IP options; a multiple of four bytes.
    var options: [UInt8] = []
    /// What stands behind the IP header, transport header included.
    var payload: [UInt8] = []
    /// Where in `payload` the transport checksum stands, if it is to be right.
    var checksumOffset: Int?

    /// The packet with its lengths and checksums.
    var bytes: [UInt8] {
        let header = 20 + options.count
        var bytes = [UInt8](repeating: 0, count: header + payload.count)
        bytes.replaceSubrange(20..<header, with: options)
        bytes.replaceSubrange(header..., with: payload)
        bytes[0] = UInt8(0x40 | header / 4)
        bytes[1] = typeOfService
        bytes.set(UInt16(header + payload.count), at: 2)
        bytes.set(identification, at: 4)
        bytes.set(fragmentField, at: 6)
        bytes[8] = timeToLive
        bytes[9] = `protocol`.rawValue
        bytes.set(UInt16(source.rawValue >> 16), at: 12)
        bytes.set(UInt16(truncatingIfNeeded: source.rawValue), at: 14)
        bytes.set(UInt16(destination.rawValue >> 16), at: 16)
        bytes.set(UInt16(truncatingIfNeeded: destination.rawValue), at: 18)
        bytes.set(bytes.checksum(0..<header), at: 10)
        if let checksumOffset, checksumOffset + 2 <= payload.count {
            bytes.set(transportChecksum, at: header + checksumOffset)
        }
        return bytes
    }

    /// The transport checksum over `payload` with the field itself taken as zero.
    private var transportChecksum: UInt16 {
        var sum = InternetChecksum()
        if `protocol` != .icmp {
            sum.addPseudoHeader(
                source: source, destination: destination, protocol: `protocol`,
                length: payload.count)
        }
        payload.withRawSpan { sum.add($0, 0..<$0.byteCount) }
        let value = sum.complemented
        return value == 0 && `protocol` == .udp ? 0xFFFF : value
    }
}

extension [UInt8] {
    /// Big-endian, as on the wire.
    mutating func set(_ value: UInt16, at offset: Int) {
        self[offset] = UInt8(value >> 8)
        self[offset + 1] = UInt8(truncatingIfNeeded: value)
    }

    /// The Internet checksum of these bytes.
    func checksum(_ range: Range<Int>) -> UInt16 {
        var sum = InternetChecksum()
        withRawSpan { sum.add($0, range) }
        return sum.complemented
    }

    mutating func append(_ value: UInt16) {
        append(UInt8(value >> 8))
        append(UInt8(truncatingIfNeeded: value))
    }
    mutating func append(_ value: UInt32) {
        append(UInt16(value >> 16))
        append(UInt16(truncatingIfNeeded: value))
    }
}

extension PacketDraft {
    /// A TCP segment (RFC 9293, 3.1); `options` are filled up with end-of-list.
    static func tcp(_ flow: Flow, _ segment: Segment) -> PacketDraft {
        var options = segment.options
        while options.count % 4 != 0 { options.append(UInt8(0)) }
        var payload: [UInt8] = []
        payload.append(flow.sourcePort)
        payload.append(flow.destinationPort)
        payload.append(segment.sequence)
        payload.append(segment.acknowledgement)
        payload.append(UInt8((20 + options.count) / 4) << 4)
        payload.append(segment.flags.rawValue)
        payload.append(segment.window)
        payload.append(UInt16(0))
        payload.append(UInt16(segment.flags.contains(.urg) ? 1 : 0))
        payload += options + filler(segment.length)
        return PacketDraft(
            source: flow.source, destination: flow.destination, protocol: .tcp,
            payload: payload, checksumOffset: 16)
    }

    /// A UDP datagram (RFC 768).
    static func udp(_ flow: Flow, data: [UInt8]) -> PacketDraft {
        var payload: [UInt8] = []
        payload.append(flow.sourcePort)
        payload.append(flow.destinationPort)
        payload.append(UInt16(8 + data.count))
        payload.append(UInt16(0))
        return PacketDraft(
            source: flow.source, destination: flow.destination, protocol: .udp,
            payload: payload + data, checksumOffset: 6)
    }

    /// An ICMP message (RFC 792); `rest` is the second word of its header.
    static func icmp(
        _ source: IPv4Address, _ destination: IPv4Address, type: UInt8, code: UInt8 = 0,
        rest: UInt32 = 0, data: [UInt8] = []
    ) -> PacketDraft {
        var payload: [UInt8] = [type, code, 0, 0]
        payload.append(rest)
        return PacketDraft(
            source: source, destination: destination, protocol: .icmp,
            payload: payload + data, checksumOffset: 2)
    }

    /// Bytes that show their place, so that a mix-up of fragments is seen.
    static func filler(_ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 >> 8) }
    }
}

/// Addresses and ports of one direction.
struct Flow: Hashable {
    var source: IPv4Address
    var sourcePort: UInt16
    var destination: IPv4Address
    var destinationPort: UInt16

    var reversed: Flow {
        Flow(
            source: destination, sourcePort: destinationPort, destination: source,
            destinationPort: sourcePort)
    }
}

/// What a TCP segment says besides its ports.
struct Segment {
    var flags: TCPFlags
    var sequence: UInt32
    var acknowledgement: UInt32 = 0
    var window: UInt16 = 64_240
    var options: [UInt8] = []
    /// Bytes of data.
    var length = 0
}
