// Where on an interface its flows are carried, and why there.
//
// XDP carries a frame before it has a socket buffer: the cheapest way for many small packets off a wire. But what
// sockets of this machine send over a veth comes as super-frames with unfinished checksums, which XDP knows
// nothing of and tc ingress hands on as they are. The program at tc ingress is attached in either case: whatever
// XDP passes is carried there if it can be.

import Routing

/// What a person asks for.
public enum RoadChoice: String, CaseIterable, Sendable { case tc, xdp, auto }

public struct Road: Hashable, Sendable {
    public enum Hook: String, Sendable { case tc, xdp }
    public var hook: Hook
    /// A sentence without its subject.
    public var reason: String

    public static let tc = Road(
        hook: .tc, reason: "where super-frames and unfinished checksums pass as they are")

    /// - Parameter runsXDP: the driver runs programs that redirect.
    /// - Parameter hasTags: there are VLAN devices on the interface.
    public static func choose(
        _ choice: RoadChoice, kind: InterfaceKind, runsXDP: Bool, hasTags: Bool
    ) -> Road {
        if choice == .tc { return .tc }
        if !runsXDP { return Road(hook: .tc, reason: "because its driver runs no XDP") }
        if hasTags {
            return Road(
                hook: .tc,
                reason: "because of its VLANs, whose tags a driver may take before XDP sees them")
        }
        if choice == .xdp {
            return Road(hook: .xdp, reason: "as asked for, and at tc what it passes")
        }
        switch kind {
        case .device:
            return Road(
                hook: .xdp,
                reason: "because frames off a wire need no socket buffer, and at tc what it passes")
        case .veth:
            return Road(
                hook: .tc,
                reason: "because sockets behind a veth send super-frames and unfinished checksums")
        default:
            return Road(hook: .tc, reason: "because it is no hardware")
        }
    }
}
