// NAT bindings: which addresses and ports a connection gets (nf_nat_core.c, nf_nat_setup_info). A
// binding is made once per connection and end, before it is confirmed, by changing the reply tuple; the
// original tuple never changes. Every binding, the null binding too, keeps the reply tuple unique.
//
// Refuses to know rules and routes: the range says everything.

import Wire

extension ConnectionTable {
    /// Whether no binding was made for this end yet. Only then are the nat chains walked.
    public func needsBinding(_ id: ConnectionID, _ end: PacketEnd) -> Bool {
        guard let index = slot(id) else { return false }
        return !storage[index].status.contains(end.done)
    }

    /// Binds one end of an unconfirmed connection within `range`; no range makes the null binding.
    /// A confirmed connection is left as it is, as in the kernel.
    ///
    /// The tuple may remain taken when all tries fail: then `confirm` drops the packet.
    public func bind(
        _ id: ConnectionID, _ end: PacketEnd, range: NATRange?, now: Timestamp
    ) -> DropReason? {
        guard let index = slot(id) else { return .connectionDying }
        let status = storage[index].status
        guard !status.contains(.confirmed) else { return nil }
        precondition(!status.contains(end.done), "an end of a connection is bound once")
        let current = storage[index].reply.reversed
        let wanted = range ?? NATRange(end == .source ? current.source : current.destination)
        let chosen = uniqueTuple(current, wanted, index, end, now)
        if chosen != current {
            storage[index].reply = chosen.reversed
            storage[index].status.insert(end.translated)
        }
        storage[index].status.insert(end.done)
        if end == .source { indexSource(index) }
        return nil
    }

    /// `get_unique_tuple`.
    private func uniqueTuple(
        _ current: Tuple, _ range: NATRange, _ index: UInt32, _ end: PacketEnd, _ now: Timestamp
    ) -> Tuple {
        let random = !range.flags.isDisjoint(with: [.random, .randomFully])
        if end == .source, !random,
            let kept = keptSource(current, range, index, now)
        {
            return kept
        }
        var tuple = current
        range.chooseAddress(&tuple, end)
        if !random, isGoodEnough(tuple, range, index, end, now) { return tuple }
        return probePorts(tuple, range, index, end, random: random, now)
    }

    /// The source as it is, if it lies in the range and is free; else the mapping that the same source
    /// has already, if that does.
    private func keptSource(
        _ current: Tuple, _ range: NATRange, _ index: UInt32, _ now: Timestamp
    ) -> Tuple? {
        if range.containsSource(of: current) {
            let isFree = !isTaken(current, index, now) || isCrossed(current, index, now)
            return isFree ? current : nil
        }
        guard let mapped = appropriateSource(current, range, index, now) else { return nil }
        return isTaken(mapped, index, now) ? nil : mapped
    }

    /// `find_appropriate_src`: some destinations (and their administrators) want to see one client
    /// socket as one source.
    private func appropriateSource(
        _ tuple: Tuple, _ range: NATRange, _ mine: UInt32, _ now: Timestamp
    ) -> Tuple? {
        let zone = storage[mine].originalZone
        var index = storage.sourceHead(hash.source(tuple))
        while index != noEntry {
            let original = storage[index].original
            if original.protocol == tuple.protocol, original.source == tuple.source,
                original.sourcePort == tuple.sourcePort, storage[index].originalZone == zone
            {
                let mapped = storage[index].reply.reversed
                var result = tuple
                result.source = mapped.source
                result.sourcePort = mapped.sourcePort
                if range.containsSource(of: result) { return result }
            }
            index = storage[index].sourceNext
        }
        return nil
    }

    /// Whether the port may stay as it is.
    private func isGoodEnough(
        _ tuple: Tuple, _ range: NATRange, _ index: UInt32, _ end: PacketEnd, _ now: Timestamp
    ) -> Bool {
        guard let ports = range.ports else { return !isTaken(tuple, index, now) }
        guard range.basePort == nil, ports.containsPort(of: tuple, end) else { return false }
        return ports.lowerBound == ports.upperBound || !isTaken(tuple, index, now)
    }

    /// Whether some other connection's packets come in under this tuple's answer
    /// (`nf_nat_used_tuple`).
    private func isTaken(_ tuple: Tuple, _ index: UInt32, _ now: Timestamp) -> Bool {
        guard let other = lookUpReply(of: tuple, index, now) else { return false }
        // The same flow again: left to `confirm` to resolve. In another zone it is another flow.
        if storage[other.index].original == storage[index].original,
            storage[other.index].originalZone == storage[index].originalZone
        {
            return false
        }
        statistics.found &+= 1
        return true
    }

