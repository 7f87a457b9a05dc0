// Cuts a datagram that is larger than the MTU into fragments (RFC 791, 3.2; `ip_do_fragment` in
// net/ipv4/ip_output.c), and decides whether one fits at all. Super-frames are never cut here: the
// egress segments them.

import Wire

/// Whether a packet may leave through a given MTU.
enum SizeVerdict: Hashable {
    case fits
    case fragment
    /// Drop it and answer "fragmentation needed" with the MTU.
    case tooBig
}

/// What the size check needs besides the packet: its offload state and its past as fragments.
struct PacketSize: Hashable {
    /// Bytes of the IP packet; of one segment for a super-frame.
    var length: Int
    var isSuperFrame: Bool
    var dontFragment: Bool
    /// 0 unless the packet was reassembled.
    var largestFragment: Int

    init(_ view: PacketView, _ offload: OffloadHeader, largestFragment: Int) {
        isSuperFrame = offload.isSuperFrame
        // skb_gso_validate_network_len: headers and one segment's payload.
        let headers =
            view.headerLength
            + (view.protocol == .tcp ? view.tcpHeaderLength : view.protocol == .udp ? 8 : 0)
        length =
            offload.isSuperFrame ? headers + Int(offload.segmentSize) : view.totalLength
        dontFragment = view.dontFragment
        self.largestFragment = largestFragment
    }

    /// `ip_exceeds_mtu` and `ip_fragment`: a reassembled datagram is judged by its largest piece and
    /// leaves in pieces again even where the whole would fit.
    func verdict(mtu: Int) -> SizeVerdict {
        if largestFragment > 0 {
            return dontFragment && largestFragment > mtu ? .tooBig : .fragment
        }
        if length <= mtu { return .fits }
        if dontFragment { return .tooBig }
        // A super-frame that may be fragmented would have to be segmented first; TCP sets DF.
        return isSuperFrame ? .fits : .fragment
    }
}

/// Walks over a packet, fragment by fragment.
struct Fragmenter {
    private let view: PacketView
    private let payloadPerFragment: Int
    private let keepsDontFragment: Bool
    private let usesPieces: Bool
    private var done = 0
    private var piece = 0

    /// - Parameters:
    ///   - pieceLengths: how a reassembled datagram arrived; it leaves so again where each piece fits
    ///     (the fast path of `ip_do_fragment`). Empty otherwise.
    ///   - reassembled: what reassembly remembered.
    init?(_ view: PacketView, mtu: Int, pieceLengths: [Int], reassembled: ReassembledDatagram?) {
        var limit = mtu
        if let largest = reassembled?.largestFragment { limit = min(limit, largest) }
        let room = limit - view.headerLength
        // Not even eight bytes of payload: no fragment could be made.
        guard room >= 8 else { return nil }
        self.view = view
        payloadPerFragment = room
        var covered = 0
        var fits = reassembled != nil
        for index in 0..<pieceLengths.count {
            covered += pieceLengths[index]
            fits = fits && pieceLengths[index] <= room
        }
        usesPieces = fits && covered == view.transportLength
        // Where the pieces go on as they came, the kernel leaves DF out (seen on 6.18).
        keepsDontFragment = !usesPieces && (reassembled?.dontFragment ?? false)
    }

    /// Every byte of the payload has been written.
    var isDone: Bool { done == view.transportLength }

    /// The largest frame that `next` writes.
    var largestFrame: Int { 14 + view.headerLength + payloadPerFragment }

    /// Writes the next fragment's frame (Ethernet header left to the caller); `nil` after the last.
    mutating func next(
        of bytes: RawSpan, pieceLengths: [Int], into out: inout MutableRawSpan
    ) -> Int? {
        let left = view.transportLength - done
        guard left > 0 else { return nil }
        var length = usesPieces ? pieceLengths[piece] : min(left, payloadPerFragment)
        if length < left { length &= ~7 }
        let n = 14
        let header = view.headerLength
        out.copy(bytes, view.networkOffset..<view.transportOffset, to: n)
        if done > 0 { out.blankUncopiedOptions(n + 20..<n + header) }
        let source = view.transportOffset + done
        out.copy(bytes, source..<source + length, to: n + header)
        let isLast = length == left
        let offset = UInt16((view.fragmentOffset + done) / 8)
        let more: UInt16 = !isLast || view.moreFragments ? 0x2000 : 0
        out.set(offset | more | (keepsDontFragment ? 0x4000 : 0), at: n + 6)
        out.set(UInt16(header + length), at: n + 2)
        out.setHeaderChecksum(networkOffset: n, headerLength: header)
        done += length
        piece += 1
        return n + header + length
    }
}

extension MutableRawSpan {
    /// Options without the "copied" flag belong to the first fragment only; in the others they become
    /// no-operations, so that the header keeps its length (RFC 791, 3.1; `ip_options_fragment`).
    mutating func blankUncopiedOptions(_ range: Range<Int>) {
        var offset = range.lowerBound
        while offset < range.upperBound {
            let kind = u8(offset)
            if kind == 0 { return }
            if kind == 1 {
                offset += 1
                continue
            }
            guard offset + 1 < range.upperBound else { return }
            let length = Int(u8(offset + 1))
            guard length >= 2, offset + length <= range.upperBound else { return }
            if kind & 0x80 == 0 {
                for position in offset..<offset + length { set(UInt8(1), at: position) }
            }
            offset += length
        }
    }
}
