// Which entries a `conntrack` command line is about (conntrack.c, nfct_filter; compare.c of
// libnetfilter_conntrack).

import Wire

public struct ConnectionFilter: Hashable, Sendable {
    /// -f ipv6: nothing here is.
    public var matchesNothing = false
    public var `protocol`: IPProtocol?
    public var originalSource: IPv4Network?
    public var originalDestination: IPv4Network?
    public var replySource: IPv4Address?
    public var replyDestination: IPv4Address?
    public var originalSourcePort: Port?
    public var originalDestinationPort: Port?
    public var replySourcePort: Port?
    public var replyDestinationPort: Port?
    public var tcpState: TCPState?
    public var icmpType: UInt8?
    public var icmpCode: UInt8?
    public var icmpID: UInt16?
    /// -u: of the bits in `statusMask`, exactly those of `status` are set.
    public var status: ConnectionStatus = []
    public var statusMask: ConnectionStatus = []
    /// -m: mark & mask == value.
    public var mark: (value: UInt32, mask: UInt32)? {
        get { hasMark ? (markValue, markMask) : nil }
        set {
            hasMark = newValue != nil
            markValue = newValue?.value ?? 0
            markMask = newValue?.mask ?? 0
        }
    }
    /// -w, --orig-zone, --reply-zone: entries for which that is said. What is not said counts as 0, so
    /// that `-w 0` holds for an entry with a zone in one direction alone (tried).
    public var zones: [ZoneFilter] = []
    /// -n, -g, -j.
    public var sourceNAT: NATFilter?
    public var destinationNAT: NATFilter?
    /// -j: either of the two is enough.
    public var anyNAT = false
    private var hasMark = false
    private var markValue: UInt32 = 0
    private var markMask: UInt32 = 0

    public struct NATFilter: Hashable, Sendable {
        public var address: IPv4Address?
        public var port: Port?
        public init(address: IPv4Address? = nil, port: Port? = nil) {
            self.address = address
            self.port = port
        }
    }

    public struct ZoneFilter: Hashable, Sendable {
        public var number: UInt16
        /// `nil`: in both.
        public var direction: Direction?
        public init(_ number: UInt16, _ direction: Direction? = nil) {
            self.number = number
            self.direction = direction
        }

        func matches(_ zone: Zone) -> Bool {
            let isShared = zone.original == zone.reply
            let said = (direction == nil) == isShared ? zone[direction ?? .original] : 0
            return said == number
        }
    }

    public init() {}

    /// The zone in which `-G` looks.
    public var zone: Zone {
        zones.reduce(into: .none) { zone, filter in
            if filter.direction != .reply { zone.original = filter.number }
            if filter.direction != .original { zone.reply = filter.number }
        }
    }

    public func matches(_ record: ConnectionRecord) -> Bool {
        !matchesNothing && zones.allSatisfy { $0.matches(record.zone) } && matchesTuples(record)
            && matchesProtocol(record) && matchesNAT(record)
            && record.status.intersection(statusMask) == status.intersection(statusMask)
            && (!hasMark || record.mark & markMask == markValue)
    }

    private func matchesTuples(_ record: ConnectionRecord) -> Bool {
        originalSource?.contains(record.original.source) ?? true
            && originalDestination?.contains(record.original.destination) ?? true
            && agrees(replySource, record.reply.source)
            && agrees(replyDestination, record.reply.destination)
    }

    private func matchesProtocol(_ record: ConnectionRecord) -> Bool {
        guard let wanted = self.protocol else { return true }
        let original = record.original
        let reply = record.reply
        guard wanted == original.protocol else { return false }
        if wanted == .icmp {
            return agrees(icmpType, original.icmpType) && agrees(icmpCode, original.icmpCode)
                && agrees(icmpID, original.sourcePort.rawValue)
        }
        return agrees(originalSourcePort, original.sourcePort)
            && agrees(originalDestinationPort, original.destinationPort)
            && agrees(replySourcePort, reply.sourcePort)
            && agrees(replyDestinationPort, reply.destinationPort)
            && (tcpState == nil || tcpState == record.tcpState)
    }

    private func agrees<Value: Equatable>(_ wanted: Value?, _ value: Value) -> Bool {
        wanted == nil || wanted == value
    }

    private func matchesNAT(_ record: ConnectionRecord) -> Bool {
        let original = record.original
        let reply = record.reply
        let source = sourceNAT.map {
            $0.matches(
                bound: record.status.contains(.sourceNATDone),
                address: (original.source, reply.destination),
                port: (original.sourcePort, reply.destinationPort))
        }
        let destination = destinationNAT.map {
            $0.matches(
                bound: record.status.contains(.destinationNATDone),
                address: (original.destination, reply.source),
                port: (original.destinationPort, reply.sourcePort))
        }
        if anyNAT { return source == true || destination == true }
        return source ?? true && destination ?? true
    }
}

extension ConnectionFilter.NATFilter {
    /// Translated, and to this address and port as far as they are given. The comparison of ports is
    /// the library's, which compares ICMP's identifier and type too.
    func matches(
        bound: Bool, address: (IPv4Address, IPv4Address), port: (Port, Port)
    ) -> Bool {
        let addressChanged = bound && address.0 != address.1
        let portChanged = bound && port.0 != port.1
        switch (self.address, self.port) {
        case (nil, nil): return addressChanged || portChanged
        case (let wanted?, nil): return addressChanged && wanted == address.1
        case (nil, let wanted?): return portChanged && wanted == port.1
        case (let wanted?, let wantedPort?):
            return addressChanged && wanted == address.1 && portChanged && wantedPort == port.1
        }
    }
}
