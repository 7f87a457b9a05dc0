// Routes: adding, replacing, deleting, and asking the kernel which one it would take.

import CLinux
import Routing
import Wire

extension NetlinkRequests {
    /// Fails where a route of the same table, prefix, TOS and metric exists.
    public func addRoute(_ route: Route) throws(NetlinkError) {
        try socket.perform(
            Self.request(route, RTM_NEWROUTE, flags: Self.exclusive), "add \(Self.name(route))")
    }

    public func replaceRoute(_ route: Route) throws(NetlinkError) {
        try socket.perform(
            Self.request(route, RTM_NEWROUTE, flags: Self.replace), "set \(Self.name(route))")
    }

    public func deleteRoute(_ route: Route) throws(NetlinkError) {
        try socket.perform(
            Self.request(route, RTM_DELROUTE, flags: 0), "delete \(Self.name(route))")
    }

    /// The routes of one table.
    public func routes(table: UInt32) throws(NetlinkError) -> [Route] {
        var request = NetlinkRequest(
            type: RTM_GETROUTE, flags: 0,
            header: [UInt8(AF_INET)] + [UInt8](repeating: 0, count: 11))
        request.append(RTA_TABLE.rawValue, table)
        do {
            return try socket.dump(request, "list the routes of table \(table)")
                .compactMap(Decode.route).filter { $0.table == table }
        } catch  where error.code == ENOENT {
            // A table exists once it has had a route.
            return []
        }
    }

    /// Deletes every route of a table.
    public func flushTable(_ table: UInt32) throws(NetlinkError) {
        for route in try routes(table: table) {
            do {
                try deleteRoute(route)
            } catch  where error.code == ESRCH {
                // Gone with its interface in the meantime.
                continue
            }
        }
    }

    private static func name(_ route: Route) -> String {
        "the \(route.type) route \(route.prefix.address)/\(route.prefixLength) "
            + "of table \(route.table)"
    }

    private static func request(
        _ route: Route, _ type: some BinaryInteger, flags: Int
    ) -> NetlinkRequest {
        let single = route.nextHops.count == 1 ? route.nextHops[0] : nil
        var request = NetlinkRequest(
            type: type, flags: flags,
            header: [
                UInt8(AF_INET), UInt8(route.prefixLength), 0, route.typeOfService,
                route.table < 256 ? UInt8(route.table) : 0, route.origin, route.scope.rawValue,
                route.type.rawValue,
            ] + native(UInt32(single.map(Self.settable) ?? 0)))
        if route.prefixLength > 0 { request.append(RTA_DST.rawValue, route.prefix.address) }
        request.append(RTA_TABLE.rawValue, route.table)
        if route.metric != 0 { request.append(RTA_PRIORITY.rawValue, route.metric) }
        if let source = route.preferredSource {
            request.append(RTA_PREFSRC.rawValue, source)
        }
        if let mtu = route.mtu {
            var metrics = NetlinkRequest(type: 0, flags: 0, header: [])
            if route.isMTULocked {
                metrics.append(RTAX_LOCK, UInt32(1) << UInt32(RTAX_MTU))
            }
            metrics.append(RTAX_MTU, UInt32(clamping: mtu))
            request.append(RTA_METRICS.rawValue, metrics.payload)
        }
        if let single {
            if let gateway = single.gateway { request.append(RTA_GATEWAY.rawValue, gateway) }
            request.append(RTA_OIF.rawValue, single.interface.rawValue)
        } else if !route.nextHops.isEmpty {
            request.append(RTA_MULTIPATH.rawValue, route.nextHops.flatMap(encode))
        }
        return request
    }

    /// Dead and linkdown are the kernel's to say.
    private static func settable(_ hop: NextHop) -> UInt8 {
        hop.flags.intersection(.onlink).rawValue
    }

    /// struct rtnexthop with its attributes.
    private static func encode(_ hop: NextHop) -> [UInt8] {
        var attributes = NetlinkRequest(type: 0, flags: 0, header: [])
        if let gateway = hop.gateway { attributes.append(RTA_GATEWAY.rawValue, gateway) }
        return native(UInt16(8 + attributes.payload.count))
            + [settable(hop), UInt8(clamping: hop.weight - 1)] + native(hop.interface.rawValue)
            + attributes.payload
    }
}

/// What the kernel says that it would do with a packet.
public struct KernelRoute: Hashable, Sendable {
    /// 0, or the errno with which it refused: ENETUNREACH, EHOSTUNREACH, EACCES, EINVAL, EXDEV.
    public var error: Int32 = 0
    public var type: RouteType?
    public var outInterface: InterfaceIndex = .none
    public var gateway: IPv4Address?
    public var preferredSource: IPv4Address?
    public var mtu: Int?
    public var table: UInt32 = 0
}

extension NetlinkRequests {
    /// `ip route get`: with an `inInterface` in the query, as for a packet that arrives there.
    /// Of protocols the kernel takes TCP, UDP and ICMP; without one it assumes UDP.
    public func lookUp(_ query: RouteQuery) throws(NetlinkError) -> KernelRoute {
        var request = NetlinkRequest(
            type: RTM_GETROUTE, flags: 0,
            header: [
                UInt8(AF_INET), 32, query.source == .any ? 0 : 32, query.typeOfService, 0, 0, 0, 0,
            ] + native(UInt32(RTM_F_LOOKUP_TABLE)))
        request.append(RTA_DST.rawValue, query.destination)
        if query.source != .any { request.append(RTA_SRC.rawValue, query.source) }
        if query.inInterface != .none {
            request.append(RTA_IIF.rawValue, query.inInterface.rawValue)
        }
        if query.outInterface != .none {
            request.append(RTA_OIF.rawValue, query.outInterface.rawValue)
        }
        request.append(RTA_MARK.rawValue, query.mark)
        if query.ipProtocol.rawValue != 0 {
            request.append(RTA_IP_PROTO.rawValue, [query.ipProtocol.rawValue])
            let ports = [(RTA_SPORT, query.sourcePort), (RTA_DPORT, query.destinationPort)]
            for (type, port) in ports where port.rawValue != 0 {
                request.append(type.rawValue, native(port.rawValue.bigEndian))
            }
        }
        request.append(RTA_UID.rawValue, query.userID)
        do {
            return answer(try socket.ask(request, "look up \(query.destination)"))
        } catch  where [ENETUNREACH, EHOSTUNREACH, EACCES, EINVAL, EXDEV].contains(error.code) {
            var refusal = KernelRoute()
            refusal.error = error.code
            return refusal
        }
    }

    private func answer(_ message: NetlinkMessage?) -> KernelRoute {
        var result = KernelRoute()
        guard let message else { return result }
        let attributes = message.attributes(after: 12)
        result.type = RouteType(rawValue: message.body.u8(7))
        result.outInterface = InterfaceIndex(
            rawValue: attributes.u32(RTA_OIF.rawValue) ?? 0)
        result.gateway = attributes[RTA_GATEWAY.rawValue]?.address()
        result.preferredSource = attributes[RTA_PREFSRC.rawValue]?.address()
        result.mtu = NetlinkAttributes(attributes[RTA_METRICS.rawValue]).u32(RTAX_MTU)
            .map(Int.init)
        result.table = attributes.u32(RTA_TABLE.rawValue) ?? UInt32(message.body.u8(4))
        return result
    }
}
