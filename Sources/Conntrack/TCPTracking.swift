// TCP connection tracking: the state table and what surrounds it (nf_conntrack_proto_tcp.c, after
// van Rooij, "Real Stateful TCP Packet Filtering in IP Filter").
//
// Theory of operation. The tracker stands between the ends and guesses the state of whoever sent
// the segment in hand. For each direction it keeps the window that the other end has opened (see
// TCPTracking+Window.swift). A segment is looked up in the table by direction, kind and state; the
// answer is a new state, *invalid*, or *ignore*: the segment passes, yet moves nothing, because our
// entry may be out of step with the ends and their next answer will tell. What was ignored is
// noted in the `last…` fields so that the answer can be recognised.
//
// Refuses to know timers, tables or NAT: it is a value that can be copied, tried and thrown away.

import Wire

/// What one end has offered and done; the values are IP_CT_TCP_FLAG_*.
struct TCPEndFlags: OptionSet {
    var rawValue: UInt8
    static let windowScale = Self(rawValue: 0x01)
    static let sackPermitted = Self(rawValue: 0x02)
    /// It sent the first FIN.
    static let closeInitiator = Self(rawValue: 0x04)
    /// Picked up mid-stream: its scale is unknown, so its window is not judged.
    static let beLiberal = Self(rawValue: 0x08)
    static let dataUnacknowledged = Self(rawValue: 0x10)
    static let highestAckKnown = Self(rawValue: 0x20)
}

/// One direction's window, `struct ip_ct_tcp_state`.
struct TCPEnd {
    /// Highest sequence number sent, plus one.
    var end = SequenceNumber(0)
    /// Highest sequence number it may send, plus one: the receiver's ack plus window.
    var maxEnd = SequenceNumber(0)
    /// Largest window it has advertised, scaled; 0 until it has sent something.
    var maxWindow: UInt32 = 0
    /// Highest acknowledgement it has sent.
    var maxAck = SequenceNumber(0)
    var scale: UInt8 = 0
    var flags: TCPEndFlags = []
}

/// `struct ip_ct_tcp`: a plain value inside the connection.
struct TCPTracking {
    struct LastFlags: OptionSet {
        var rawValue: UInt8
        static let windowScale = Self(rawValue: 0x01)
        static let sackPermitted = Self(rawValue: 0x02)
        static let challengeAckExpected = Self(rawValue: 0x40)
        static let simultaneousOpen = Self(rawValue: 0x80)
    }

    var originalEnd = TCPEnd()
    var replyEnd = TCPEnd()
    /// Of the last segment that was kept or ignored.
    var lastSequence = SequenceNumber(0)
    var lastAck = SequenceNumber(0)
    var lastEnd = SequenceNumber(0)
    var lastWindow: UInt16 = 0
    var state = TCPState.none
    var lastDirection = Direction.original
    var lastKind = TCPSegmentKind.none
    var lastScale: UInt8 = 0
    var lastFlags: LastFlags = []
    var retransmissions: UInt8 = 0

    subscript(direction: Direction) -> TCPEnd {
        get { direction == .original ? originalEnd : replyEnd }
        set {
            if direction == .original { originalEnd = newValue } else { replyEnd = newValue }
        }
    }
}

/// What tracking decided about a segment.
enum TCPVerdict {
    /// In window: the entry goes on from this state.
    case accepted(from: TCPState)
    /// It passes and moves nothing.
    case ignored
    case invalid(InvalidReason)
    /// Out of window; a FIN or RST among these may shorten the timeout.
    case outOfWindow(InvalidReason)
    /// The connection is over and this SYN begins another: delete the entry and look up again.
    case reopen
}

extension TCPTracking {
    /// A cell of the state table.
    private enum Cell {
        case state(TCPState)
        case invalid
        case ignore
    }

    /// The rows of the table, one hexadecimal digit for each state in the order of `TCPState`:
    /// 0–9 is the next state, A is *invalid*, B is *ignore*.
    private static func row(_ direction: Direction, _ kind: TCPSegmentKind) -> UInt64 {
        switch (direction, kind) {
        // NONE, SYN_SENT, SYN_RECV, ESTABLISHED, FIN_WAIT, CLOSE_WAIT, LAST_ACK, TIME_WAIT, CLOSE,
        // SYN_SENT2. A SYN outside SYN_SENT is an error that the receiver answers; it reopens a
        // connection in TIME_WAIT or CLOSE (RFC 1122, 4.2.2.13).
        case (.original, .syn): 0x11_BBBB_B119
        case (.original, .synAck): 0xAA_2AAA_AAA2
        case (.original, .ack): 0x3A_3355_778A
        case (.reply, .syn): 0xA9_AAAA_A1A9
        case (.reply, .synAck): 0xA2_BBBB_BBB2
        case (.reply, .ack): 0xAB_2355_778B
        case (_, .fin): 0xAA_4466_678A
        case (_, .reset): 0xA8_8888_8888
        case (_, .none): 0xAA_AAAA_AAAA
        }
    }

