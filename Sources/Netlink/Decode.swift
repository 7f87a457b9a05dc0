// The kernel's messages about links, addresses and neighbours as Sluice's values. A message that
// lacks what every such message has is passed over (`nil`).

import CLinux
import Routing
import Wire

/// A link as the kernel reports it; its settings still lack what `conf/all` says.
struct LinkReport {
    var interface: Interface
    /// The interface's own IPv4 settings, indexed by IPV4_DEVCONF_* minus 1; empty while the
    /// interface has no IPv4 (a loopback that never was up, an MTU below 68).
    var settings: [UInt32]
}

enum Decode {
    /// struct ifinfomsg
    static func link(_ message: NetlinkMessage) -> LinkReport? {
        let attributes = message.attributes(after: 16)
        let index = InterfaceIndex(rawValue: message.body.u32(4))
        guard index != .none,
            let name = attributes[IFLA_IFNAME].flatMap({ InterfaceName($0.text()) })
        else { return nil }
        let flags = InterfaceFlags(rawValue: message.body.u32(8))
        var interface = Interface(
            index: index, name: name,
            mac: flags.contains(.loopback) ? nil : attributes[IFLA_ADDRESS]?.mac(),
            mtu: Int(attributes.u32(IFLA_MTU) ?? 0), flags: flags, kind: kind(attributes),
            master: InterfaceIndex(rawValue: attributes.u32(IFLA_MASTER) ?? 0),
            link: attributes[IFLA_LINK_NETNSID] == nil
                ? InterfaceIndex(rawValue: attributes.u32(IFLA_LINK) ?? 0) : .none,
            group: attributes.u32(IFLA_GROUP) ?? 0)
        interface.hasQueue = attributes[IFLA_QDISC]?.text() != "noqueue"
        return LinkReport(interface: interface, settings: settings(attributes))
    }

    private static func kind(_ attributes: NetlinkAttributes) -> InterfaceKind {
        guard let kind = NetlinkAttributes(attributes[IFLA_LINKINFO])[IFLA_INFO_KIND] else {
            return .device
        }
        return InterfaceKind(rawValue: kind.text()) ?? .other
    }

    /// IFLA_AF_SPEC / AF_INET / IFLA_INET_CONF
    private static func settings(_ attributes: NetlinkAttributes) -> [UInt32] {
        let family = NetlinkAttributes(attributes[IFLA_AF_SPEC])[AF_INET]
        guard let values = NetlinkAttributes(family)[IFLA_INET_CONF] else { return [] }
        return (0..<values.count / 4).map { values.u32($0 * 4) }
    }

    /// struct ifaddrmsg
    static func address(_ message: NetlinkMessage) -> InterfaceAddress? {
        let attributes = message.attributes(after: 8)
        let length = Int(message.body.u8(1))
        guard message.body.u8(0) == UInt8(AF_INET), length <= 32,
            let peer = (attributes[IFA_ADDRESS] ?? attributes[IFA_LOCAL])?.address()
        else { return nil }
        let flags = attributes.u32(IFA_FLAGS) ?? UInt32(message.body.u8(2))
        return InterfaceAddress(
            interface: InterfaceIndex(rawValue: message.body.u32(4)),
            local: attributes[IFA_LOCAL]?.address() ?? peer, peer: peer, prefixLength: length,
            broadcast: attributes[IFA_BROADCAST]?.address(),
            scope: RouteScope(rawValue: message.body.u8(3)),
            isSecondary: flags & UInt32(IFA_F_SECONDARY) != 0)
    }

    /// struct ndmsg
    static func neighbour(_ message: NetlinkMessage) -> NeighbourUpdate? {
        let attributes = message.attributes(after: 12)
        guard message.body.u8(0) == UInt8(AF_INET), message.body.u32(4) != 0,
            let address = attributes[NDA_DST]?.address()
        else { return nil }
        let state = state(message.body.u16(8))
        return NeighbourUpdate(
            interface: InterfaceIndex(rawValue: message.body.u32(4)), address: address,
            mac: state.isUsable ? attributes[NDA_LLADDR]?.mac() : nil, state: state,
            isRemoved: message.type == Int(RTM_DELNEIGH))
    }

    private static func state(_ bits: UInt16) -> NeighbourState {
        switch Int32(bits) {
        case NUD_INCOMPLETE: .incomplete
        case NUD_REACHABLE: .reachable
        case NUD_STALE: .stale
        case NUD_DELAY: .delay
        case NUD_PROBE: .probe
        case NUD_FAILED: .failed
        case NUD_NOARP: .noARP
        case NUD_PERMANENT: .permanent
        default: .none
        }
    }
}
