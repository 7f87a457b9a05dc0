// Frames for tests, built field by field with correct checksums unless told otherwise.

import Wire

/// Bytes of an Ethernet frame that carries one IPv4 packet.
public struct TestFrame: Sendable {
    public var source: IPv4Address
    public var destination: IPv4Address
    public var `protocol`: IPProtocol
    public var typeOfService: UInt8
    public var identification: UInt16
    /// Flags and offset as on the wire.
    public var fragmentField: UInt16
    public var timeToLive: UInt8
    /// Padded to a multiple of four by the caller.
    public var options: [UInt8]
    public var payload: [UInt8]
    public var targetMAC: MACAddress
    public var sourceMAC: MACAddress

    public init(
        source: IPv4Address = IPv4Address(10, 1, 0, 2),
        destination: IPv4Address = IPv4Address(10, 2, 0, 2), protocol: IPProtocol = .udp,
        typeOfService: UInt8 = 0, identification: UInt16 = 0x1234, fragmentField: UInt16 = 0,
        timeToLive: UInt8 = 64, options: [UInt8] = [], payload: [UInt8] = [],
        targetMAC: MACAddress = MACAddress(rawValue: 0x0200_0000_0001),
        sourceMAC: MACAddress = MACAddress(rawValue: 0x0200_0000_0002)
    ) {
        self.source = source
        self.destination = destination
        self.protocol = `protocol`
        self.typeOfService = typeOfService
        self.identification = identification
        self.fragmentField = fragmentField
        self.timeToLive = timeToLive
        self.options = options
        self.payload = payload
        self.targetMAC = targetMAC
        self.sourceMAC = sourceMAC
    }

    public var bytes: [UInt8] {
        var out = [UInt8](repeating: 0, count: 34 + options.count + payload.count)
        out.replaceSubrange(34..<34 + options.count, with: options)
        out.replaceSubrange((34 + options.count)..., with: payload)
        var storage = out.mutableSpan
        var span = storage.mutableBytes
        span.set(targetMAC, at: 0)
        span.set(sourceMAC, at: 6)
        span.set(EtherType.ipv4.rawValue, at: 12)
        span.set(UInt8(0x40 | (5 + options.count / 4)), at: 14)
        span.set(typeOfService, at: 15)
        span.set(UInt16(20 + options.count + payload.count), at: 16)
        span.set(identification, at: 18)
        span.set(fragmentField, at: 20)
        span.set(timeToLive, at: 22)
        span.set(`protocol`.rawValue, at: 23)
        span.set(source.rawValue, at: 26)
        span.set(destination.rawValue, at: 30)
        var sum = InternetChecksum()
        sum.add(span.bytes, 14..<34 + options.count)
        span.set(sum.complemented, at: 24)
        return out
    }

    public var view: PacketView { parsed(bytes) }
}

public func parsed(_ bytes: [UInt8]) -> PacketView {
    guard case .packet(let view) = PacketView.parse(bytes.span.bytes) else {
        preconditionFailure("a test frame is well formed")
    }
    return view
}

extension TestFrame {
    private func checksummed(_ segment: [UInt8], at field: Int) -> [UInt8] {
        var sum = InternetChecksum()
        if `protocol` != .icmp {
            sum.addPseudoHeader(
                source: source, destination: destination, protocol: `protocol`,
                length: segment.count)
        }
        sum.add(segment.span.bytes, 0..<segment.count)
        var out = segment
        out[field] = UInt8(sum.complemented >> 8)
        out[field + 1] = UInt8(sum.complemented & 255)
        return out
    }

    public func udp(_ from: UInt16, _ to: UInt16, _ data: [UInt8] = []) -> TestFrame {
        var copy = self
        copy.protocol = .udp
        let header = words([from, to, UInt16(8 + data.count), 0])
        copy.payload = copy.checksummed(header + data, at: 6)
        return copy
    }

    public func tcp(
        _ from: UInt16, _ to: UInt16, _ flags: TCPFlags, sequence: UInt32 = 1000,
        acknowledgement: UInt32 = 0, options: [UInt8] = [], _ data: [UInt8] = []
    ) -> TestFrame {
        var copy = self
        copy.protocol = .tcp
        var header = words([
            from, to, UInt16(sequence >> 16), UInt16(sequence & 0xFFFF),
            UInt16(acknowledgement >> 16), UInt16(acknowledgement & 0xFFFF), 0, 8192, 0, 0,
        ])
        header[12] = UInt8((5 + options.count / 4) << 4)
        header[13] = flags.rawValue
        copy.payload = copy.checksummed(header + options + data, at: 16)
        return copy
    }

    public func icmp(_ type: UInt8, _ code: UInt8 = 0, rest: UInt32 = 0, _ data: [UInt8] = [])
        -> TestFrame
    {
        var copy = self
        copy.protocol = .icmp
        let header: [UInt8] =
            [type, code, 0, 0] + words([UInt16(rest >> 16), UInt16(rest & 0xFFFF)])
        copy.payload = copy.checksummed(header + data, at: 2)
        return copy
    }

    /// The fragments of this frame's packet, each with `size` bytes of payload but the last.
    public func fragments(of size: Int, dontFragment: Bool = false) -> [TestFrame] {
        stride(from: 0, to: payload.count, by: size).map { offset in
            var copy = self
            let end = min(payload.count, offset + size)
            copy.payload = Array(payload[offset..<end])
            copy.fragmentField =
                UInt16(offset / 8) | (end < payload.count ? 0x2000 : 0)
                | (dontFragment ? 0x4000 : 0)
            return copy
        }
    }
}

public func words(_ values: [UInt16]) -> [UInt8] {
    values.flatMap { [UInt8($0 >> 8), UInt8($0 & 255)] }
}

/// `count` bytes that differ from their neighbours.
public func pattern(_ count: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 >> 8) }
}
