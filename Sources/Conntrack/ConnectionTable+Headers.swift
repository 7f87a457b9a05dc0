// Judging a transport header before it moves anything (tcp_error, udp_error, icmp_error), and ICMP
// errors, which speak about another packet's connection.

import Wire

extension ConnectionTable {
    /// What is wrong with a TCP or UDP header, if anything.
    static func headerFault(
        _ bytes: RawSpan, _ view: PacketView, _ facts: PacketFacts, _ verify: Bool
    ) -> InvalidReason? {
        switch view.transport {
        case .tcp:
            guard let segment = facts.segment else { return .truncatedHeader }
            if verify, !transportChecksumIsRight(bytes, view, length: view.transportLength) {
                return .badChecksum
            }
            return segment.hasPossibleFlags ? nil : .badTCPFlags
        case .udp:
            let length = Int(bytes.u16(view.transportOffset &+ 4))
            guard length >= 8, length <= view.transportLength else { return .badUDPLength }
            // RFC 768: zero means that the sender made none.
            guard verify, bytes.u16(view.transportOffset &+ 6) != 0 else { return nil }
            return transportChecksumIsRight(bytes, view, length: view.transportLength)
                ? nil : .badChecksum
        case .icmp, .other, .fragment, .truncated:
            return nil
        }
    }

    private static func transportChecksumIsRight(
        _ bytes: RawSpan, _ view: PacketView, length: Int
    ) -> Bool {
        var sum = InternetChecksum()
        sum.addPseudoHeader(
            source: view.source, destination: view.destination, protocol: view.protocol,
            length: length)
        sum.add(bytes, view.transportOffset..<(view.transportOffset &+ length))
        return sum.folded == 0xFFFF
    }

    static func icmpChecksumIsRight(_ bytes: RawSpan, _ view: PacketView) -> Bool {
        var sum = InternetChecksum()
        sum.add(bytes, view.transportOffset..<view.end)
        return sum.folded == 0xFFFF
    }

    /// The answer for bad ICMP and for ICMP errors; `nil` where the packet is tracked like others.
    func trackICMPHeader(
        _ bytes: RawSpan, _ view: PacketView, _ zone: Zone, _ verify: Bool, _ now: Timestamp,
        _ dry: Bool
    ) -> Tracked? {
        if verify, !Self.icmpChecksumIsRight(bytes, view) { return .invalid(.badChecksum) }
        // RFC 1122, 3.2.2: unknown types are discarded; 18 is the last that the kernel knows.
        guard view.icmpType <= 18 else { return .invalid(.unknownICMPType) }
        guard ICMPQuery.isError(view.icmpType) else { return nil }
        return trackError(bytes, view, zone, now, dry)
    }

    /// An ICMP error belongs to the connection whose packet it quotes, in the direction opposite to
    /// that packet's (`nf_conntrack_inet_error`).
    private func trackError(
        _ bytes: RawSpan, _ view: PacketView, _ zone: Zone, _ now: Timestamp, _ dry: Bool
    ) -> Tracked {
        guard
            let quoted = PacketView.parseQuoted(
                bytes.extracting(first: view.end), networkOffset: view.transportOffset &+ 8),
            let tuple = Tuple(quoted), tuple.isInvertible
        else { return .invalid(.icmpQuotesNothing) }
        guard let found = lookUp(tuple.reversed, zone, now: now, dry: dry) else {
            return .invalid(.icmpQuotesUnknown)
        }
        // The error must be sent to where the quoted packet came from; else anybody could have errors
        // about one host's connection RELATED for another.
        guard view.destination == storage[found.index][found.direction].destination else {
            return .invalid(.icmpQuoteMisdirected)
        }
        return Tracked(
            state: .related, connection: handle(found.index), direction: found.direction)
    }
}
