// Stored paths for somebody who carries packets along them without the engine (Sources/Offload). The engine
// offers the connections whose packets took a stored path; whoever carries asks for the path, and is told when
// it is void.

import Conntrack
import Routing
import Wire

/// Carries packets along stored paths. Called on the engine's thread.
public protocol PathCarrier: AnyObject {
    /// Paths of any other snapshot are void: when this returns, nothing more is carried along them.
    func follow(snapshot: UInt32)
    /// Brings in what was counted so far.
    func settle()
    /// While suspended, nothing is carried.
    func suspend(_ isSuspended: Bool)
}

/// Where plain packets of one direction of a connection go.
public struct CarriedPath: Sendable {
    public var ingress: InterfaceIndex
    public var typeOfService: UInt8
    public var egress: Egress
    /// Among the rules' paths.
    public var number: Int32
    /// Whether packets get the connection's translation.
    public var isTranslated: Bool
}

extension HookEngine {
    /// How many offers are kept for `takeOffers`; what comes on top is offered again with its next packet.
    static let offerCapacity = 256

    /// The path that is stored for packets without a mark; `nil` where there is none that is in force.
    public func carriedPath(_ id: ConnectionID, _ direction: Direction) -> CarriedPath? {
        let name = PathID(rawValue: connections.note(for: id, direction))
        guard storedPaths.contains(name) else { return nil }
        let path = storedPaths[name]
        guard path.mark == 0, path.isDirected == hasServices else { return nil }
        return CarriedPath(
            ingress: path.ingress, typeOfService: path.typeOfService,
            egress: Egress(
                interface: path.egress, nextHop: path.nextHop, mtu: Int(path.mtu)),
            number: path.number, isTranslated: hasNAT)
    }

    /// An echo or its reply (RFC 792) takes no stored path here; but a carrier may have its path.
    static func isEcho(_ packet: Packet) -> Bool {
        packet.view.transport == .icmp && (packet.view.icmpType == 8 || packet.view.icmpType == 0)
            && !packet.view.hasOptions && cameWhole(packet)
    }

    /// Whether all packets of the direction that follow are in the packet's state. Without an answer a connection is
    /// NEW, but for the packet that opens it, until one comes; the table forgets the note then.
    func isSettled(_ packet: Packet) -> Bool {
        switch packet.tracked.state {
        case .established: true
        case .new: offersPaths && packet.view.transport != .tcp
        default: false
        }
    }

    /// Hands over the connections whose packets took, or left, a stored path since the last call.
    public func takeOffers(_ body: (ConnectionID) -> Void) {
        for index in 0..<offers.count { body(offers[index]) }
        offers.removeAll(keepingCapacity: true)
    }

    @inline(never)
    func offer(_ id: ConnectionID) {
        guard offers.count < Self.offerCapacity, offers.last != id else { return }
        offers.append(id)
    }

    /// Before something changes that stored paths do not know: they are void, and what was carried along them is
    /// counted where it was counted before.
    public func endPaths() {
        forgetPaths(countedBy: rules)
        carrier?.settle()
    }
}
