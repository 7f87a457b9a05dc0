// What TCP tracking reads from a segment, and the walk over its options. Refuses to look past the
// header that the packet really holds.

import Wire

/// The kinds of segment that the state table knows; the raw values are its row numbers.
enum TCPSegmentKind: UInt8 {
    case syn, synAck, fin, ack, reset, none

    @inline(__always)
    init(_ flags: TCPFlags) {
        if flags.contains(.rst) {
            self = .reset
        } else if flags.contains(.syn) {
            self = flags.contains(.ack) ? .synAck : .syn
        } else if flags.contains(.fin) {
            self = .fin
        } else {
            self = flags.contains(.ack) ? .ack : .none
        }
    }
}

struct TCPSegment {
    let flags: TCPFlags
    let kind: TCPSegmentKind
    var sequence: SequenceNumber
    var acknowledgement: SequenceNumber
    var window: UInt16
    /// One past the last sequence number it occupies; SYN and FIN occupy one each.
    var end: SequenceNumber
    /// The highest right edge in a SACK option (RFC 2018), else the acknowledgement.
    var highestAcknowledged: SequenceNumber
    /// What a SYN offers; `nil` where it has no options at all.
    var offers: TCPOffers?

    /// `nil` where the header's own length is impossible.
    init?(_ bytes: RawSpan, _ view: PacketView) {
        guard view.tcpHeaderLength >= 20, view.tcpHeaderLength <= view.transportLength else {
            return nil
        }
        self.init(
            bytes, at: view.transportOffset, headerLength: view.tcpHeaderLength,
            length: view.transportLength)
    }

    @inline(__always)
    init(_ bytes: RawSpan, _ packet: PlainPacket) {
        self.init(
            bytes, at: 34, headerLength: Int(packet.transportHeaderLength),
            length: packet.transportLength)
    }

    /// - Precondition: header and data lie within the bytes.
    @inline(__always)
    private init(_ bytes: RawSpan, at offset: Int, headerLength: Int, length: Int) {
        sequence = SequenceNumber(bytes.u32(offset &+ 4))
        acknowledgement = SequenceNumber(bytes.u32(offset &+ 8))
        flags = TCPFlags(rawValue: bytes.u8(offset &+ 13))
        window = bytes.u16(offset &+ 14)
        kind = TCPSegmentKind(flags)
        end =
            sequence
            + (UInt32(truncatingIfNeeded: length &- headerLength)
                &+ (flags.contains(.syn) ? 1 : 0) &+ (flags.contains(.fin) ? 1 : 0))
        highestAcknowledged = acknowledgement
        if headerLength > 20 { readOptions(bytes, (offset &+ 20)..<(offset &+ headerLength)) }
    }

    private mutating func readOptions(_ bytes: RawSpan, _ options: Range<Int>) {
        if flags.contains(.syn) { offers = TCPOffers(bytes, options) }
        // Nearly every segment carries nothing but a timestamp (RFC 7323, appendix A).
        if options.count == 12, bytes.u32(options.lowerBound) == 0x0101_080A { return }
        raiseToSack(bytes, options)
    }

    /// PSH, ECE and CWR go with everything; of the rest only nine combinations exist
    /// (`tcp_valid_flags`), one bit each: SYN, RST, SYN ACK, RST ACK, FIN ACK, ACK, and SYN, ACK and
    /// FIN ACK with URG.
    var hasPossibleFlags: Bool {
        let rest = flags.rawValue & 0b0011_0111
        let possible: UInt64 =
            1 << 0x02 | 1 << 0x04 | 1 << 0x12 | 1 << 0x14 | 1 << 0x11 | 1 << 0x10 | 1 << 0x22
            | 1 << 0x30 | 1 << 0x31
        return possible >> UInt64(rest) & 1 == 1
    }
}

/// One option found in a TCP header.
private enum TCPOption {
    static let end: UInt8 = 0
    static let noOperation: UInt8 = 1
    static let windowScale: UInt8 = 3
    static let sackPermitted: UInt8 = 4
    static let sack: UInt8 = 5
    /// RFC 7323, 2.3: a larger shift counts as 14.
    static let largestScale: UInt8 = 14
}

/// The next option at `offset`, which it moves behind it. A malformed option ends the walk
/// (RFC 9293, 3.2; the kernel's "silly options").
private func nextOption(
    _ bytes: RawSpan, _ offset: inout Int, _ limit: Int
) -> (kind: UInt8, offset: Int, length: Int)? {
    while offset < limit {
        let kind = bytes.u8(offset)
        if kind == TCPOption.end { return nil }
        if kind == TCPOption.noOperation {
            offset &+= 1
            continue
        }
        guard offset &+ 2 <= limit else { return nil }
        let length = Int(bytes.u8(offset &+ 1))
        guard length >= 2, offset &+ length <= limit else { return nil }
        defer { offset &+= length }
        return (kind, offset, length)
    }
    return nil
}

/// What a SYN offers.
struct TCPOffers {
    var flags: TCPEndFlags = []
    var scale: UInt8 = 0

    init(_ bytes: RawSpan, _ options: Range<Int>) {
        var offset = options.lowerBound
        while let option = nextOption(bytes, &offset, options.upperBound) {
            if option.kind == TCPOption.sackPermitted, option.length == 2 {
                flags.insert(.sackPermitted)
            } else if option.kind == TCPOption.windowScale, option.length == 3 {
                flags.insert(.windowScale)
                scale = min(bytes.u8(option.offset &+ 2), TCPOption.largestScale)
            }
        }
    }
}

extension TCPSegment {
    /// Looks at the first SACK option only, as the kernel does.
    private mutating func raiseToSack(_ bytes: RawSpan, _ options: Range<Int>) {
        var offset = options.lowerBound
        while let option = nextOption(bytes, &offset, options.upperBound) {
            guard option.kind == TCPOption.sack, option.length >= 10, (option.length &- 2) % 8 == 0
            else { continue }
            for block in 0..<((option.length &- 2) / 8) {
                let edge = SequenceNumber(bytes.u32(option.offset &+ 6 &+ block &* 8))
                if edge.isAfter(highestAcknowledged) { highestAcknowledged = edge }
            }
            return
        }
    }
}
