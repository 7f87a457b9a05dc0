// Writes an ICMP error or a TCP reset into a buffer that the caller owns, as an Ethernet frame whose
// first 14 bytes are left to the neighbour step. Nothing is allocated.

import Hooks
import Wire

/// The header fields of an answer that do not follow from the packet answered.
@frozen
public struct AnswerHeader: Sendable {
    public var source: IPv4Address
    public var timeToLive: UInt8
    public var identification: UInt16
    /// MTU of the route back to the sender.
    public var mtu: Int
    /// Where the answer goes first; `nil` for the sender itself.
    public var firstStop: IPv4Address?
    public var echo: OptionEcho

    @inlinable
    public init(
        source: IPv4Address, timeToLive: UInt8, identification: UInt16, mtu: Int,
        firstStop: IPv4Address? = nil, echo: OptionEcho = .none
    ) {
        self.source = source
        self.timeToLive = timeToLive
        self.identification = identification
        self.mtu = mtu
        self.firstStop = firstStop
        self.echo = echo
    }
}

public enum AnswerBuilder {
    /// Room for the largest answer: an Ethernet header and 576 bytes (RFC 1812, 4.3.2.3).
    public static let largestFrame = 14 + 576
    static let networkOffset = 14

    /// Precedence "internetwork control" (RFC 1812, 4.3.2.5) beside the packet's TOS bits.
    @inlinable
    public static func errorTypeOfService(_ typeOfService: UInt8) -> UInt8 {
        typeOfService & 0x1E | 0xC0
    }

    /// Writes `error` about the packet in `bytes`, quoting as much of it as 576 bytes hold.
    ///
    /// - Returns: the frame's length, or `nil` where `header.mtu` leaves no room to quote a header, or the
    ///   packet's options none for the answer's.
    public static func writeError(
        _ error: ICMPError, about view: PacketView, in bytes: RawSpan, header: AnswerHeader,
        into out: inout MutableRawSpan
    ) -> Int? {
        precondition(out.byteCount >= largestFrame, "the answer's buffer is too small")
        guard
            let options = header.echo.write(
                about: view, in: bytes, source: header.source, into: &out, at: networkOffset + 20)
        else { return nil }
        let room = min(header.mtu, 576) - 20 - options - 8
        guard room > 20 else { return nil }
        let quoted = min(view.totalLength, room)
        let total = 28 + options + quoted
        writeHeader(
            to: header.firstStop ?? view.source, protocol: .icmp, totalLength: total,
            typeOfService: errorTypeOfService(view.typeOfService), fragmentField: 0,
            header: header, optionLength: options, into: &out)
        let icmp = networkOffset + 20 + options
        out.set(error.type, at: icmp)
        out.set(error.code, at: icmp + 1)
        out.set(UInt16(0), at: icmp + 2)
        out.set(error.rest, at: icmp + 4)
        out.copy(bytes, view.networkOffset..<view.networkOffset + quoted, to: icmp + 8)
        var sum = InternetChecksum()
        sum.add(out.bytes, icmp..<networkOffset + total)
        out.set(sum.complemented, at: icmp + 2)
        return networkOffset + total
    }

    /// Writes the reset that answers the TCP packet in `bytes` (RFC 9293, 3.10.7.1: the acknowledged
    /// sequence number if it acknowledges, else an acknowledgement of all that it occupies).
    ///
    /// - Precondition: `AnsweredPacket.mayDrawReset` said yes.
    /// - Returns: the frame's length. Its checksum is complete.
    public static func writeReset(
        about view: PacketView, in bytes: RawSpan, timeToLive: UInt8,
        into out: inout MutableRawSpan
    ) -> Int {
        precondition(out.byteCount >= networkOffset + 40, "the answer's buffer is too small")
        let header = AnswerHeader(
            source: view.destination, timeToLive: timeToLive, identification: 0, mtu: 576)
        writeHeader(
            to: view.source, protocol: .tcp, totalLength: 40, typeOfService: 0,
            fragmentField: 0x4000, header: header, into: &out)
        let old = view.transportOffset
        let flags = TCPFlags(rawValue: bytes.u8(old + 13))
        let acknowledges = flags.contains(.ack)
        let new = networkOffset + 20
        out.set(bytes.u16(old + 2), at: new)
        out.set(bytes.u16(old), at: new + 2)
        out.set(acknowledges ? bytes.u32(old + 8) : 0, at: new + 4)
        out.set(acknowledges ? 0 : Self.sequenceEnd(view, bytes, flags), at: new + 8)
        out.set(UInt8(5 << 4), at: new + 12)
        let answerFlags: TCPFlags = acknowledges ? .rst : [.rst, .ack]
        out.set(answerFlags.rawValue, at: new + 13)
        out.set(UInt16(0), at: new + 14)
        out.set(UInt32(0), at: new + 16)
        var sum = InternetChecksum()
        sum.addPseudoHeader(
            source: view.destination, destination: view.source, protocol: .tcp, length: 20)
        sum.add(out.bytes, new..<new + 20)
        out.set(sum.complemented, at: new + 16)
        return networkOffset + 40
    }

    /// The sequence number behind everything the segment occupies. The kernel trusts the data offset
    /// even where it exceeds the packet, so the arithmetic wraps.
    private static func sequenceEnd(
        _ view: PacketView, _ bytes: RawSpan, _ flags: TCPFlags
    ) -> UInt32 {
        let t = view.transportOffset
        let dataOffset = UInt32(bytes.u8(t + 12) >> 4) * 4
        let control: UInt32 = (flags.contains(.syn) ? 1 : 0) + (flags.contains(.fin) ? 1 : 0)
        return bytes.u32(t + 4) &+ control &+ UInt32(view.transportLength) &- dataOffset
    }

    private static func writeHeader(
        to destination: IPv4Address, protocol: IPProtocol, totalLength: Int, typeOfService: UInt8,
        fragmentField: UInt16, header: AnswerHeader, optionLength: Int = 0,
        into out: inout MutableRawSpan
    ) {
        let n = networkOffset
        out.set(UInt8(0x45 + optionLength / 4), at: n)
        out.set(typeOfService, at: n + 1)
        out.set(UInt16(totalLength), at: n + 2)
        out.set(header.identification, at: n + 4)
        out.set(fragmentField, at: n + 6)
        out.set(header.timeToLive, at: n + 8)
        out.set(`protocol`.rawValue, at: n + 9)
        out.set(UInt16(0), at: n + 10)
        out.set(header.source.rawValue, at: n + 12)
        out.set(destination.rawValue, at: n + 16)
        out.setHeaderChecksum(networkOffset: n, headerLength: 20 + optionLength)
    }
}
