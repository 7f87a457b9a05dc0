// Captures come with many link layers; the data plane reads Ethernet. Those that carry an IP packet
// behind a header of known length get an Ethernet header in its place. What is neither is handed over
// behind a header that says "not IPv4", so that it is counted like any other frame that is not.

import CPcap
import Wire

enum LinkLayer: Sendable {
    case ethernet
    /// A header of `length` bytes with an EtherType at `typeOffset`.
    case cooked(typeOffset: Int, length: Int)
    /// `length` bytes that say nothing more than that IP follows.
    case plain(length: Int)
    case unknown

    init(pcapLinkType: Int32) {
        switch pcapLinkType {
        case DLT_EN10MB: self = .ethernet
        case 113: self = .cooked(typeOffset: 14, length: 16)  // LINUX_SLL
        case 276: self = .cooked(typeOffset: 0, length: 20)  // LINUX_SLL2
        // DLT_RAW is 12 or 14 by platform; 101 is LINKTYPE_RAW, 228 LINKTYPE_IPV4.
        case 12, 14, 101, 228: self = .plain(length: 0)
        case DLT_NULL, DLT_LOOP: self = .plain(length: 4)
        default: self = .unknown
        }
    }

    static let ethernetHeader = 14

    /// How many bytes of the packet an Ethernet header stands for, and the EtherType to put into it.
    /// Nil if the packet is a frame already.
    func replacement(for packet: RawSpan) -> (header: Int, type: EtherType)? {
        switch self {
        case .ethernet:
            return nil
        case .cooked(let typeOffset, let length):
            guard packet.byteCount >= length else { break }
            return (length, EtherType(rawValue: packet.u16(typeOffset)))
        case .plain(let length):
            guard packet.byteCount > length else { break }
            switch packet.u8(length) >> 4 {
            case 4: return (length, .ipv4)
            case 6: return (length, .ipv6)
            default: break
            }
        case .unknown:
            break
        }
        return (0, EtherType(rawValue: 0))
    }
}
