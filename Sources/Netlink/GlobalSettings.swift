// net.ipv4.conf.all and ip_forward: the half of the settings that belongs to no interface. Netlink
// tells of some of them only, so they are read from /proc/sys; the open files stay bound to the
// namespace of the thread that opened them.

import CLinux
import Glibc
import Routing

/// The files, kept open.
final class GlobalSettings {
    private static let names = [
        "rp_filter", "accept_local", "route_localnet", "send_redirects", "shared_media",
        "log_martians", "src_valid_mark", "ignore_routes_with_linkdown", "bc_forwarding",
        "accept_source_route",
    ]
    private var files: [String: Int32] = [:]
    private let forward: Int32

    init() throws(NetlinkError) {
        forward = try Self.open("/proc/sys/net/ipv4/ip_forward")
        for name in Self.names {
            files[name] = try Self.open("/proc/sys/net/ipv4/conf/all/\(name)")
        }
    }

    deinit {
        for descriptor in files.values { close(descriptor) }
        if forward >= 0 { close(forward) }
    }

    private static func open(_ path: String) throws(NetlinkError) -> Int32 {
        let descriptor = unsafe sluice_setting_open(path)
        guard descriptor >= 0 else {
            throw NetlinkError(operation: "read \(path)", code: -descriptor)
        }
        return descriptor
    }

    /// A setting that cannot be read counts as 0, which is every one's value in a kernel without it.
    private subscript(name: String) -> UInt32 {
        guard let file = files[name] else { return 0 }
        return UInt32(clamping: max(sluice_setting_read(file), 0))
    }

    struct Values: Hashable {
        var forwards = false
        var all = InterfaceSettings()
    }

    func read() -> Values {
        var all = InterfaceSettings()
        all.reversePathFilter = UInt8(clamping: self["rp_filter"])
        all.acceptLocal = self["accept_local"] != 0
        all.routeLocalnet = self["route_localnet"] != 0
        all.sendRedirects = self["send_redirects"] != 0
        all.sharedMedia = self["shared_media"] != 0
        all.logMartians = self["log_martians"] != 0
        all.sourceValidMark = self["src_valid_mark"] != 0
        all.ignoreRoutesWithLinkDown = self["ignore_routes_with_linkdown"] != 0
        all.broadcastForwarding = self["bc_forwarding"] != 0
        all.acceptSourceRoute = self["accept_source_route"] != 0
        return Values(forwards: sluice_setting_read(forward) > 0, all: all)
    }
}

extension InterfaceSettings {
    /// An interface's own values (IPV4_DEVCONF_* minus 1) with those of `conf/all`, each combined as
    /// include/linux/inetdevice.h says: the larger rp_filter, one of both, both, or its own alone.
    init(own: [UInt32], all: InterfaceSettings) {
        self.init()
        func value(_ index: Int) -> UInt32 { index <= own.count ? own[index - 1] : 0 }
        forwarding = value(Int(IPV4_DEVCONF_FORWARDING)) != 0
        reversePathFilter = max(
            UInt8(clamping: value(Int(IPV4_DEVCONF_RP_FILTER))), all.reversePathFilter)
        acceptLocal = value(Int(IPV4_DEVCONF_ACCEPT_LOCAL)) != 0 || all.acceptLocal
        routeLocalnet = value(Int(IPV4_DEVCONF_ROUTE_LOCALNET)) != 0 || all.routeLocalnet
        sendRedirects = value(Int(IPV4_DEVCONF_SEND_REDIRECTS)) != 0 || all.sendRedirects
        sharedMedia = value(Int(IPV4_DEVCONF_SHARED_MEDIA)) != 0 || all.sharedMedia
        logMartians = value(Int(IPV4_DEVCONF_LOG_MARTIANS)) != 0 || all.logMartians
        sourceValidMark = value(Int(IPV4_DEVCONF_SRC_VMARK)) != 0 || all.sourceValidMark
        ignoreRoutesWithLinkDown =
            value(Int(IPV4_DEVCONF_IGNORE_ROUTES_WITH_LINKDOWN)) != 0
            || all.ignoreRoutesWithLinkDown
        acceptSourceRoute =
            value(Int(IPV4_DEVCONF_ACCEPT_SOURCE_ROUTE)) != 0 && all.acceptSourceRoute
        broadcastForwarding =
            value(Int(IPV4_DEVCONF_BC_FORWARDING)) != 0 && all.broadcastForwarding
    }
}
