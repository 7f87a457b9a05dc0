// What the frames of a measurement look like.

import Wire

/// Frames of one kind.
struct FrameStream: Sendable {
    var interface: String
    var source: MACAddress
    var target: MACAddress
    var sender: IPv4Address
    var destination: IPv4Address
    /// Where frames arrive, and with which addresses.
    var receiver: String
    var arrivesFrom: IPv4Address
    var arrivesAt: IPv4Address
    /// Of the whole frame, without the frame check sequence: a "64-byte frame" has 60.
    var length: Int
    /// A power of two, at most 2^24.
    var flows: UInt32
    /// Whether the receiver is a program in XDP, which no socket buffer comes to.
    var endsInXDP: Bool

    static let firstPort: UInt16 = 5000

    /// Ethernet, IPv4 and UDP, without a UDP checksum and ports.
    var headers: [UInt8] {
        var bytes: [UInt8] = []
        for address in [target, source] {
            bytes += (0..<6).map {
                UInt8(truncatingIfNeeded: address.rawValue >> (40 - 8 * UInt64($0)))
            }
        }
        bytes += [0x08, 0x00, 0x45, 0]
        bytes += Self.word(length - 14) + [0, 0, 0x40, 0, 64, 17, 0, 0]
        for address in [sender, destination] {
            bytes += [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: address.rawValue >> $0) }
        }
        let sum = stride(from: 14, to: 34, by: 2).reduce(0) {
            $0 + Int(bytes[$1]) << 8 + Int(bytes[$1 + 1])
        }
        let folded = (sum & 0xFFFF) + sum >> 16
        bytes.replaceSubrange(
            24..<26, with: Self.word(~((folded & 0xFFFF) + folded >> 16) & 0xFFFF))
        return bytes + [0, 0, 0, 0] + Self.word(length - 34) + [0, 0]
    }

    private static func word(_ value: Int) -> [UInt8] {
        [UInt8(truncatingIfNeeded: value >> 8), UInt8(truncatingIfNeeded: value)]
    }
}
