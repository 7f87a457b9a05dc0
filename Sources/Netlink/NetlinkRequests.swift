// Changes that Sluice asks of the kernel: its own rules and routes, the state of its own port, and
// the resolution of neighbours. Every function does one thing, waits for the kernel's answer and
// throws with the operation in words. Nothing here decides what ought to be changed.

import CLinux
import Routing
import Wire

/// A socket for requests in the namespace of the thread that made it. Not shared between threads.
public final class NetlinkRequests {
    let socket: NetlinkSocket

    public init() throws(NetlinkError) {
        socket = try NetlinkSocket()
    }

    static let create = Int(NLM_F_CREATE)
    static let exclusive = Int(NLM_F_CREATE | NLM_F_EXCL)
    static let replace = Int(NLM_F_CREATE | NLM_F_REPLACE)
}

// MARK: Rules

extension NetlinkRequests {
    public func addRule(_ rule: PolicyRule) throws(NetlinkError) {
        try socket.perform(
            Self.request(rule, RTM_NEWRULE, flags: Self.exclusive),
            "add the routing rule with preference \(rule.priority)")
    }

    public func deleteRule(_ rule: PolicyRule) throws(NetlinkError) {
        try socket.perform(
            Self.request(rule, RTM_DELRULE, flags: 0),
            "delete the routing rule with preference \(rule.priority)")
    }

    public func rules() throws(NetlinkError) -> [PolicyRule] {
        let request = NetlinkRequest(
            type: RTM_GETRULE, flags: 0,
            header: [UInt8(AF_INET)] + [UInt8](repeating: 0, count: 11))
        return try socket.dump(request, "list the policy rules").compactMap(Decode.rule)
    }

    private static func request(
        _ rule: PolicyRule, _ type: some BinaryInteger, flags: Int
    ) -> NetlinkRequest {
        let (action, table, target) = encode(rule.action)
        var request = NetlinkRequest(
            type: type, flags: flags,
            header: [
                UInt8(AF_INET), UInt8(rule.destination.prefixLength ?? 32),
                UInt8(rule.source.prefixLength ?? 32), rule.typeOfService,
                table < 256 ? UInt8(table) : 0, 0, 0, action,
            ] + native(UInt32(rule.isInverted ? FIB_RULE_INVERT : 0)))
        request.append(FRA_PRIORITY, rule.priority)
        if rule.origin != 0 { request.append(FRA_PROTOCOL, [rule.origin]) }
        if rule.destination.mask != 0 { request.append(FRA_DST, rule.destination.address) }
        if rule.source.mask != 0 { request.append(FRA_SRC, rule.source.address) }
        if let name = rule.inInterface { request.append(FRA_IIFNAME, name) }
        if let name = rule.outInterface { request.append(FRA_OIFNAME, name) }
        if rule.markMask != 0 {
            request.append(FRA_FWMARK, rule.mark)
            request.append(FRA_FWMASK, rule.markMask)
        }
        if table != 0 { request.append(FRA_TABLE, table) }
        if let target { request.append(FRA_GOTO, target) }
        appendSelectors(of: rule, to: &request)
        return request
    }

    private static func appendSelectors(of rule: PolicyRule, to request: inout NetlinkRequest) {
        if rule.suppressPrefixLength >= 0 {
            request.append(FRA_SUPPRESS_PREFIXLEN, UInt32(rule.suppressPrefixLength))
        }
        if let group = rule.suppressGroup { request.append(FRA_SUPPRESS_IFGROUP, group) }
        if let number = rule.ipProtocol { request.append(FRA_IP_PROTO, [number.rawValue]) }
        for (type, ports) in [
            (FRA_SPORT_RANGE, rule.sourcePorts), (FRA_DPORT_RANGE, rule.destinationPorts),
        ] {
            guard let ports else { continue }
            request.append(
                type, native(ports.lowerBound.rawValue) + native(ports.upperBound.rawValue))
        }
        if let users = rule.userIDs {
            request.append(FRA_UID_RANGE, native(users.lowerBound) + native(users.upperBound))
        }
    }

    private static func encode(
        _ action: PolicyAction
    ) -> (action: UInt8, table: UInt32, target: UInt32?) {
        switch action {
        case .lookup(let table): (UInt8(FR_ACT_TO_TBL), table, nil)
        case .goto(let priority): (UInt8(FR_ACT_GOTO), 0, priority)
        case .nop: (UInt8(FR_ACT_NOP), 0, nil)
        case .blackhole: (UInt8(FR_ACT_BLACKHOLE), 0, nil)
        case .unreachable: (UInt8(FR_ACT_UNREACHABLE), 0, nil)
        case .prohibit: (UInt8(FR_ACT_PROHIBIT), 0, nil)
        }
    }
}

// MARK: Links and addresses

