// The kernel's messages about routes and policy rules as Sluice's values.

import CLinux
import Routing
import Wire

extension Decode {
    /// struct rtmsg. `nil` for what is no IPv4 route of a table: cached clones, multicast routing.
    static func route(_ message: NetlinkMessage) -> Route? {
        let body = message.body
        let attributes = message.attributes(after: 12)
        let length = Int(body.u8(1))
        guard body.u8(0) == UInt8(AF_INET), length <= 32,
            let type = RouteType(rawValue: body.u8(7)),
            body.u32(8) & UInt32(RTM_F_CLONED) == 0
        else { return nil }
        let metrics = NetlinkAttributes(attributes[RTA_METRICS.rawValue])
        let locks = metrics.u32(RTAX_LOCK) ?? 0
        return Route(
            table: attributes.u32(RTA_TABLE.rawValue) ?? UInt32(body.u8(4)),
            prefix: attributes[RTA_DST.rawValue]?.address() ?? .any, length: length, type: type,
            typeOfService: body.u8(3), metric: attributes.u32(RTA_PRIORITY.rawValue) ?? 0,
            scope: RouteScope(rawValue: body.u8(6)), origin: body.u8(5),
            preferredSource: attributes[RTA_PREFSRC.rawValue]?.address(),
            mtu: metrics.u32(RTAX_MTU).map(Int.init),
            isMTULocked: locks & (1 << UInt32(RTAX_MTU)) != 0,
            nextHops: nextHops(attributes, flags: body.u32(8)))
    }

    private static func nextHops(_ attributes: NetlinkAttributes, flags: UInt32) -> [NextHop] {
        if let list = attributes[RTA_MULTIPATH.rawValue] { return multipath(list) }
        guard let interface = attributes.u32(RTA_OIF.rawValue) else { return [] }
        return [
            nextHop(
                interface: interface, attributes, weight: 1,
                flags: UInt8(truncatingIfNeeded: flags))
        ]
    }

    /// A list of struct rtnexthop, each with attributes of its own.
    private static func multipath(_ list: NetlinkBytes) -> [NextHop] {
        var hops: [NextHop] = []
        var offset = 0
        while offset + 8 <= list.count {
            let length = Int(list.u16(offset))
            guard length >= 8, let entry = list.part(offset, count: length) else { break }
            hops.append(
                nextHop(
                    interface: entry.u32(4), NetlinkAttributes(entry.rest(from: 8)),
                    weight: Int(entry.u8(3)) + 1, flags: entry.u8(2)))
            offset += (length + 3) & ~3
        }
        return hops
    }

    private static func nextHop(
        interface: UInt32, _ attributes: NetlinkAttributes, weight: Int, flags: UInt8
    ) -> NextHop {
        let via = attributes[RTA_VIA.rawValue]
        return NextHop(
            interface: InterfaceIndex(rawValue: interface),
            gateway: attributes[RTA_GATEWAY.rawValue]?.address(),
            hasIPv6Gateway: via.map { $0.u16(0) == UInt16(AF_INET6) } ?? false, weight: weight,
            flags: NextHopFlags(rawValue: flags))
    }

    /// struct fib_rule_hdr. `nil` for an action that Sluice does not know.
    static func rule(_ message: NetlinkMessage) -> PolicyRule? {
        let body = message.body
        let attributes = message.attributes(after: 12)
        guard body.u8(0) == UInt8(AF_INET), let action = action(body, attributes) else {
            return nil
        }
        var rule = PolicyRule(priority: attributes.u32(FRA_PRIORITY) ?? 0, action: action)
        rule.destination = network(attributes[FRA_DST], length: body.u8(1))
        rule.source = network(attributes[FRA_SRC], length: body.u8(2))
        rule.typeOfService = body.u8(3)
        if let dscp = attributes[dscpAttribute] {
            rule.typeOfService = dscp.u8(0) << 2
            rule.comparesWholeDSCP = true
        }
        rule.inInterface = attributes[FRA_IIFNAME].flatMap { InterfaceName($0.text()) }
        rule.outInterface = attributes[FRA_OIFNAME].flatMap { InterfaceName($0.text()) }
        rule.mark = attributes.u32(FRA_FWMARK) ?? 0
        rule.markMask = attributes.u32(FRA_FWMASK) ?? 0
        rule.isInverted = body.u32(8) & UInt32(FIB_RULE_INVERT) != 0
        if let length = attributes.u32(FRA_SUPPRESS_PREFIXLEN), length != .max {
            rule.suppressPrefixLength = Int(length)
        }
        rule.suppressGroup = attributes.u32(FRA_SUPPRESS_IFGROUP).flatMap {
            $0 == .max ? nil : $0
        }
        rule.origin = attributes[FRA_PROTOCOL]?.u8(0) ?? 0
        decodeTransport(attributes, into: &rule)
        return rule
    }

    /// FRA_DSCP of Linux 6.14, which older headers lack; what stands behind it (flow labels, port
    /// and DSCP masks) is not modelled.
    private static let dscpAttribute = 25

    private static func decodeTransport(
        _ attributes: NetlinkAttributes, into rule: inout PolicyRule
    ) {
        rule.ipProtocol = attributes[FRA_IP_PROTO].map { IPProtocol(rawValue: $0.u8(0)) }
        rule.sourcePorts = ports(attributes[FRA_SPORT_RANGE])
        rule.destinationPorts = ports(attributes[FRA_DPORT_RANGE])
        if let users = attributes[FRA_UID_RANGE], users.u32(0) <= users.u32(4) {
            rule.userIDs = users.u32(0)...users.u32(4)
        }
        rule.isForeign =
            attributes[FRA_TUN_ID] != nil || attributes[FRA_L3MDEV].map { $0.u8(0) != 0 } ?? false
    }

    private static func ports(_ range: NetlinkBytes?) -> ClosedRange<Port>? {
        guard let range, range.u16(0) <= range.u16(2) else { return nil }
        return Port(range.u16(0))...Port(range.u16(2))
    }

    private static func network(_ address: NetlinkBytes?, length: UInt8) -> IPv4Network {
        IPv4Network(address?.address() ?? .any, prefixLength: Int(min(length, 32)))
    }

    private static func action(
        _ body: NetlinkBytes, _ attributes: NetlinkAttributes
    ) -> PolicyAction? {
        switch Int(body.u8(7)) {
        case Int(FR_ACT_TO_TBL):
            .lookup(table: attributes.u32(FRA_TABLE) ?? UInt32(body.u8(4)))
        case Int(FR_ACT_GOTO): .goto(priority: attributes.u32(FRA_GOTO) ?? 0)
        case Int(FR_ACT_NOP): .nop
        case Int(FR_ACT_BLACKHOLE): .blackhole
        case Int(FR_ACT_UNREACHABLE): .unreachable
        case Int(FR_ACT_PROHIBIT): .prohibit
        default: nil
        }
    }
}
