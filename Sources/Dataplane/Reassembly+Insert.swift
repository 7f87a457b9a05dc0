// What happens to one fragment: where it belongs, what it contradicts, and when the datagram is whole.

import Wire

extension Reassembly {
    /// Takes a fragment in. `bytes` is its frame; nothing of it is referred to afterwards.
    ///
    /// - Precondition: `view.isFragment`.
    mutating func insert(
        _ bytes: RawSpan, _ view: PacketView, ingress: InterfaceIndex, time: Timestamp
    ) -> ReassemblyOutcome {
        precondition(view.isFragment, "only fragments are reassembled")
        givenUp = 0
        let key = Key(view, ingress)
        guard let found = find(key) ?? open(key, ingress: ingress, now: time),
            let index = giveUpIfDistant(found, now: time)
        else { return .dropped(.fragmentMemory) }
        guard let extent = extent(of: view, in: index) else { return discard(index, .badFragment) }
        switch place(extent, in: index) {
        case .duplicate: return .dropped(.badFragment)
        case .overlap: return discard(index, .badFragment)
        case .after(let previous, let runStart):
            guard store(bytes, view, extent, after: previous, runStart: runStart, in: index) else {
                // A queue that holds nothing would only take a place.
                if queues[Int(index)]?.pieces == 0 { close(index) }
                return .dropped(.fragmentMemory)
            }
        }
        return outcome(of: index, view, ingress: ingress)
    }

    /// Counts a fragment of the sender's. Where too many others came since the datagram's last one, ends what
    /// had arrived of it, as lost (ip_frag_too_far, ip_frag_reinit).
    ///
    /// - Returns: the datagram's queue, which may be a new one.
    private mutating func giveUpIfDistant(_ index: Int32, now: Timestamp) -> Int32? {
        guard maximumDistance > 0, let queue = queues[Int(index)], let last = queue.lastCount,
            var sender = senders[queue.key.source]
        else { return index }
        sender.count &+= 1
        senders.updateValue(sender, forKey: queue.key.source)
        guard queue.pieces > 0, sender.count &- last > maximumDistance else {
            queues[Int(index)]?.lastCount = sender.count
            return index
        }
        givenUp = close(index)
        guard let fresh = open(queue.key, ingress: queue.ingress, now: now) else { return nil }
        // The kernel keeps these, too: what was lost counts for the sizes of pieces and for DF.
        queues[Int(fresh)]?.largest = queue.largest
        queues[Int(fresh)]?.largestDontFragment = queue.largestDontFragment
        queues[Int(fresh)]?.lastCount = senders[queue.key.source]?.count
        return fresh
    }

    private mutating func discard(_ index: Int32, _ reason: DropReason) -> ReassemblyOutcome {
        .discarded(reason, others: close(index))
    }

    /// The payload bytes that the fragment covers, after the checks on the datagram's length;
    /// `nil` where it contradicts what is known.
    private mutating func extent(of view: PacketView, in index: Int32) -> Range<Int>? {
        guard var queue = queues[Int(index)] else { return nil }
        let offset = view.fragmentOffset
        var end = offset + view.transportLength
        if view.moreFragments {
            // All but the last carry multiples of eight; the kernel cuts the rest off.
            end &= ~7
            if end > queue.length {
                guard !queue.hasLast else { return nil }
                queue.length = end
            }
        } else {
            guard end >= queue.length, !queue.hasLast || end == queue.length else { return nil }
            queue.hasLast = true
            queue.length = end
        }
        guard end > offset else { return nil }
        queues[Int(index)] = queue
        return offset..<end
    }

    private enum Place {
        case duplicate, overlap
        /// Behind this piece (or first); `runStart` names the run that it continues or begins.
        case after(Int32, runStart: Int)
    }