    private static func cell(
        _ direction: Direction, _ kind: TCPSegmentKind, _ state: TCPState
    ) -> Cell {
        let digit = row(direction, kind) >> (UInt64(9 - state.rawValue) * 4) & 0xF
        if let next = TCPState(rawValue: UInt8(digit)) { return .state(next) }
        return digit == 0xA ? .invalid : .ignore
    }

    /// Begins a connection with its first segment; `nil` when it did.
    mutating func open(
        _ segment: TCPSegment, loose: Bool
    ) -> InvalidReason? {
        guard case .state(let first) = Self.cell(.original, segment.kind, .none) else {
            return .tcpCannotOpen
        }
        self = TCPTracking()
        originalEnd.end = segment.end
        originalEnd.maxWindow = max(1, UInt32(segment.window))
        if first == .synSent {
            originalEnd.maxEnd = segment.end
            if let offers = segment.offers {
                originalEnd.flags = offers.flags
                originalEnd.scale = offers.scale
            }
            return nil
        }
        guard loose else { return .tcpNotLoose }
        // Mid-stream: assume SACK, and judge no window, because the scale was not seen.
        originalEnd.maxEnd = segment.end + originalEnd.maxWindow
        originalEnd.flags = [.sackPermitted, .beLiberal]
        replyEnd.flags = [.sackPermitted, .beLiberal]
        return nil
    }

    /// Judges a segment and moves the state.
    mutating func follow(
        _ segment: TCPSegment, _ direction: Direction, status: ConnectionStatus,
        settings: borrowing ConntrackSettings
    ) -> TCPVerdict {
        let old = state
        let kind = segment.kind
        // What nearly every segment is; the table says the same.
        if kind == .ack, old == .established {
            return advance(segment, direction, to: .established, inWindow: settings)
        }
        let next: TCPState
        switch Self.cell(direction, kind, old) {
        case .invalid:
            return .invalid(.tcpStateForbids)
        case .ignore:
            guard ignoresAsOutOfStep(segment, direction, from: old) else {
                return acceptResynchronised(segment, direction, settings)
            }
            return .ignored
        case .state(.synSent) where old.rawValue >= TCPState.timeWait.rawValue:
            if mayReopen(direction) { return .reopen }
            guard ignoresAsOutOfStep(segment, direction, from: old) else {
                return acceptResynchronised(segment, direction, settings)
            }
            return .ignored
        case .state(let state):
            next = state
        }
        return advance(segment, direction, to: next, status, settings)
    }

    private mutating func advance(
        _ segment: TCPSegment, _ direction: Direction, to proposed: TCPState,
        _ status: ConnectionStatus, _ settings: borrowing ConntrackSettings
    ) -> TCPVerdict {
        let old = state
        var next = proposed
        switch next {
        case .timeWait where isChallengeAck(segment, direction):
            lastFlags.remove(.challengeAckExpected)
            return .ignored
        case .synSent2:
            lastFlags.insert(.simultaneousOpen)
        case .synRecv
        where direction == .reply && segment.kind == .ack
            && lastFlags.contains(.simultaneousOpen):
            // The table alone would stay in SYN_RECV for ever.
            next = .established
        case .close where segment.kind == .reset:
            guard let judgement = judgeReset(segment, direction, status, settings) else {
                return .invalid(.tcpResetOutOfSequence)
            }
            if judgement.keepState { next = old }
            if judgement.skipWindow { return accept(segment, direction, from: old, to: next) }
        default:
            break
        }
        return advance(segment, direction, to: next, inWindow: settings)
    }

    /// Moves the state if the segment is in window.
    @inline(__always)
    private mutating func advance(
        _ segment: TCPSegment, _ direction: Direction, to next: TCPState,
        inWindow settings: borrowing ConntrackSettings
    ) -> TCPVerdict {
        switch checkWindow(segment, direction, beLiberal: settings.tcpBeLiberal) {
        case .ignored: .ignored
        case .outOfWindow(let reason): .outOfWindow(reason)
        case .inWindow: accept(segment, direction, from: state, to: next)
        }
    }

    @inline(__always)
    private mutating func accept(
        _ segment: TCPSegment, _ direction: Direction, from old: TCPState, to next: TCPState
    ) -> TCPVerdict {
        lastKind = segment.kind
        lastDirection = direction
        state = next
        if old != next, next == .finWait { self[direction].flags.insert(.closeInitiator) }
        return .accepted(from: old)
    }

    /// A SYN may replace a connection that was closed properly, or reset by the same end.
    private func mayReopen(_ direction: Direction) -> Bool {
        originalEnd.flags.union(replyEnd.flags).contains(.closeInitiator)
            || (lastDirection == direction && lastKind == .reset)
    }

