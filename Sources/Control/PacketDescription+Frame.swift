// From a described packet to the frame that `explain` walks: headers and checksums as a sender's
// stack would make them.

import Wire

extension PacketDescription {
    /// An Ethernet frame holding the packet; the MAC addresses play no part in a walk.
    public func frame() -> [UInt8] {
        let transportBytes = transportHeader() + [UInt8](repeating: 0, count: payloadLength)
        var header: [UInt8] = [0x45, typeOfService]
        header += Self.bytes(UInt16(20 + transportBytes.count))
        header += Self.bytes(UInt16(0))
        header += Self.bytes(UInt16(0x4000))  // Don't fragment, as Linux sends TCP and echo.
        header += [timeToLive, ipProtocol.rawValue, 0, 0]
        header += Self.bytes(source.rawValue) + Self.bytes(destination.rawValue)
        let sum = Self.checksum(header)
        header.replaceSubrange(10..<12, with: Self.bytes(sum))
        let ethernet = [UInt8](repeating: 2, count: 12) + Self.bytes(EtherType.ipv4.rawValue)
        return ethernet + header + checksummed(transportBytes)
    }

    private var ipProtocol: IPProtocol {
        switch transport {
        case .tcp: .tcp
        case .udp: .udp
        case .icmp: .icmp
        }
    }

    private func transportHeader() -> [UInt8] {
        switch transport {
        case .tcp(let source, let destination, let flags):
            let acknowledgement: UInt32 = flags.rawValue & 16 == 0 ? 0 : 1
            return Self.bytes(source.rawValue) + Self.bytes(destination.rawValue)
                + Self.bytes(UInt32(1)) + Self.bytes(acknowledgement)
                + [0x50, flags.rawValue] + Self.bytes(UInt16(64240)) + [0, 0, 0, 0]
        case .udp(let source, let destination):
            return Self.bytes(source.rawValue) + Self.bytes(destination.rawValue)
                + Self.bytes(UInt16(8 + payloadLength)) + [0, 0]
        case .icmp(let type, let identifier):
            return [type, 0, 0, 0] + Self.bytes(identifier) + Self.bytes(UInt16(1))
        }
    }

    private func checksummed(_ bytes: [UInt8]) -> [UInt8] {
        var sum = InternetChecksum()
        let field: Int
        switch transport {
        case .tcp: field = 16
        case .udp: field = 6
        case .icmp: field = 2
        }
        if ipProtocol != .icmp {
            sum.addPseudoHeader(
                source: source, destination: destination, protocol: ipProtocol,
                length: bytes.count)
        }
        sum.add(words: bytes)
        var value = sum.complemented
        // RFC 768: a computed zero is sent as all ones.
        if ipProtocol == .udp, value == 0 { value = 0xFFFF }
        var result = bytes
        result.replaceSubrange(field..<field + 2, with: Self.bytes(value))
        return result
    }

    private static func checksum(_ header: [UInt8]) -> UInt16 {
        var sum = InternetChecksum()
        sum.add(words: header)
        return sum.complemented
    }

    private static func bytes(_ value: UInt16) -> [UInt8] {
        [UInt8(value >> 8), UInt8(truncatingIfNeeded: value)]
    }
    private static func bytes(_ value: UInt32) -> [UInt8] {
        bytes(UInt16(value >> 16)) + bytes(UInt16(truncatingIfNeeded: value))
    }
}

extension InternetChecksum {
    /// RFC 1071: an odd last byte counts as if a zero followed it.
    fileprivate mutating func add(words bytes: [UInt8]) {
        for index in stride(from: 0, to: bytes.count, by: 2) {
            let low = index + 1 < bytes.count ? bytes[index + 1] : 0
            add(UInt16(bytes[index]) << 8 | UInt16(low))
        }
    }
}
