// Entries that another table tracked: a node's connections when Sluice takes the node over
// (nf_conntrack_netlink.c, ctnetlink_create_conntrack).

import Wire

extension ConnectionTable {
    /// Enters a connection as the other table described it; `false` where the table is full or one of the
    /// tuples is taken.
    ///
    /// What a record does not tell is learned from the packets that follow: TCP's windows are judged
    /// liberally from then on, as after a mid-stream pickup.
    public func adopt(_ record: ConnectionRecord, now: Timestamp) -> Bool {
        guard lookUp(record.original, record.zone, now: now) == nil,
            let index = allocate(record.original, TrackingTemplate(zone: record.zone))
        else { return false }
        storage[index].reply = record.reply
        storage[index].status = Self.adoptedStatus(record)
        storage[index].mark = record.mark
        // A duration until the entry is confirmed.
        storage[index].expires = record.timeout.nanoseconds
        storage[index].streamStart = now.nanoseconds
        if let state = record.tcpState { storage[index].tcp = TCPTracking(adopted: state) }
        indexSource(index)
        var tracked = Tracked(state: .new, connection: handle(index), created: true)
        guard confirm(&tracked, now: now) == nil else { return false }
        statistics.insert &+= 1
        return true
    }

    /// Both ends are bound; which of them is translated shows in the tuples.
    private static func adoptedStatus(_ record: ConnectionRecord) -> ConnectionStatus {
        var status = record.status.intersection([.seenReply, .assured])
        status.formUnion([.sourceNATDone, .destinationNATDone])
        let untranslated = record.original.reversed
        if record.reply.destination != untranslated.destination
            || record.reply.destinationPort != untranslated.destinationPort
        {
            status.insert(.sourceNAT)
        }
        if record.reply.source != untranslated.source
            || (record.original.protocol != .icmp
                && record.reply.sourcePort != untranslated.sourcePort)
        {
            status.insert(.destinationNAT)
        }
        return status
    }
}

extension TCPTracking {
    fileprivate init(adopted state: TCPState) {
        self.init()
        self.state = state
        originalEnd.flags = [.beLiberal, .sackPermitted]
        replyEnd.flags = [.beLiberal, .sackPermitted]
    }
}
