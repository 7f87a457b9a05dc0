// nf_conntrack_in: which connection does a packet belong to, and what does it do to it?

import Wire

extension ConnectionTable {
    /// Tracks a packet: finds or makes its connection, moves the connection's state, prolongs it.
    ///
    /// `verifyChecksum` is for packets that arrive (PREROUTING); those of the host itself are trusted.
    /// `template` is what a CT rule said. A new entry is not in the table before `confirm`; a packet that dies earlier gives it back with
    /// `releaseUnconfirmed`.
    public func track(
        _ bytes: RawSpan, _ view: PacketView, offload: OffloadHeader, verifyChecksum: Bool,
        template: TrackingTemplate = .none, now: Timestamp
    ) -> Tracked {
        let verify = verifyChecksum && settings.checksum && !offload.checksumIsGood
        return consider(bytes, view, template, verify, now, dry: false)
    }

    /// What `track` would say, without changing anything. A connection it would make has no handle.
    public func peek(
        _ bytes: RawSpan, _ view: PacketView, offload: OffloadHeader, verifyChecksum: Bool,
        template: TrackingTemplate = .none, now: Timestamp
    ) -> Tracked {
        let verify = verifyChecksum && settings.checksum && !offload.checksumIsGood
        return consider(bytes, view, template, verify, now, dry: true)
    }

    /// What `peek` says; but a connection that `track` would make gets an entry, so that a dry run can bind
    /// it, and gives it back with `releaseUnconfirmed`. Nothing else changes: neither is one evicted for it,
    /// nor does one end that the packet reopens.
    public func rehearse(
        _ bytes: RawSpan, _ view: PacketView, offload: OffloadHeader, verifyChecksum: Bool,
        template: TrackingTemplate = .none, now: Timestamp
    ) -> Tracked {
        var seen = peek(
            bytes, view, offload: offload, verifyChecksum: verifyChecksum, template: template,
            now: now)
        guard seen.created, count < capacity, let tuple = Tuple(view),
            let index = allocate(tuple, template)
        else { return seen }
        _ = storage[index].follow(PacketFacts(bytes, view, now), .original, settings)
        seen.connection = handle(index)
        return seen
    }

    private func consider(
        _ bytes: RawSpan, _ view: PacketView, _ template: TrackingTemplate, _ verify: Bool,
        _ now: Timestamp, dry: Bool
    ) -> Tracked {
        if view.transport == .icmp,
            let tracked = trackICMPHeader(bytes, view, template.zone, verify, now, dry)
        {
            if tracked.state == .invalid, !dry { statistics.error &+= 1 }
            return tracked
        }
        guard let tuple = Tuple(view) else {
            if view.protocol == .icmp, view.transport == .truncated {
                if !dry { statistics.error &+= 1 }
                return .invalid(.truncatedHeader)
            }
            return invalid(view.transport == .fragment ? .fragment : .truncatedHeader, dry)
        }
        let facts = PacketFacts(bytes, view, now)
        let fault = Self.headerFault(bytes, view, facts, verify)
        var reopens = false
        if let found = lookUp(tuple, template.zone, now: now, dry: dry) {
            if let fault { return invalid(fault, dry) }
            if let tracked = follow(found, facts, dry) { return tracked }
            // Else this SYN begins another connection under the same tuple.
            reopens = true
        }
        guard tuple.isInvertible else { return invalid(.icmpWithoutQuery, dry) }
        guard dry else { return open(tuple, template, facts, fault) }
        return tryOpening(tuple, template.zone, facts, fault, reopens: reopens)
    }

    func invalid(_ reason: InvalidReason, _ dry: Bool) -> Tracked {
        if !dry { statistics.invalid &+= 1 }
        return .invalid(reason)
    }

    // MARK: A known connection

    /// `nil` where the entry was ended because the packet reopens the connection.
    private func follow(_ found: Found, _ facts: PacketFacts, _ dry: Bool) -> Tracked? {
        if dry {
            recall(found.index)
            var copy = storage[found.index]
            return conclude(found, copy.follow(facts, found.direction, settings), dry: true)
        }
        return conclude(found, apply(found, facts), dry: false)
    }

    /// Moves the entry, and what counts it, as the packet says.
    func apply(_ found: Found, _ facts: PacketFacts) -> PacketVerdict {
        let index = found.index
        recall(index)
        let before = storage[index].expires
        let verdict = storage[index].follow(facts, found.direction, settings)
        if case .accepted = verdict, storage[index].isInPlace(since: before) { return verdict }
        if storage[index].expires < before { refile(index) }
        if storage[index].isCharged, case .accepted = verdict {
            followLoad(index, found.direction, bytes: facts.length)
            // Its packets are dropped, and keep nothing alive.
            if found.direction == .original, hasLostServer(index) {
                storage[index].expires = min(before, storage[index].expires)
            }
        }
        // It is never carried again.
        if storage[index].isNumbered, storage[index].tcp.state.isClosing { releaseCarried(index) }
        switch verdict {
        case .reopen, .acceptedAndEnds: break
        case .accepted, .invalid: setEvictable(index, storage[index].mayBeEvicted)
        }
        // Ended before it counts as answered: so says the event too.
        switch verdict {
        case .reopen, .acceptedAndEnds: end(index, now: facts.now)
        case .invalid: statistics.invalid &+= 1
        case .accepted: break
        }
        return verdict
    }