    /// RFC 5961, 4.2: an end answers a stray SYN with an ACK of its own, which is not the last ACK.
    private func isChallengeAck(_ segment: TCPSegment, _ direction: Direction) -> Bool {
        state == .lastAck && segment.kind == .ack && lastDirection != direction && lastKind == .syn
            && lastFlags.contains(.challengeAckExpected)
    }

    /// Notes an ignored segment. `false` where it is the SYN/ACK to a SYN ignored before: the ends
    /// are in step with each other and we are not.
    private mutating func ignoresAsOutOfStep(
        _ segment: TCPSegment, _ direction: Direction, from old: TCPState
    ) -> Bool {
        if segment.kind == .synAck, lastKind == .syn, lastDirection != direction,
            segment.acknowledgement == lastEnd
        {
            return false
        }
        lastKind = segment.kind
        lastDirection = direction
        lastSequence = segment.sequence
        lastEnd = segment.end
        lastWindow = segment.window
        if segment.kind == .syn, direction == .original {
            lastFlags = []
            lastScale = 0
            if let offers = segment.offers {
                if offers.flags.contains(.windowScale) {
                    lastFlags.insert(.windowScale)
                    lastScale = offers.scale
                }
                if offers.flags.contains(.sackPermitted) { lastFlags.insert(.sackPermitted) }
            }
            if old == .lastAck { lastFlags.insert(.challengeAckExpected) }
        }
        if old == .synSent, segment.kind == .ack, direction == .reply {
            lastAck = segment.acknowledgement
        }
        return true
    }

    /// Takes the ignored SYN's values and goes on as if the entry were in SYN_SENT.
    private mutating func acceptResynchronised(
        _ segment: TCPSegment, _ direction: Direction,
        _ settings: borrowing ConntrackSettings
    ) -> TCPVerdict {
        lastFlags.remove(.challengeAckExpected)
        var opener = self[lastDirection]
        opener.end = lastEnd
        opener.maxEnd = lastEnd
        opener.maxWindow = max(1, UInt32(lastWindow))
        opener.scale = lastScale
        opener.flags = TCPEndFlags(rawValue: lastFlags.rawValue)
            .intersection([.windowScale, .sackPermitted])
        self[lastDirection] = opener
        var answerer = TCPEnd()
        answerer.flags = self[direction].flags.intersection(.beLiberal)
        self[direction] = answerer
        switch checkWindow(segment, direction, beLiberal: settings.tcpBeLiberal) {
        case .ignored: return .ignored
        case .outOfWindow(let reason): return .outOfWindow(reason)
        case .inWindow: return accept(segment, direction, from: .synSent, to: .synRecv)
        }
    }

    private struct ResetJudgement {
        /// Not exactly the expected number: a challenge ACK may follow.
        var keepState = false
        var skipWindow = false
    }

    /// Whether a RST is believed (RFC 5961, 3.2); `nil` when it is not.
    private func judgeReset(
        _ segment: TCPSegment, _ direction: Direction, _ status: ConnectionStatus,
        _ settings: borrowing ConntrackSettings
    ) -> ResetJudgement? {
        var judgement = ResetJudgement()
        // A closing entry may be stale: the tuple may be in use again. Its numbers prove nothing.
        if state.isClosing {
            judgement.skipWindow = true
            return judgement
        }
        let other = self[direction.opposite]
        if other.flags.contains(.highestAckKnown), lastKind != .syn {
            let established = state == .established && status.contains(.assured)
            // Zero outside ESTABLISHED most likely answers a SYN that was let through.
            if segment.sequence.rawValue == 0, !established { return judgement }
            if segment.sequence.isBefore(other.maxAck), !settings.tcpIgnoreInvalidRst {
                return nil
            }
            if !established || segment.sequence == other.maxAck { return judgement }
            // The last of a train: data, then RST, without an ACK between them.
            if lastKind == .ack, lastDirection == direction, segment.sequence == lastEnd {
                return judgement
            }
            judgement.keepState = true
        }
        judgement.skipWindow = answersIgnoredSegment(segment, direction, status)
        return judgement
    }

    private func answersIgnoredSegment(
        _ segment: TCPSegment, _ direction: Direction, _ status: ConnectionStatus
    ) -> Bool {
        // Older kernels do not compare the direction of the SYN either; Linux 6.18 does (tried).
        let toSyn =
            status.contains(.seenReply) && lastKind == .syn && lastDirection != direction
        let toAck = !status.contains(.assured) && lastKind == .ack
        if toSyn || toAck, segment.acknowledgement == lastEnd { return true }
        // A reset in answer to a challenge ACK let through while in SYN_SENT.
        return state == .synSent && lastKind == .ack && lastDirection == .reply
            && segment.sequence == lastAck
    }
}

extension TCPState {
    /// On its way out: may be evicted early although assured (`tcp_can_early_drop`).
    var isClosing: Bool {
        switch self {
        case .finWait, .closeWait, .lastAck, .timeWait, .close: true
        case .none, .synSent, .synRecv, .established, .synSent2: false
        }
    }
}