extension NetlinkRequests {
    /// What to change about a link; `nil` leaves it.
    public struct LinkChange: Sendable {
        public var up: Bool?
        public var noARP: Bool?
        public var mtu: Int?
        public var mac: MACAddress?
        public init(
            up: Bool? = nil, noARP: Bool? = nil, mtu: Int? = nil, mac: MACAddress? = nil
        ) {
            self.up = up
            self.noARP = noARP
            self.mtu = mtu
            self.mac = mac
        }
    }

    public func setLink(_ index: InterfaceIndex, _ change: LinkChange) throws(NetlinkError) {
        var flags: InterfaceFlags = []
        var mask: InterfaceFlags = []
        for (flag, wanted) in [(InterfaceFlags.up, change.up), (.noARP, change.noARP)] {
            guard let wanted else { continue }
            mask.insert(flag)
            if wanted { flags.insert(flag) }
        }
        var request = NetlinkRequest(
            type: RTM_NEWLINK, flags: 0,
            header: [0, 0, 0, 0] + native(index.rawValue) + native(flags.rawValue)
                + native(mask.rawValue))
        if let mtu = change.mtu { request.append(IFLA_MTU, UInt32(clamping: mtu)) }
        if let mac = change.mac { request.append(IFLA_ADDRESS, Self.bytes(of: mac)) }
        try socket.perform(request, "change the interface with index \(index.rawValue)")
    }

    public func addAddress(_ address: InterfaceAddress) throws(NetlinkError) {
        try socket.perform(
            Self.request(address, RTM_NEWADDR, flags: Self.exclusive),
            "add the address \(address.local)/\(address.prefixLength)")
    }

    public func removeAddress(_ address: InterfaceAddress) throws(NetlinkError) {
        try socket.perform(
            Self.request(address, RTM_DELADDR, flags: 0),
            "remove the address \(address.local)/\(address.prefixLength)")
    }

    private static func request(
        _ address: InterfaceAddress, _ type: some BinaryInteger, flags: Int
    ) -> NetlinkRequest {
        var request = NetlinkRequest(
            type: type, flags: flags,
            header: [UInt8(AF_INET), UInt8(address.prefixLength), 0, address.scope.rawValue]
                + native(address.interface.rawValue))
        request.append(IFA_LOCAL, address.local)
        request.append(IFA_ADDRESS, address.peer)
        if let broadcast = address.broadcast { request.append(IFA_BROADCAST, broadcast) }
        return request
    }

    static func bytes(of mac: MACAddress) -> [UInt8] {
        (0..<6).map { UInt8(truncatingIfNeeded: mac.rawValue >> UInt64(40 - 8 * $0)) }
    }
}

// MARK: Neighbours

extension NetlinkRequests {
    /// Makes the kernel resolve the neighbour once (NTF_USE).
    public func probe(_ address: IPv4Address, on interface: InterfaceIndex) throws(NetlinkError) {
        try neighbour(
            address, interface, flags: UInt8(NTF_USE), extended: nil, RTM_NEWNEIGH,
            "resolve the neighbour \(address)")
    }

    /// Makes the kernel keep the neighbour resolved (NTF_EXT_MANAGED, Linux 5.16).
    public func manage(_ address: IPv4Address, on interface: InterfaceIndex) throws(NetlinkError) {
        try neighbour(
            address, interface, flags: 0, extended: UInt32(NTF_EXT_MANAGED), RTM_NEWNEIGH,
            "keep the neighbour \(address) resolved")
    }

    /// Takes the entry away, managed or not.
    public func forget(_ address: IPv4Address, on interface: InterfaceIndex) throws(NetlinkError) {
        try neighbour(
            address, interface, flags: 0, extended: nil, RTM_DELNEIGH,
            "forget the neighbour \(address)")
    }

    /// A permanent entry.
    public func setNeighbour(
        _ address: IPv4Address, on interface: InterfaceIndex, mac: MACAddress
    ) throws(NetlinkError) {
        var request = Self.request(
            RTM_NEWNEIGH, address, interface, state: UInt16(NUD_PERMANENT), flags: 0)
        request.append(NDA_LLADDR, Self.bytes(of: mac))
        try socket.perform(request, "set the neighbour \(address)")
    }

    private func neighbour(
        _ address: IPv4Address, _ interface: InterfaceIndex, flags: UInt8, extended: UInt32?,
        _ type: some BinaryInteger, _ operation: String
    ) throws(NetlinkError) {
        var request = Self.request(type, address, interface, state: 0, flags: flags)
        if let extended { request.append(NDA_FLAGS_EXT, extended) }
        try socket.perform(request, "\(operation) on interface \(interface.rawValue)")
    }

    private static func request(
        _ type: some BinaryInteger, _ address: IPv4Address, _ interface: InterfaceIndex,
        state: UInt16, flags: UInt8
    ) -> NetlinkRequest {
        var request = NetlinkRequest(
            type: type, flags: Int(type) == Int(RTM_NEWNEIGH) ? replace : 0,
            header: [UInt8(AF_INET), 0, 0, 0] + native(interface.rawValue) + native(state)
                + [flags, 0])
        request.append(NDA_DST, address)
        return request
    }
}
