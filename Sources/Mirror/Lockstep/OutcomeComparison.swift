// Whether two engines did the same with a packet: the same packets out, on the same links, byte for byte, and the
// same connections opened. The order counts among those of one link; between links the kernel has none that could
// be seen.

import Conntrack
import Scenario
import Wire

enum OutcomeComparison {
    /// - Parameter injected: what the kernel was given.
    static func agree(_ kernel: Outcome, _ sluice: Outcome, injected: CasePacket) -> Bool {
        let there = byPlace(kernel)
        let here = byPlace(sluice)
        guard there.keys == here.keys, kernel.opened == sluice.opened else { return false }
        let identification = injected.view?.identification
        return there.allSatisfy { place, packets in
            let others = here[place] ?? []
            return packets.count == others.count
                && zip(packets, others).allSatisfy {
                    agree($0, $1, injected: identification)
                }
        }
    }

    private static func byPlace(_ outcome: Outcome) -> [Emission.Place: [Emission]] {
        Dictionary(grouping: outcome.emissions, by: \.place)
    }

    /// A packet that a node makes itself has an identification that nobody can foretell, and a header
    /// checksum that follows from it; each must be right for itself. So must an error's that quotes
    /// a reset before its checksum was whole.
    private static func agree(_ kernel: Emission, _ sluice: Emission, injected: UInt16?) -> Bool {
        let kernel = kernel.withWholeChecksum
        if kernel.bytes == sluice.bytes { return true }
        guard kernel.isOwn(injected: injected), sluice.isOwn(injected: injected),
            kernel.hasRightChecksums, sluice.hasRightChecksums
        else { return false }
        return kernel.withoutTheUnforeseeable == sluice.withoutTheUnforeseeable
    }
}

extension Emission {
    var networkOffset: Int {
        switch place {
        case .wire: 14
        case .delivered: 0
        }
    }

    var view: PacketView? { bytes.view(networkOffset: networkOffset) }

    /// A reset that the node sends itself over `lo` is delivered with the pseudo-header's sum alone:
    /// nobody needed more.
    fileprivate var withWholeChecksum: Emission {
        guard case .delivered = place, let view, view.transport == .tcp else { return self }
        let start = view.transportOffset
        var sum = InternetChecksum()
        sum.addPseudoHeader(
            source: view.source, destination: view.destination, protocol: view.protocol,
            length: view.transportLength)
        guard bytes.withRawSpan({ $0.u16(start + 16) }) == sum.folded else { return self }
        // The field is part of what is summed.
        sum = InternetChecksum()
        bytes.withRawSpan { sum.add($0, start..<(start + view.transportLength)) }
        var copy = self
        copy.bytes[start + 16] = UInt8(sum.complemented >> 8)
        copy.bytes[start + 17] = UInt8(sum.complemented & 0xFF)
        return copy
    }

    /// Whether the node made the packet: what it carries keeps its identification. One in 65,536 of its own
    /// errors has that by chance, and is known by what it quotes.
    fileprivate func isOwn(injected: UInt16?) -> Bool {
        guard let view else { return false }
        if view.identification != injected { return true }
        guard view.isICMPError, view.transportLength >= 28 else { return false }
        return bytes.withRawSpan { $0.u16(view.transportOffset + 8 + 4) } == injected
    }

    /// The header's, and where it is an ICMP error also that one's.
    fileprivate var hasRightChecksums: Bool {
        guard let view else { return false }
        var covered = [networkOffset..<(networkOffset + view.headerLength)]
        if view.isICMPError { covered.append(view.transportOffset..<view.end) }
        return bytes.withRawSpan { span in
            covered.allSatisfy { range in
                var sum = InternetChecksum()
                sum.add(span, range)
                return sum.folded == 0xFFFF
            }
        }
    }

    /// Without its identification, its header's checksum, and the checksum of a reset that the node made and then
    /// reports about: the kernel quotes that with the pseudo-header's sum alone, which NAT of the error
    /// then changes as if it were whole.
    fileprivate var withoutTheUnforeseeable: [UInt8] {
        var copy = bytes
        var fields = [networkOffset + 4, networkOffset + 10]
        if let view, view.isICMPError,
            let quoted = bytes.withRawSpan({
                PacketView.parseQuoted($0, networkOffset: view.transportOffset + 8)
            }), quoted.isOwnReset(in: bytes)
        {
            fields += [view.transportOffset + 2, quoted.transportOffset + 16]
        }
        for field in fields { copy.replaceSubrange(field..<(field + 2), with: [0, 0]) }
        return copy
    }
}

extension CasePacket {
    var networkOffset: Int {
        switch origin {
        case .wire: 14
        case .node: 0
        }
    }

    var view: PacketView? { bytes.view(networkOffset: networkOffset) }
}

extension PacketView {
    /// Whether it quotes the packet that it is about (RFC 792).
    var isICMPError: Bool {
        transport == .icmp && ICMPQuery.isError(icmpType)
    }

    /// Whether this quoted packet is as a REJECT rule makes resets: no options, no data, no identification
    /// (net/ipv4/netfilter/nf_reject_ipv4.c).
    fileprivate func isOwnReset(in bytes: [UInt8]) -> Bool {
        transport == .tcp && headerLength == 20 && transportLength == 20 && identification == 0
            && bytes[transportOffset + 13] & 0x04 != 0
    }
}

extension [UInt8] {
    func view(networkOffset: Int) -> PacketView? {
        withRawSpan { span in
            guard span.byteCount >= networkOffset,
                case .packet(let view) = PacketView.parse(span, networkOffset: networkOffset)
            else { return nil }
            return view
        }
    }
}
