// `-m sctp` and `-m dccp` (net/netfilter/xt_sctp.c, xt_dccp.c).

import Ruleset
import Wire

/// The ports that SCTP and DCCP keep where TCP and UDP do.
private func holdsPorts(
    _ source: Invertible<PortRange>?, _ destination: Invertible<PortRange>?, _ bytes: RawSpan,
    _ view: PacketView
) -> Bool {
    let t = view.transportOffset
    if let source, source.value.contains(Port(bytes.u16(t))) == source.inverted { return false }
    guard let destination else { return true }
    return destination.value.contains(Port(bytes.u16(t &+ 2))) != destination.inverted
}

extension SCTPMatch {
    private static let headerLength = 12

    func evaluate(_ bytes: RawSpan, _ view: PacketView) -> MatchResult {
        guard view.fragmentOffset == 0 else { return .no }
        guard view.transportLength >= Self.headerLength else { return .hotDrop }
        guard holdsPorts(sourcePorts, destinationPorts, bytes, view) else { return .no }
        guard let chunks else { return .yes }
        let first = view.transportOffset &+ Self.headerLength
        guard let found = chunks.value.isFound(bytes, first..<view.end) else { return .hotDrop }
        return MatchResult(found != chunks.inverted)
    }
}

extension SCTPChunkTest {
    /// `nil` where a chunk's header is cut short or says length 0. An empty range is such a chunk too.
    fileprivate func isFound(_ bytes: RawSpan, _ range: Range<Int>) -> Bool? {
        var missing = types
        var offset = range.lowerBound
        repeat {
            guard offset &+ 4 <= range.upperBound else { return nil }
            let length = Int(bytes.u16(offset &+ 2))
            guard length > 0 else { return nil }
            let type = bytes.u8(offset)
            let test = flags(of: type)
            let holds = types.contains(type) && bytes.u8(offset &+ 1) & test.mask == test.value
            switch mode {
            case .any: if holds { return true }
            case .all: if holds { missing.remove(type) }
            case .only: if !holds { return false }
            }
            offset &+= (length &+ 3) & ~3
        } while offset < range.upperBound
        switch mode {
        case .any: return false
        case .all: return missing.isEmpty
        case .only: return true
        }
    }
}

extension DCCPMatch {
    private static let headerLength = 12

    func evaluate(_ bytes: RawSpan, _ view: PacketView) -> MatchResult {
        guard view.fragmentOffset == 0 else { return .no }
        guard view.transportLength >= Self.headerLength else { return .hotDrop }
        guard holdsPorts(sourcePorts, destinationPorts, bytes, view) else { return .no }
        let type = bytes.u8(view.transportOffset &+ 8) >> 1 & 15
        if let types, (types.value >> UInt16(type) & 1 == 1) == types.inverted { return .no }
        guard let option else { return .yes }
        guard let found = Self.hasOption(option.value, type, bytes, view) else { return .hotDrop }
        return MatchResult(found != option.inverted)
    }

    /// `nil` where the header is shorter than its type's, or does not fit into the packet.
    private static func hasOption(
        _ kind: UInt8, _ type: UInt8, _ bytes: RawSpan, _ view: PacketView
    ) -> Bool? {
        let t = view.transportOffset
        let hasLongSequence = bytes.u8(t &+ 8) & 1 == 1
        let fixed = headerLength &+ (hasLongSequence ? 4 : 0) &+ typeLength(type)
        let length = Int(bytes.u8(t &+ 4)) &* 4
        guard length >= fixed else { return nil }
        if length == fixed { return false }
        guard length <= view.transportLength else { return nil }
        var offset = t &+ fixed
        let end = t &+ length
        while offset < end {
            let option = bytes.u8(offset)
            if option == kind { return true }
            // Options 0 and 1 are a single byte; a length of 0 counts as 1.
            offset &+= option < 2 || offset &+ 1 >= end ? 1 : max(1, Int(bytes.u8(offset &+ 1)))
        }
        return false
    }

    /// What follows the generic header, by packet type (`dccp_packet_hdr_len`).
    private static func typeLength(_ type: UInt8) -> Int {
        switch type {
        case 0: 4
        case 2: 0
        case 3, 4, 5, 6, 8, 9: 8
        default: 12
        }
    }
}
