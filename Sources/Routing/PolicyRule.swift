// Policy routing rules (`ip rule`) as plain data. Selection itself is in RoutingSnapshot+Lookup.

import Wire

/// What a rule does with a packet that it matches.
public enum PolicyAction: Hashable, Sendable {
    case lookup(table: UInt32)
    /// Continue at the first rule of this priority; without such a rule, the goto is passed over.
    case goto(priority: UInt32)
    case nop
    case blackhole
    case unreachable
    case prohibit
}

/// One line of `ip rule`. `nil`, a zero mask or a /0 prefix selects every packet.
public struct PolicyRule: Hashable, Sendable {
    public var priority: UInt32
    public var source = IPv4Network(.any, prefixLength: 0)
    public var destination = IPv4Network(.any, prefixLength: 0)
    /// The interface by name, since the rule outlives it; an absent one matches nothing.
    public var inInterface: InterfaceName?
    public var outInterface: InterfaceName?
    public var mark: UInt32 = 0
    public var markMask: UInt32 = 0
    /// 0 selects all. Of the packet only the bits 0x1C are compared with it, as ever with `tos`.
    public var typeOfService: UInt8 = 0
    /// `dscp` instead of `tos`: all six bits are compared.
    public var comparesWholeDSCP = false
    public var ipProtocol: IPProtocol?
    public var sourcePorts: ClosedRange<Port>?
    public var destinationPorts: ClosedRange<Port>?
    public var userIDs: ClosedRange<UInt32>?
    /// Never matches what Sluice looks up: tunnel id, or an l3mdev rule without a VRF.
    public var isForeign = false
    public var isInverted = false
    /// A result of this prefix length or shorter is passed over; -1 suppresses nothing.
    public var suppressPrefixLength = -1
    public var suppressGroup: UInt32?
    public var action: PolicyAction
    /// RTA/FRA_PROTOCOL: who installed it; decides nothing.
    public var origin: UInt8 = 0

    public init(priority: UInt32, action: PolicyAction) {
        self.priority = priority
        self.action = action
    }

    /// What a new namespace has: local, main, default.
    public static let defaults = [
        PolicyRule(priority: 0, action: .lookup(table: RouteTable.local)),
        PolicyRule(priority: 32766, action: .lookup(table: RouteTable.main)),
        PolicyRule(priority: 32767, action: .lookup(table: RouteTable.default)),
    ]
}

/// The numbers of the tables every namespace has.
public enum RouteTable {
    public static let `default`: UInt32 = 253
    public static let main: UInt32 = 254
    public static let local: UInt32 = 255
}
