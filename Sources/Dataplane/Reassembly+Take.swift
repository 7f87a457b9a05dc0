// Taking datagrams out: whole, or given up.

import Wire

extension Reassembly {
    /// The room that `takeCompleted` needs for the datagram that `insert` just completed.
    var completedFrameLength: Int {
        guard completed != ChunkPool.none, let queue = queues[Int(completed)] else { return 0 }
        return 14 + queue.headerLength + queue.length
    }

    /// Writes the datagram that `insert` just reported complete, and frees its queue. The header is
    /// the first fragment's, without fragment fields; the Ethernet header is left to the caller.
    mutating func takeCompleted(into out: inout MutableRawSpan) -> ReassembledDatagram {
        precondition(completed != ChunkPool.none, "a datagram was completed just before")
        let index = completed
        completed = ChunkPool.none
        guard let queue = queues[Int(index)] else {
            preconditionFailure("a completed datagram still has its queue")
        }
        let header = queue.headerLength
        pieceLengths.removeAll(keepingCapacity: true)
        var piece = queue.firstPiece
        while piece != ChunkPool.none {
            let entry = pieces[Int(piece)]
            let before = entry.offset == 0 ? header : 0
            pool.load(
                entry.chain, count: before + entry.length, into: &out,
                at: 14 + header - before + entry.offset)
            pieceLengths.append(entry.length)
            piece = entry.next
        }
        let dontFragment = queue.largestDontFragment == queue.largest
        writeHeader(of: queue, dontFragment: dontFragment, into: &out)
        close(index)
        return ReassembledDatagram(
            frameLength: 14 + header + queue.length, frames: queue.pieces,
            largestFragment: queue.largest, dontFragment: dontFragment)
    }

    private func writeHeader(
        of queue: Queue, dontFragment: Bool, into out: inout MutableRawSpan
    ) {
        let n = 14
        out.set(out.u8(n + 1) | (Self.ecn(queue.ecnSeen) ?? 0), at: n + 1)
        out.set(UInt16(queue.headerLength + queue.length), at: n + 2)
        // A datagram whose largest piece said DF keeps saying it (ip_frag_reasm).
        out.set(UInt16(dontFragment ? 0x4000 : 0), at: n + 6)
        out.setHeaderChecksum(networkOffset: n, headerLength: queue.headerLength)
    }

    /// Gives up the oldest datagram if its time is over. Its first fragment, when it had arrived, is
    /// written to `out` as far as it fits, for an ICMP error to quote.
    mutating func takeExpired(
        now: Timestamp, into out: inout MutableRawSpan
    ) -> ExpiredDatagram? {
        guard let index = expired(now: now), let queue = queues[Int(index)] else { return nil }
        var length = 0
        if queue.headerLength > 0 {
            let first = pieces[Int(queue.firstPiece)]
            let bytes = min(queue.headerLength + first.length, out.byteCount - 14)
            pool.load(first.chain, count: bytes, into: &out, at: 14)
            length = 14 + bytes
        }
        return ExpiredDatagram(
            frames: close(index), ingress: queue.ingress, firstFragmentLength: length)
    }
}
