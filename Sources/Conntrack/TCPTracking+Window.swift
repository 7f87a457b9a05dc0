// Is a segment in window? Four predicates after van Rooij, numbered as in the kernel:
//
//   I    seq            ≤ sender.maxEnd                     not beyond what the receiver allows
//   II   seq + len      ≥ sender.end − receiver.maxWindow   not older than a window
//   III  ack (or SACK)  ≤ receiver.end                      acknowledges only what was sent
//   IV   ack (or SACK)  ≥ receiver.end − largest window     not a very late acknowledgement
//
// I and III failing is INVALID, because an attacker's guess looks like that. II and IV failing are
// ordinary retransmissions and delays: such a segment passes, yet moves nothing.

import Wire

enum WindowVerdict {
    case inWindow
    case ignored
    case outOfWindow(InvalidReason)
}

extension TCPTracking {
    /// Predicate IV's distance: at least 66,000 bytes, the largest unscaled window with a margin.
    private static let leastAckWindow: UInt32 = 66_000

    /// What the predicates compare.
    private struct Edges {
        var sequence: SequenceNumber
        var end: SequenceNumber
        var ack: SequenceNumber
        var sack: SequenceNumber
    }

    mutating func checkWindow(
        _ segment: TCPSegment, _ direction: Direction, beLiberal: Bool
    ) -> WindowVerdict {
        let judgement =
            direction == .original
            ? Self.judge(segment, direction, state, sender: &originalEnd, receiver: &replyEnd)
            : Self.judge(segment, direction, state, sender: &replyEnd, receiver: &originalEnd)
        switch judgement {
        case .moved:
            if segment.kind == .ack { countRetransmission(segment, direction) }
            return .inWindow
        case .incomparable:
            return .inWindow
        case .failed(let failure):
            return beLiberal || self[direction].flags.contains(.beLiberal) ? .inWindow : failure
        }
    }

    private enum Judgement {
        /// In window; both ends have moved.
        case moved
        /// There is nothing left to compare with.
        case incomparable
        case failed(WindowVerdict)
    }

    private static func judge(
        _ segment: TCPSegment, _ direction: Direction, _ state: TCPState,
        sender: inout TCPEnd, receiver: inout TCPEnd
    ) -> Judgement {
        let ack = segment.acknowledgement
        var edges = Edges(
            sequence: segment.sequence, end: segment.end, ack: ack,
            sack: receiver.flags.contains(.sackPermitted) ? segment.highestAcknowledged : ack)
        if sender.maxWindow == 0 || segment.flags.contains(.syn),
            begin(segment, direction, state, edges, &sender, &receiver)
        {
            return .incomparable
        }
        if segment.kind != .ack { normalise(segment, state, sender, receiver, &edges) }
        if let failure = judge(edges, &sender, receiver) { return .failed(failure) }
        update(segment, edges, &sender, &receiver)
        return .moved
    }

    /// First segment from this end, or a SYN again: take its values. `true` when there is nothing
    /// left to compare with (simultaneous open).
    private static func begin(
        _ segment: TCPSegment, _ direction: Direction, _ state: TCPState, _ edges: Edges,
        _ sender: inout TCPEnd, _ receiver: inout TCPEnd
    ) -> Bool {
        let isSyn = segment.flags.contains(.syn)
        if sender.maxWindow == 0 {
            if isSyn {
                restart(segment, direction, &sender, &receiver)
                return !segment.flags.contains(.ack)
            }
            let window = UInt32(segment.window) << UInt32(sender.scale)
            sender.end = segment.end
            sender.maxWindow = max(1, window)
            sender.maxEnd = segment.end + sender.maxWindow
            if receiver.maxWindow == 0 {
                // Nothing seen from there either: make III and IV hold until there is.
                receiver.end = edges.sack
                receiver.maxEnd = edges.sack
            } else if edges.sack == receiver.end + 1 {
                // The answer to a keepalive (RFC 9293, 3.8.4).
                receiver.end = receiver.end + 1
            }
            return false
        }
        // RFC 9293, 3.4.3: an end that starts again uses higher numbers.
        guard isSyn, segment.end.isAfter(sender.end), state == .synSent || state == .synRecv else {
            return false
        }
        restart(segment, direction, &sender, &receiver)
        return direction == .reply && !segment.flags.contains(.ack)
    }

