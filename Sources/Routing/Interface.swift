// The node's interfaces and addresses as plain data. Where they came from is not known here; nothing
// here holds a reference, so that a packet may copy any of it without counting.

import Wire

/// The flags of an interface that routing looks at (IFF_*).
public struct InterfaceFlags: OptionSet, Hashable, Sendable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    public static let up = Self(rawValue: 1 << 0)
    public static let broadcast = Self(rawValue: 1 << 1)
    public static let loopback = Self(rawValue: 1 << 3)
    public static let pointToPoint = Self(rawValue: 1 << 4)
    public static let running = Self(rawValue: 1 << 6)
    public static let noARP = Self(rawValue: 1 << 7)
    public static let promiscuous = Self(rawValue: 1 << 8)
    public static let multicast = Self(rawValue: 1 << 12)
    public static let lowerUp = Self(rawValue: 1 << 16)
}

/// What kind of device an interface is, as IFLA_INFO_KIND names it.
public enum InterfaceKind: String, Hashable, Sendable, CaseIterable {
    /// A device without a kind of its own: hardware, or `lo`.
    case device = ""
    case veth, bridge, tun, macvlan, macvtap, ipvlan, vlan, bond, dummy, wireguard, vxlan, vrf
    case gre, ipip, ifb, team
    case other = "?"
}

/// The per-interface settings of /proc/sys/net/ipv4/conf that decide about packets, already combined
/// with `conf/all` as the kernel combines them (include/linux/inetdevice.h).
public struct InterfaceSettings: Hashable, Sendable {
    /// The interface's own value; `all` is only a way of setting every one.
    public var forwarding = false
    /// 0 off, 1 strict, 2 loose: the larger of the interface's and `all`.
    public var reversePathFilter: UInt8 = 0
    public var acceptLocal = false
    public var routeLocalnet = false
    public var sendRedirects = true
    public var sharedMedia = true
    public var logMartians = false
    public var sourceValidMark = false
    /// `accept_source_route` needs both.
    public var acceptSourceRoute = false
    public var ignoreRoutesWithLinkDown = false
    /// `bc_forwarding` needs both.
    public var broadcastForwarding = false

    public init() {}
}

/// One interface.
public struct Interface: Hashable, Sendable {
    public var index: InterfaceIndex
    public var name: InterfaceName
    public var mac: MACAddress?
    public var mtu: Int
    public var flags: InterfaceFlags
    public var kind: InterfaceKind
    /// The bridge, bond or VRF it is a port of.
    public var master: InterfaceIndex
    /// The other end of a veth, the lower device of a VLAN or macvlan, where it is in this namespace.
    public var link: InterfaceIndex
    public var group: UInt32
    /// Packets pass a queueing discipline on their way out, when the kernel last told of the interface.
    public var hasQueue = true
    public var settings: InterfaceSettings

    public init(
        index: InterfaceIndex, name: InterfaceName, mac: MACAddress? = nil, mtu: Int = 1500,
        flags: InterfaceFlags = [.up, .broadcast, .running, .lowerUp],
        kind: InterfaceKind = .device,
        master: InterfaceIndex = .none, link: InterfaceIndex = .none, group: UInt32 = 0,
        settings: InterfaceSettings = InterfaceSettings()
    ) {
        self.index = index
        self.name = name
        self.mac = mac
        self.mtu = mtu
        self.flags = flags
        self.kind = kind
        self.master = master
        self.link = link
        self.group = group
        self.settings = settings
    }

    public var isUp: Bool { flags.contains(.up) }
    public var isLoopback: Bool { flags.contains(.loopback) }
}

/// How far an address or a route reaches (rtnetlink.h, RT_SCOPE_*): a larger value reaches less far.
public struct RouteScope: RawRepresentable, Hashable, Comparable, Sendable {
    public var rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    public static let universe = Self(rawValue: 0)
    public static let site = Self(rawValue: 200)
    public static let link = Self(rawValue: 253)
    public static let host = Self(rawValue: 254)
    public static let nowhere = Self(rawValue: 255)
    public static func < (a: Self, b: Self) -> Bool { a.rawValue < b.rawValue }
}

/// An address of an interface. Their order is the kernel's: primaries before the secondaries of the
/// same subnet, which is the order that source selection follows.
public struct InterfaceAddress: Hashable, Sendable {
    public var interface: InterfaceIndex
    /// The node's own address (IFA_LOCAL).
    public var local: IPv4Address
    /// The peer of a point-to-point link, else `local` (IFA_ADDRESS): the subnet is *its* subnet.
    public var peer: IPv4Address
    public var prefixLength: Int
    public var broadcast: IPv4Address?
    public var scope: RouteScope
    public var isSecondary: Bool

    public init(
        interface: InterfaceIndex, local: IPv4Address, peer: IPv4Address? = nil, prefixLength: Int,
        broadcast: IPv4Address? = nil, scope: RouteScope = .universe, isSecondary: Bool = false
    ) {
        self.interface = interface
        self.local = local
        self.peer = peer ?? local
        self.prefixLength = prefixLength
        self.broadcast = broadcast
        self.scope = scope
        self.isSecondary = isSecondary
    }

    public var subnet: IPv4Network { IPv4Network(peer, prefixLength: prefixLength) }
}