    /// Whether what holds the tuple is the same UDP flow seen from its other end, untranslated: two packets that
    /// crossed. Its port stays, and `confirm` is to resolve it (`nf_nat_used_tuple_new`) - which it cannot
    /// where a zone of one direction keeps the two apart.
    private func isCrossed(_ tuple: Tuple, _ index: UInt32, _ now: Timestamp) -> Bool {
        let mine = storage[index]
        guard mine.original.protocol == .udp,
            let found = lookUp(tuple, mine.zone, now: now)
                ?? lookUp(tuple.reversed, mine.zone, now: now),
            found.direction == .original
        else { return false }
        let other = storage[found.index]
        return other.status.isDisjoint(with: [.sourceNAT, .destinationNAT])
            && other.original == mine.reply && other.reply == mine.original
    }

    private func lookUpReply(of tuple: Tuple, _ index: UInt32, _ now: Timestamp) -> Found? {
        let zone = storage[index].zone
        return lookUp(tuple.reversed, zone, in: zone.reply, now)
    }

    // MARK: Ports

    /// NF_NAT_MAX_ATTEMPTS, halved in every further round until 16 were not enough.
    private static let firstAttempts: UInt32 = 128
    /// With so few tries left, a port held by a connection in TIME_WAIT may be taken over.
    private static let attemptsThatTakeOver: UInt32 = 32

    /// `nf_nat_l4proto_unique_tuple`.
    private func probePorts(
        _ start: Tuple, _ range: NATRange, _ index: UInt32, _ end: PacketEnd, random: Bool,
        _ now: Timestamp
    ) -> Tuple {
        guard let (low, size) = range.candidates(start, end) else { return start }
        var tuple = start
        var offset: UInt16
        if let base = range.basePort {
            offset = tuple.port(end).rawValue &- base.rawValue
        } else if random || end == .source {
            offset = UInt16(truncatingIfNeeded: self.random.next())
        } else {
            // A destination range is filled from its beginning (Linux 6.13).
            offset = 0
        }
        var attempts = min(size, Self.firstAttempts)
        while true {
            for attempt in 0..<attempts {
                tuple.setPort(Port(UInt16(truncatingIfNeeded: low &+ UInt32(offset) % size)), end)
                let mayTakeOver =
                    attempts &- attempt <= Self.attemptsThatTakeOver
                    && tuple.protocol == .tcp && storage[index].tcp.state == .synSent
                let taken =
                    mayTakeOver
                    ? isHeld(tuple, index, now) : isTaken(tuple, index, now)
                if !taken { return tuple }
                offset &+= 1
            }
            if attempts >= size || attempts < 16 { return tuple }
            attempts /= 2
            offset = UInt16(truncatingIfNeeded: self.random.next())
        }
    }

    /// Like `isTaken` for a SYN, but ends the connection that holds the tuple if it is a source-translated
    /// one on its last legs and the SYN's sequence number is past its own: the other end, which keeps
    /// TIME_WAIT, will take the SYN (`nf_nat_used_tuple_harder`, which counts nothing as found).
    private func isHeld(_ tuple: Tuple, _ index: UInt32, _ now: Timestamp) -> Bool {
        guard let other = lookUpReply(of: tuple, index, now) else { return false }
        let old = storage[other.index]
        guard other.direction == .reply, old.tcp.state.rawValue >= TCPState.timeWait.rawValue,
            old.status.contains(.sourceNAT),
            storage[index].tcp.originalEnd.end.isAfter(old.tcp.originalEnd.end)
        else { return true }
        self.end(other.index, now: now)
        return false
    }
}

extension PacketEnd {
    /// The binding was made.
    var done: ConnectionStatus { self == .source ? .sourceNATDone : .destinationNATDone }
    /// The binding changed something.
    var translated: ConnectionStatus { self == .source ? .sourceNAT : .destinationNAT }
    var opposite: PacketEnd { self == .source ? .destination : .source }
}

extension Tuple {
    /// ICMP's identifier serves either end.
    func port(_ end: PacketEnd) -> Port {
        `protocol` == .icmp || end == .source ? sourcePort : destinationPort
    }
    mutating func setPort(_ port: Port, _ end: PacketEnd) {
        if `protocol` == .icmp || end == .source {
            sourcePort = port
        } else {
            destinationPort = port
        }
    }
    var hasPorts: Bool {
        switch `protocol` {
        case .icmp, .tcp, .udp: true
        default: false
        }
    }
}
