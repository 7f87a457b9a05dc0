// Plain packets of connections that their owner has taken note of: found, tracked, translated and sent along
// without a question that the first of them has answered. What is noted, and what it means, is the owner's
// affair; here it is a number for each direction, 0 for none.

import Wire

/// A direction of a connection for which something is noted. Good until the table changes.
@frozen
public struct NotedFlow: Sendable {
    @usableFromInline let found: UInt32
    public let direction: Direction
    public let note: UInt32

    init(_ found: Found, _ note: UInt32) {
        self.found = found.index
        direction = found.direction
        self.note = note
    }

    var place: Found { Found(index: found, direction: direction) }
}

extension ConnectionTable {
    /// Which chain the tuple hangs in, for `prefetch` and `notedFlow`.
    public func bucket(of tuple: Tuple) -> Int { hash(tuple) }

    /// Asks the cache for the head of a chain.
    public func prefetchChain(_ bucket: Int) { storage.prefetchHead(bucket) }

    /// Asks the cache for the first entry of a chain.
    public func prefetchEntry(_ bucket: Int) {
        let link = storage.tupleHead(bucket)
        if link != noEntry { storage.prefetch(Found(link: link).index) }
    }

    /// Notes something about the plain packets of one direction. Only for connections outside of all zones.
    public func note(_ note: UInt32, for id: ConnectionID, _ direction: Direction) {
        guard let index = slot(id), storage[index].zone == .none else { return }
        if direction == .original {
            storage[index].originalNote = note
        } else {
            storage[index].replyNote = note
        }
    }

    /// What is noted for a tuple's connection; `nil` where nothing is, or where it has timed out. Changes
    /// nothing.
    /// - Parameter bucket: that of the tuple; another one finds nothing.
    public func notedFlow(_ tuple: Tuple, bucket: Int, now: Timestamp) -> NotedFlow? {
        var link = storage.tupleHead(bucket)
        while link != noEntry {
            let found = Found(link: link)
            let index = found.index
            let isOriginal = found.direction == .original
            if (isOriginal ? storage[index].original : storage[index].reply) == tuple,
                storage[index].zone == .none
            {
                let note = isOriginal ? storage[index].originalNote : storage[index].replyNote
                guard note != 0, storage[index].expires > now.nanoseconds else { return nil }
                return NotedFlow(found, note)
            }
            link = successor(found)
        }
        return nil
    }

    /// The connection was sent to a server that is gone or new to it.
    public func hasLostServer(_ flow: NotedFlow) -> Bool { hasLostServer(flow.found) }

    public func connection(_ flow: NotedFlow) -> ConnectionID { handle(flow.found) }

    /// Tracks a plain packet that came in, gives it the connection's translation at both ends and one hop less
    /// to live, and delivers the events that it caused.
    ///
    /// Where tracking finds it to be anything but ESTABLISHED, that is returned, and the bytes stay as they
    /// were.
    /// - Precondition: it has time to live.
    public func forward(
        _ flow: NotedFlow, _ bytes: inout MutableRawSpan, _ packet: PlainPacket,
        offload: OffloadHeader, translates: Bool, now: Timestamp
    ) -> Tracked? {
        if settings.checksum, !offload.checksumIsGood,
            !packet.transportChecksumIsRight(bytes.bytes)
        {
            return invalid(.badChecksum, false)
        }
        let index = flow.found
        let verdict = apply(flow.place, PacketFacts(bytes.bytes, packet, now))
        guard case .accepted = verdict, storage[index].status.contains(.seenReply) else {
            guard let tracked = conclude(flow.place, verdict, dry: false) else {
                preconditionFailure("only a SYN reopens a connection")
            }
            return tracked
        }
        bytes.rewriteAndForward(
            packet,
            to: translates
                ? storage[index].ends(leaving: packet.ends, flow.direction) : packet.ends,
            partialChecksum: offload.needsChecksum)
        if !storage[index].pendingEvents.isEmpty { deliverPending(index, now) }
        return nil
    }
}

extension Connection {
    /// The ends that a packet of the direction leaves with: the other direction's, where it is translated.
    @inline(__always)
    fileprivate func ends(leaving ends: PacketEnds, _ direction: Direction) -> PacketEnds {
        let other = direction == .original ? reply : original
        let isOriginal = direction == .original
        var ends = ends
        if status.contains(isOriginal ? .sourceNAT : .destinationNAT) {
            ends.source = other.destination
            ends.sourcePort = other.destinationPort
        }
        if status.contains(isOriginal ? .destinationNAT : .sourceNAT) {
            ends.destination = other.source
            ends.destinationPort = other.sourcePort
        }
        return ends
    }
}