    func conclude(_ found: Found, _ verdict: PacketVerdict, dry: Bool) -> Tracked? {
        switch verdict {
        case .reopen: return nil
        case .invalid(let reason): return .invalid(reason)
        case .accepted, .acceptedAndEnds: break
        }
        var tracked = Tracked(
            state: .established, connection: handle(found.index), direction: found.direction)
        let seenReply = storage[found.index].status.contains(.seenReply)
        if found.direction == .original {
            if !seenReply { tracked.state = .new }
        } else if !seenReply, !dry {
            storage[found.index].status.insert(.seenReply)
            // Its packets were NEW so far, and so the path that is stored for them is another's.
            storage[found.index].originalNote = 0
            storage[found.index].pendingEvents.insert(.reply)
        }
        return tracked
    }

    /// After the deadline moved to an earlier moment.
    func refile(_ index: UInt32) {
        guard TimerWheel.isFiledTooLate(index, storage) else { return }
        wheel.remove(index, storage)
        wheel.insert(index, storage)
    }

    /// The node refuses a TCP connection with a reset of its own, which is not tracked: what was confirmed
    /// is in CLOSE from then on (`nf_conntrack_tcp_set_closing`). The event waits for the reset's `confirm`.
    public func close(_ id: ConnectionID, now: Timestamp) {
        guard let index = slot(id), storage[index].original.protocol == .tcp,
            storage[index].status.contains(.confirmed), !storage[index].status.contains(.dying),
            storage[index].tcp.state != .close
        else { return }
        recall(index)
        let before = storage[index].expires
        storage[index].tcp.state = .close
        storage[index].expires = (now + settings.tcpTimeoutClose).nanoseconds
        storage[index].pendingEvents.insert(.protocolState)
        if storage[index].isCharged { moveLoad(index) }
        if storage[index].expires < before { refile(index) }
        setEvictable(index, storage[index].mayBeEvicted)
    }

    // MARK: A new connection

    private func open(
        _ tuple: Tuple, _ template: TrackingTemplate, _ facts: PacketFacts,
        _ fault: InvalidReason?
    ) -> Tracked {
        // As in the kernel a slot comes first, so that a full table speaks before a bad packet does.
        guard
            let index = allocate(tuple, template)
                ?? evictAndAllocate(tuple, template, now: facts.now)
        else {
            statistics.drop &+= 1
            statistics.tableFull &+= 1
            return Tracked(state: .invalid, drop: .tableFull)
        }
        var reason = fault
        if reason == nil,
            case .invalid(let found) = storage[index].follow(facts, .original, settings)
        {
            reason = found
        }
        if let reason {
            count &-= 1
            free(index)
            return invalid(reason, false)
        }
        return Tracked(state: .new, connection: handle(index), created: true)
    }

    /// - Parameter reopens: a closed connection makes room for this one.
    private func tryOpening(
        _ tuple: Tuple, _ zone: Zone, _ facts: PacketFacts, _ fault: InvalidReason?, reopens: Bool
    ) -> Tracked {
        let others = reopens ? count &- 1 : count
        guard others < maximum || victims(near: tuple, zone, now: facts.now) else {
            return Tracked(state: .invalid, drop: .tableFull)
        }
        if let fault { return .invalid(fault) }
        var entry = Connection(original: tuple, generation: 0)
        if case .invalid(let reason) = entry.follow(facts, .original, settings) {
            return .invalid(reason)
        }
        return Tracked(state: .new, created: true)
    }
}

extension PacketFacts {
    init(_ bytes: RawSpan, _ view: PacketView, _ now: Timestamp) {
        self.init(now: now, length: view.totalLength)
        if view.transport == .tcp { segment = TCPSegment(bytes, view) }
    }

    @inline(__always)
    init(_ bytes: RawSpan, _ packet: PlainPacket, _ now: Timestamp) {
        self.init(now: now, length: Int(packet.totalLength))
        if packet.protocol == .tcp { segment = TCPSegment(bytes, packet) }
    }
}

extension OffloadHeader {
    /// Partial, verified by the sender's side, or not yet made because the frame is still to be
    /// segmented (`CHECKSUM_PARTIAL`, `CHECKSUM_UNNECESSARY`).
    var checksumIsGood: Bool { needsChecksum || dataValid || isSuperFrame }
}

extension Connection {
    /// Unassured, or closing: what early drop and the collector may take.
    @inline(__always)
    var mayBeEvicted: Bool {
        !status.contains(.assured) || (original.protocol == .tcp && tcp.state.isClosing)
    }

    /// Whether an accepted packet left it where it stood in every list and account. `before` was its deadline.
    @inline(__always)
    fileprivate func isInPlace(since before: UInt64) -> Bool {
        expires >= before && traits.rawValue & ConnectionTraits.accounted.rawValue == 0
            && isEvictable == mayBeEvicted
    }
}
