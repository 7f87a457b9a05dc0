// A packet on its way through the hooks: what the kernel keeps in an skb beside the bytes, and what
// becomes of it at the end of a walk.

import Conntrack
import Routing
import Ruleset
import Wire

/// A packet's metadata. Its bytes travel beside it as a span; `view` and the bytes change together.
public struct Packet: Sendable {
    public var view: PacketView
    public var offload: OffloadHeader
    /// Where it came in; `.none` for a packet the node itself made.
    public var inInterface: InterfaceIndex
    public var inName: InterfaceName
    /// Where it goes out, once routed.
    public var outInterface: InterfaceIndex
    public var outName: InterfaceName
    /// The gateway, or the destination itself; meaningful once routed.
    public var nextHop: IPv4Address
    /// The route's MTU in bytes; 0 until routed.
    var routeMTU = 0
    /// `skb->mark`.
    public var mark: UInt32
    /// The user of the socket that sent it, for a packet of the node's own whose socket is known.
    public var userID: UInt32?
    /// The group with which that socket was opened.
    public var groupID: UInt32?
    /// The connection it belongs to and how, once conntrack has seen it; until then a rule sees it as
    /// INVALID.
    public var tracked: Tracked
    /// The CT rule it met, an index into `CompiledRuleset.trackingTargets`; `nil` once it is tracked.
    var template: Int32?
    /// A TRACE rule asked to be told of it (`skb->nf_trace`).
    var isTraced = false
    /// What tracking said of it before it had to walk; tracking is not asked again.
    var foreseen: Tracked?
    /// No path is stored for it, or none that it may take.
    var mustWalk = false
    /// So far, all plain packets that follow will take the same path (`HookEngine.draft`).
    var keepsPath = false
    /// In a dry run, what rules made of the connection's mark.
    var triedMark: UInt32?
    /// The largest fragment of the datagram, in bytes with its IP header; 0 if it came whole.
    public var largestFragment: Int
    /// For an error the node sends itself: the packet that it answers. Conntrack attaches the error
    /// to that packet's connection even if it was never confirmed (nf_ct_attach).
    public var answers: Tracked?
    /// Its source is the address that its route preferred: it is routed as from nobody (`icmp_send`).
    public var takesSourceOfRoute = false
    /// What its IPv4 options ask for, once they were read.
    public internal(set) var options = IPOptions()
    /// It went out of the node and came back over the loopback interface.
    var isLoopedBack = false
    /// INPUT changed its source: where it came from was judged by the address it had before.
    public internal(set) var isSourceTranslated = false

    public init(
        view: PacketView, offload: OffloadHeader = .none, inInterface: InterfaceIndex = .none,
        inName: InterfaceName = InterfaceName(), mark: UInt32 = 0, userID: UInt32? = nil,
        groupID: UInt32? = nil
    ) {
        self.view = view
        self.offload = offload
        self.inInterface = inInterface
        self.inName = inName
        outInterface = .none
        outName = InterfaceName()
        nextHop = .any
        self.mark = mark
        self.userID = userID
        self.groupID = groupID
        tracked = Tracked(state: .invalid)
        largestFragment = 0
        answers = nil
    }
}

extension Packet {
    /// `HookEngine.express` did not take it; `foreseen` is what that said.
    public mutating func hasNoPath(_ foreseen: Tracked?) {
        mustWalk = true
        self.foreseen = foreseen
    }
}

/// The answer a dropped packet draws from the node.
public enum Answer: Hashable, Sendable {
    /// An ICMP error quoting the packet. `information` is the word behind the checksum: the next
    /// hop's MTU for 3/4 (RFC 1191), the gateway for a redirect.
    case icmp(type: UInt8, code: UInt8, information: UInt32)
    /// A TCP reset (net/ipv4/netfilter/nf_reject_ipv4.c).
    case tcpReset
}

/// Where a packet leaves the node.
public struct Egress: Hashable, Sendable {
    public var interface: InterfaceIndex
    public var nextHop: IPv4Address
    /// The route's MTU in bytes; a larger packet is fragmented here.
    public var mtu: Int

    public init(interface: InterfaceIndex, nextHop: IPv4Address, mtu: Int) {
        self.interface = interface
        self.nextHop = nextHop
        self.mtu = mtu
    }
}

/// What becomes of a packet at the end of a walk.
public enum Disposition: Hashable, Sendable {
    case forward(Egress)
    /// To the node's own sockets, as having come in on the packet's `inInterface`.
    case deliver
    /// A fragment for the node: INPUT looks at whole datagrams only. The caller puts it together and
    /// goes on with `HookEngine.deliver`.
    case gather
    case drop(DropReason)
    /// Dropped for that reason, and the node answers.
    case answer(Answer, DropReason)
}
