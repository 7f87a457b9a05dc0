// The question a packet asks of the routing tables, and the answer.

import Wire

/// What policy rules and tables look at (struct flowi4).
@frozen
public struct RouteQuery: Hashable, Sendable {
    public var source: IPv4Address
    public var destination: IPv4Address
    /// The interface the packet arrived on. Packets of the node itself say `.none`; rules see them
    /// as arriving on `lo`, which is what `iif lo` in a rule means.
    public var inInterface: InterfaceIndex
    /// Where a socket is bound to a device; else `.none`.
    public var outInterface: InterfaceIndex
    public var mark: UInt32
    public var typeOfService: UInt8
    /// Chooses among the nexthops of a multipath route.
    public var flowHash: UInt32
    /// Looked at only by rules with `ipproto`, `sport`, `dport`.
    public var ipProtocol: IPProtocol
    public var sourcePort: Port
    public var destinationPort: Port
    /// The owner of the sending socket; forwarded packets are root's.
    public var userID: UInt32
    /// Take next hops whose link is down even where `ignore_routes_with_linkdown` passes over them
    /// (FIB_LOOKUP_IGNORE_LINKSTATE).
    var ignoresLinkState = false

    @inlinable
    public init(
        source: IPv4Address, destination: IPv4Address, inInterface: InterfaceIndex = .none,
        outInterface: InterfaceIndex = .none, mark: UInt32 = 0, typeOfService: UInt8 = 0,
        flowHash: UInt32 = 0, ipProtocol: IPProtocol = IPProtocol(rawValue: 0),
        sourcePort: Port = Port(0), destinationPort: Port = Port(0), userID: UInt32 = 0
    ) {
        self.source = source
        self.destination = destination
        self.inInterface = inInterface
        self.outInterface = outInterface
        self.mark = mark
        self.typeOfService = typeOfService
        self.flowHash = flowHash
        self.ipProtocol = ipProtocol
        self.sourcePort = sourcePort
        self.destinationPort = destinationPort
        self.userID = userID
    }
}

/// How a look-up ended.
public enum RouteKind: UInt8, Hashable, Sendable {
    case unicast
    case local
    case broadcast
    case multicast
    /// EINVAL: dropped without an answer.
    case blackhole
    /// EHOSTUNREACH: answered with host unreachable.
    case unreachable
    /// EACCES: answered with "communication administratively prohibited".
    case prohibit
    /// ENETUNREACH: answered with network unreachable.
    case noRoute
    /// EINVAL from the checks on addresses: dropped.
    case invalid
}

/// The answer. Fields after `kind` mean something for the first four kinds only.
@frozen
public struct RouteDecision: Hashable, Sendable {
    public var kind: RouteKind
    public var outInterface: InterfaceIndex
    /// Whom to ask for a MAC address: the gateway, or the destination itself.
    public var nextHop: IPv4Address
    public var gateway: IPv4Address?
    /// The route's MTU where it has one, else the interface's.
    public var mtu: Int
    /// The source address for a packet that has none yet (ip_route_output); `nil` where the node
    /// has no suitable address.
    public var preferredSource: IPv4Address?
    public var scope: RouteScope
    public var table: UInt32
    public var prefixLength: Int

    public init(_ kind: RouteKind) {
        self.kind = kind
        outInterface = .none
        nextHop = .any
        gateway = nil
        mtu = 0
        preferredSource = nil
        scope = .universe
        table = 0
        prefixLength = 0
    }
}

/// What becomes of a packet that arrived on an interface (ip_route_input_slow).
public enum InputVerdict: Hashable, Sendable {
    /// For this node, or a broadcast.
    case local(RouteDecision)
    /// `redirect`: the sender should be told of a shorter way (ICMP redirect).
    case forward(RouteDecision, redirect: Bool)
    /// Left to the kernel: multicast.
    case multicast
    case drop(DropReason)
    /// To be answered with an ICMP error according to the kind, where the interface forwards.
    case unreachable(RouteKind)
}