    /// Judges against runs as `inet_frag_queue_insert` does: a fragment at the very end may only
    /// touch the last run; any other must fit into a hole, or lie within one run.
    private func place(_ extent: Range<Int>, in index: Int32) -> Place {
        guard let queue = queues[Int(index)], queue.lastPiece != ChunkPool.none else {
            return .after(ChunkPool.none, runStart: extent.lowerBound)
        }
        let last = pieces[Int(queue.lastPiece)]
        let lastEnd = last.offset + last.length
        if lastEnd < extent.upperBound {
            if extent.lowerBound < lastEnd { return .overlap }
            let continues = extent.lowerBound == lastEnd
            return .after(
                queue.lastPiece, runStart: continues ? last.runStart : extent.lowerBound)
        }
        return placeAmongRuns(extent, first: queue.firstPiece)
    }

    private func placeAmongRuns(_ extent: Range<Int>, first: Int32) -> Place {
        var previous = ChunkPool.none
        var piece = first
        while piece != ChunkPool.none {
            // One run: from this piece to the last that carries the same start.
            let start = pieces[Int(piece)].runStart
            var last = piece
            while pieces[Int(last)].next != ChunkPool.none,
                pieces[Int(pieces[Int(last)].next)].runStart == start
            {
                last = pieces[Int(last)].next
            }
            let end = pieces[Int(last)].offset + pieces[Int(last)].length
            if extent.upperBound <= start { break }
            if extent.lowerBound < end {
                let within = extent.lowerBound >= start && extent.upperBound <= end
                return within ? .duplicate : .overlap
            }
            previous = last
            piece = pieces[Int(last)].next
        }
        return .after(previous, runStart: extent.lowerBound)
    }

    private mutating func store(
        _ bytes: RawSpan, _ view: PacketView, _ extent: Range<Int>, after previous: Int32,
        runStart: Int, in index: Int32
    ) -> Bool {
        guard var queue = queues[Int(index)], let piece = makePiece() else { return false }
        let isFirst = extent.lowerBound == 0
        let payload = view.transportOffset
        // The first fragment brings the header that the datagram will have.
        let start = isFirst ? view.networkOffset : payload
        guard let chain = pool.store(bytes, start..<payload + extent.count) else {
            releasePiece(piece)
            return false
        }
        var entry = Piece(
            offset: extent.lowerBound, length: extent.count, chain: chain, runStart: runStart)
        if previous == ChunkPool.none {
            entry.next = queue.firstPiece
            queue.firstPiece = piece
        } else {
            entry.next = pieces[Int(previous)].next
            pieces[Int(previous)].next = piece
        }
        if entry.next == ChunkPool.none { queue.lastPiece = piece }
        pieces[Int(piece)] = entry
        queue.pieces += 1
        queue.arrived += extent.count
        if isFirst { queue.headerLength = view.headerLength }
        queues[Int(index)] = queue
        return true
    }

    /// Records what the whole remembers of this fragment, and whether it was the one that was missing.
    private mutating func outcome(
        of index: Int32, _ view: PacketView, ingress: InterfaceIndex
    ) -> ReassemblyOutcome {
        guard var queue = queues[Int(index)] else { return .dropped(.badFragment) }
        let size = view.totalLength
        queue.ingress = ingress
        queue.largest = max(queue.largest, size)
        if view.dontFragment { queue.largestDontFragment = max(queue.largestDontFragment, size) }
        queue.ecnSeen |= 1 << (view.typeOfService & 3)
        queues[Int(index)] = queue
        guard queue.headerLength > 0, queue.hasLast, queue.arrived == queue.length else {
            return .waiting
        }
        guard queue.headerLength + queue.length <= 65_535, Self.ecn(queue.ecnSeen) != nil else {
            let frames = close(index)
            return .discarded(.badFragment, others: frames - 1)
        }
        completed = index
        return .complete
    }

    /// RFC 3168, 5.3: the codepoint of the whole, or `nil` where not-ECT was mixed with another.
    static func ecn(_ seen: UInt8) -> UInt8? {
        let notECT: UInt8 = 1
        let congestion: UInt8 = 1 << 3
        if seen & notECT != 0 { return seen == notECT ? 0 : nil }
        if seen & congestion != 0 { return 3 }
        switch seen {
        case 1 << 1: return 1
        case 1 << 2: return 2
        // Both ECT codepoints: they are equivalent; the kernel leaves the first fragment's.
        default: return 0
        }
    }
}
