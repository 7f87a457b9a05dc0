// A packet that replies to what an engine made of an earlier one. A case is written once, but where its
// packets go, and as whom, is each engine's own affair: a chosen backend, a chosen port.

import Conntrack
import Wire

extension CasePacket {
    /// This packet as it is to be injected where `outcome` is what the packet that it answers led to.
    ///
    /// Its addresses, ports or ICMP identifier, and where it comes in, become those of the first emission
    /// that is no ICMP error, turned round; checksums are corrected by the difference, so that a wrong
    /// one stays wrong. An ICMP error goes to the emission's sender and quotes the emission.
    public func answering(_ outcome: Outcome) -> CasePacket {
        for emission in outcome.emissions {
            let packet = emission.packet
            guard let heard = packet.view(), !heard.isICMPError else { continue }
            return answering(emission, heard)
        }
        return self
    }

    private func answering(_ emission: Emission, _ heard: PacketView) -> CasePacket {
        var packet = origin.isWire ? Array(bytes.dropFirst(14)) : bytes
        guard let written = packet.view() else { return self }
        packet.withMutableRawSpan { bytes in
            var view = written
            if view.isICMPError {
                bytes.quote(heard, in: &view)
            } else {
                bytes.turn(heard, in: &view)
            }
        }
        var reply = self
        switch emission.place {
        case .delivered:
            if origin.isWire { reply.origin = .node() }
            reply.bytes = packet
        case .wire(let link):
            reply.origin = .wire(link: link)
            let header = emission.bytes[6..<12] + emission.bytes[0..<6] + emission.bytes[12..<14]
            reply.bytes = Array(header) + packet
        }
        return reply
    }
}

extension Emission {
    /// The IPv4 packet without its frame.
    fileprivate var packet: [UInt8] {
        switch place {
        case .wire: Array(bytes.dropFirst(14))
        case .delivered: bytes
        }
    }
}

extension CasePacket.Origin {
    fileprivate var isWire: Bool {
        if case .wire = self { true } else { false }
    }
}

extension [UInt8] {
    /// The IPv4 packet that these bytes are.
    fileprivate func view() -> PacketView? {
        withRawSpan { span in
            guard case .packet(let view) = PacketView.parse(span, networkOffset: 0) else {
                return nil
            }
            return view
        }
    }
}

extension PacketView {
    fileprivate var isICMPError: Bool {
        transport == .icmp && ICMPQuery.isError(icmpType)
    }
}

extension MutableRawSpan {
    /// Gives the packet the ends of `heard`, source and destination exchanged.
    fileprivate mutating func turn(_ heard: PacketView, in view: inout PacketView) {
        rewriteAddress(.source, to: heard.destination, in: &view, partialChecksum: false)
        rewriteAddress(.destination, to: heard.source, in: &view, partialChecksum: false)
        rewritePorts(of: heard, turned: true, in: &view)
    }

    private mutating func rewritePorts(
        of heard: PacketView, turned: Bool, in view: inout PacketView
    ) {
        guard view.transport == heard.transport else { return }
        if view.transport == .icmp {
            rewritePort(
                .source, to: Port(heard.icmpIdentifier), in: &view, partialChecksum: false)
            return
        }
        let (first, second) =
            turned
            ? (heard.destinationPort, heard.sourcePort)
            : (heard.sourcePort, heard.destinationPort)
        rewritePort(.source, to: first, in: &view, partialChecksum: false)
        rewritePort(.destination, to: second, in: &view, partialChecksum: false)
    }

    /// Lets the error quote `heard` and go to its sender. Where it claimed to come from the host that the
    /// quoted packet was for, it still does.
    fileprivate mutating func quote(_ heard: PacketView, in view: inout PacketView) {
        let field = view.transportOffset + 2
        let range = view.transportOffset..<view.end
        var before = InternetChecksum()
        before.add(bytes, range)
        let body = view.transportOffset + 8
        if var quoted = PacketView.parseQuoted(
            bytes.extracting(first: view.end), networkOffset: body)
        {
            if quoted.destination == view.source {
                rewriteAddress(.source, to: heard.destination, in: &view, partialChecksum: false)
            }
            rewriteAddress(.source, to: heard.source, in: &quoted, partialChecksum: false)
            rewriteAddress(.destination, to: heard.destination, in: &quoted, partialChecksum: false)
            rewritePorts(of: heard, turned: false, in: &quoted)
        }
        rewriteAddress(.destination, to: heard.source, in: &view, partialChecksum: false)
        // What the body gained, its checksum loses.
        var after = InternetChecksum()
        after.add(bytes, range)
        var delta = ChecksumDelta()
        delta.replace(before.folded, by: after.folded)
        set(delta.applied(to: u16(field)), at: field)
    }
}
