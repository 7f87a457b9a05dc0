// Routes as plain data, as `ip route show table all` shows them.

import Wire

/// The type of a route, with the kernel's numbers (RTN_*).
public enum RouteType: UInt8, Hashable, Sendable, CaseIterable {
    case unicast = 1
    case local, broadcast, anycast, multicast, blackhole, unreachable, prohibit
    /// Ends the look-up in this table as if it held nothing.
    case `throw`
}

/// What `addrtype` matches on. The same names as routes have.
public typealias AddressType = RouteType

/// RTNH_F_*: what the kernel says about one nexthop.
public struct NextHopFlags: OptionSet, Hashable, Sendable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    public static let dead = Self(rawValue: 1)
    public static let onlink = Self(rawValue: 4)
    public static let linkDown = Self(rawValue: 16)
}

/// One way out. A route has one, several (multipath), or, for error routes, none.
public struct NextHop: Hashable, Sendable {
    public var interface: InterfaceIndex
    public var gateway: IPv4Address?
    /// An IPv6 gateway (`via inet6`): Sluice does not resolve those, and such a route is no route.
    public var hasIPv6Gateway: Bool
    /// 1 to 256.
    public var weight: Int
    public var flags: NextHopFlags

    public init(
        interface: InterfaceIndex, gateway: IPv4Address? = nil, hasIPv6Gateway: Bool = false,
        weight: Int = 1, flags: NextHopFlags = []
    ) {
        self.interface = interface
        self.gateway = gateway
        self.hasIPv6Gateway = hasIPv6Gateway
        self.weight = weight
        self.flags = flags
    }

}

/// One route. Routes of equal table, prefix, TOS and metric keep the kernel's order.
public struct Route: Hashable, Sendable {
    public var table: UInt32
    public var prefix: IPv4Network
    public var prefixLength: Int
    public var type: RouteType
    public var typeOfService: UInt8
    public var metric: UInt32
    public var scope: RouteScope
    /// RTPROT_*: who installed it; decides nothing.
    public var origin: UInt8
    public var preferredSource: IPv4Address?
    public var mtu: Int?
    /// `mtu lock`: path MTU discovery may not lower it.
    public var isMTULocked: Bool
    public var nextHops: [NextHop]

    /// RTPROT_KERNEL: routes that follow from addresses.
    public static let kernelOrigin: UInt8 = 2

    public init(
        table: UInt32 = RouteTable.main, prefix: IPv4Address, length: Int,
        type: RouteType = .unicast, typeOfService: UInt8 = 0, metric: UInt32 = 0,
        scope: RouteScope = .universe, origin: UInt8 = 0, preferredSource: IPv4Address? = nil,
        mtu: Int? = nil, isMTULocked: Bool = false, nextHops: [NextHop] = []
    ) {
        self.table = table
        self.prefix = IPv4Network(prefix, prefixLength: length)
        self.prefixLength = length
        self.type = type
        self.typeOfService = typeOfService
        self.metric = metric
        self.scope = scope
        self.origin = origin
        self.preferredSource = preferredSource
        self.mtu = mtu
        self.isMTULocked = isMTULocked
        self.nextHops = nextHops
    }
}
