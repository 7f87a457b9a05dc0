// Applying a connection's bindings to a packet (nf_nat_core.c, nf_nat_packet; nf_nat_proto.c). Both
// directions come from the one entry: a packet is given the addresses of the inverse of the other
// direction's tuple.

import Wire

/// What `translate` did.
@frozen
public enum Translation: UInt8, Sendable {
    case unchanged
    case rewritten
    /// An ICMP error that cannot be translated: drop it, as the kernel does.
    case refused
}

extension ConnectionTable {
    /// Translates one end of a packet: the destination at PREROUTING and OUTPUT, the source at INPUT
    /// and POSTROUTING. INVALID and UNTRACKED packets have no connection and stay as they are.
    public func translate(
        _ bytes: inout MutableRawSpan, _ view: inout PacketView, _ tracked: Tracked, end: PacketEnd,
        offload: OffloadHeader
    ) -> Translation {
        guard let id = tracked.connection, let index = slot(id) else { return .unchanged }
        let isError =
            tracked.state == .related && view.transport == .icmp
            && ICMPQuery.isError(view.icmpType)
        if isError {
            guard offload.needsChecksum || bytes.bytes.hasRightICMPChecksum(view) else {
                return .refused
            }
            if view.icmpType == ICMPQuery.redirect, !mayTranslateRedirect(index) { return .refused }
        }
        // What one direction does to its source, the other does to its destination.
        let bound = tracked.direction == .original ? end : end.opposite
        guard storage[index].status.contains(bound.translated) else { return .unchanged }
        let other = storage[index][tracked.direction.opposite]
        if isError {
            return translateError(&bytes, &view, other, end, offload)
        }
        return bytes.rewrite(end, to: other.reversed, in: &view, offload.needsChecksum)
            ? .rewritten : .unchanged
    }

    /// A redirect names a gateway: behind NAT it would be the wrong one.
    private func mayTranslateRedirect(_ index: UInt32) -> Bool {
        let status = storage[index].status
        return status.contains([.sourceNATDone, .destinationNATDone])
            && status.isDisjoint(with: .anyNAT)
    }

    /// `nf_nat_icmp_reply_translation`: the quoted packet is the connection's own, seen from the far
    /// side, so its other end is changed; then the error itself.
    private func translateError(
        _ bytes: inout MutableRawSpan, _ view: inout PacketView, _ other: Tuple, _ end: PacketEnd,
        _ offload: OffloadHeader
    ) -> Translation {
        let body = view.transportOffset &+ 8
        let limit = view.end
        guard
            var quoted = PacketView.parseQuoted(
                bytes.bytes.extracting(first: limit), networkOffset: body)
        else { return .refused }
        // The ports alone tell the connection, but they are not translated without what follows them.
        if quoted.transport == .tcp || quoted.transport == .udp, quoted.transportLength < 8 {
            return .refused
        }
        // The quoted TCP checksum is corrected only where the whole header is quoted.
        if quoted.transport == .tcp, quoted.transportLength < 20 {
            quoted.totalLength = min(quoted.totalLength, quoted.headerLength &+ 16)
        }
        bytes.rewrite(end.opposite, to: other, in: &quoted, false)
        if !offload.needsChecksum {
            let field = view.transportOffset &+ 2
            bytes.set(UInt16(0), at: field)
            var sum = InternetChecksum()
            sum.add(bytes.bytes, view.transportOffset..<limit)
            bytes.set(sum.complemented, at: field)
        }
        let address = other.reversed
        bytes.rewriteAddress(
            end, to: end == .source ? address.source : address.destination, in: &view,
            partialChecksum: offload.needsChecksum)
        return .rewritten
    }
}

extension RawSpan {
    /// Looked at again here, because not every hook has tracking verify it (nf_nat_icmp_reply_translation).
    fileprivate func hasRightICMPChecksum(_ view: PacketView) -> Bool {
        var sum = InternetChecksum()
        sum.add(self, view.transportOffset..<view.end)
        return sum.folded == 0xFFFF
    }
}

extension MutableRawSpan {
    /// Gives one end the address and the port of `target`; `false` where they were right already.
    @discardableResult
    mutating func rewrite(
        _ end: PacketEnd, to target: Tuple, in view: inout PacketView, _ partial: Bool
    ) -> Bool {
        let before = view
        rewriteAddress(
            end, to: end == .source ? target.source : target.destination, in: &view,
            partialChecksum: partial)
        let hasIdentifier =
            view.transport == .icmp && ICMPQuery.counterpart(of: view.icmpType) != nil
        if view.transport != .icmp || hasIdentifier {
            rewritePort(end, to: target.port(end), in: &view, partialChecksum: partial)
        }
        return view != before
    }
}