    private static func restart(
        _ segment: TCPSegment, _ direction: Direction, _ sender: inout TCPEnd,
        _ receiver: inout TCPEnd
    ) {
        sender.end = segment.end
        sender.maxEnd = segment.end
        sender.maxWindow = max(1, UInt32(segment.window))
        if let offers = segment.offers {
            sender.scale = offers.scale
            sender.flags = sender.flags.intersection(.beLiberal).union(offers.flags)
        }
        // RFC 7323, 2.2: scaling only if both ends offer it.
        if direction == .reply,
            !sender.flags.intersection(receiver.flags).contains(.windowScale)
        {
            sender.scale = 0
            receiver.scale = 0
        }
    }

    private static func normalise(
        _ segment: TCPSegment, _ state: TCPState, _ sender: TCPEnd, _ receiver: TCPEnd,
        _ edges: inout Edges
    ) {
        let isReset = segment.flags.contains(.rst)
        // Without ACK, and in the RST of stacks that set ACK with zero, the number means nothing.
        if !segment.flags.contains(.ack) || (isReset && edges.ack.rawValue == 0) {
            edges.ack = receiver.end
            edges.sack = receiver.end
        }
        // A RST that answers a SYN need not carry a sequence number (RFC 9293, 3.5.2).
        if isReset, edges.sequence.rawValue == 0, state == .synSent {
            edges.sequence = sender.end
            edges.end = sender.end
        }
    }

    /// The four predicates; `nil` when all hold.
    @inline(__always)
    private static func judge(
        _ edges: Edges, _ sender: inout TCPEnd, _ receiver: TCPEnd
    ) -> WindowVerdict? {
        let notOlderThanWindow = edges.end.isAfter(sender.end - receiver.maxWindow - 1)
        let acknowledgesSent = edges.sack.isBefore(receiver.end + 1)
        let ackWindow = max(sender.maxWindow, leastAckWindow)
        let notLateAck = edges.sack.isAfter(receiver.end - ackWindow - 1)
        guard edges.sequence.isBefore(sender.maxEnd + 1) else {  // I
            let overshoot = (edges.end - sender.maxEnd) &+ 1
            if receiver.maxWindow != 0, notOlderThanWindow, notLateAck, acknowledgesSent,
                overshoot <= receiver.maxWindow
            {
                // A sender that overdid its window: should the receiver take it all the same, its
                // ACK must not fail III.
                sender.end = edges.end
                sender.flags.insert(.dataUnacknowledged)
                return .ignored
            }
            return .outOfWindow(.tcpSequenceAboveWindow)
        }
        guard acknowledgesSent else { return .outOfWindow(.tcpAcknowledgesUnseen) }  // III
        guard receiver.maxWindow == 0 || notOlderThanWindow else { return .ignored }  // II
        guard notLateAck else { return .ignored }  // IV
        return nil
    }

    @inline(__always)
    private static func update(
        _ segment: TCPSegment, _ edges: Edges, _ sender: inout TCPEnd, _ receiver: inout TCPEnd
    ) {
        // A SYN's own window is never scaled (RFC 7323, 2.2).
        let shift = segment.flags.contains(.syn) ? 0 : UInt32(sender.scale)
        let window = UInt32(segment.window) << shift
        sender.maxWindow = max(sender.maxWindow, window &+ (edges.sack - edges.ack))
        if edges.end.isAfter(sender.end) {
            sender.end = edges.end
            sender.flags.insert(.dataUnacknowledged)
        }
        if segment.flags.contains(.ack) {
            let known = sender.flags.contains(.highestAckKnown)
            if !known || edges.ack.isAfter(sender.maxAck) { sender.maxAck = edges.ack }
            sender.flags.insert(.highestAckKnown)
        }
        if receiver.maxWindow != 0, edges.end.isAfter(sender.maxEnd) {
            receiver.maxWindow &+= edges.end - sender.maxEnd
        }
        if (edges.sack + window).isAfter(receiver.maxEnd - 1) {
            receiver.maxEnd = edges.sack + max(1, window)
        }
        if edges.ack == receiver.end { receiver.flags.remove(.dataUnacknowledged) }
    }

    @inline(__always)
    private mutating func countRetransmission(_ segment: TCPSegment, _ direction: Direction) {
        if lastDirection == direction, lastSequence == segment.sequence,
            lastAck == segment.acknowledgement, lastEnd == segment.end,
            lastWindow == segment.window
        {
            retransmissions &+= 1
            return
        }
        lastDirection = direction
        lastSequence = segment.sequence
        lastAck = segment.acknowledgement
        lastEnd = segment.end
        lastWindow = segment.window
        retransmissions = 0
    }
}
