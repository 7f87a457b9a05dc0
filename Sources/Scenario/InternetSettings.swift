// `net.ipv4.conf.*` and `net.ipv4.ip_forward` of a topology: written in the order in which a person's
// commands would be, combined per interface as the kernel combines them (include/linux/inetdevice.h).

import Routing

/// The values of `net.ipv4.conf`: of all interfaces, of those to come, and of `lo`.
struct InternetSettings {
    /// The values of one directory of `net.ipv4.conf`, by name.
    typealias Values = [String: Int64]

    private(set) var forwards = true
    private var all: Values = ["forwarding": 1]
    private var byDefault: Values = ["forwarding": 1]
    private var loopback: Values = ["forwarding": 1]

    /// What each setting may be.
    static let ranges: [String: ClosedRange<Int64>] = [
        "forwarding": 0...1, "rp_filter": 0...2, "accept_local": 0...1, "route_localnet": 0...1,
        "send_redirects": 0...1, "shared_media": 0...1, "log_martians": 0...1,
        "src_valid_mark": 0...1, "ignore_routes_with_linkdown": 0...1, "bc_forwarding": 0...1,
        "accept_source_route": 0...1,
    ]

    private static let prefix = "net.ipv4.conf."

    static func isConcerned(with name: String) -> Bool {
        name == "net.ipv4.ip_forward" || name.hasPrefix(prefix)
    }

    /// Applies one sysctl by its full name.
    ///
    /// - Throws: what was expected instead.
    mutating func set(_ name: String, to text: String) throws(SettingFault) {
        if name == "net.ipv4.ip_forward" {
            let value = try Self.value(text, for: "forwarding")
            // Writing it sets every interface's own (inet_forward_change).
            forwards = value == 1
            all["forwarding"] = value
            byDefault["forwarding"] = value
            loopback["forwarding"] = value
            return
        }
        let parts = name.dropFirst(Self.prefix.count).split(separator: ".").map(String.init)
        guard parts.count == 2, ["all", "default", "lo"].contains(parts[0]) else {
            throw SettingFault(
                "expected net.ipv4.conf.all, .default or .lo; a link's own settings stand with it")
        }
        let value = try Self.value(text, for: parts[1])
        switch (parts[0], parts[1]) {
        case ("all", "forwarding"): try set("net.ipv4.ip_forward", to: text)
        case ("all", _): all[parts[1]] = value
        case ("default", _): byDefault[parts[1]] = value
        default: loopback[parts[1]] = value
        }
    }

    static func value(_ text: String, for name: String) throws(SettingFault) -> Int64 {
        guard let range = ranges[name] else {
            throw SettingFault(
                "expected one of \(ranges.keys.sorted().joined(separator: ", "))")
        }
        guard let value = Int64(text), range.contains(value) else {
            throw SettingFault(
                "expected a number from \(range.lowerBound) to \(range.upperBound), found '\(text)'"
            )
        }
        return value
    }

    /// The settings of a link with these values of its own.
    func settings(own: Values) -> InterfaceSettings {
        combined(byDefault.merging(own) { $1 })
    }

    var loopbackSettings: InterfaceSettings { combined(loopback) }

    private func combined(_ own: Values) -> InterfaceSettings {
        func either(_ name: String, unset: Int64 = 0) -> Bool {
            (own[name] ?? unset) != 0 || (all[name] ?? unset) != 0
        }
        var settings = InterfaceSettings()
        settings.forwarding = (own["forwarding"] ?? 0) != 0
        settings.reversePathFilter = UInt8(max(own["rp_filter"] ?? 0, all["rp_filter"] ?? 0))
        settings.acceptLocal = either("accept_local")
        settings.routeLocalnet = either("route_localnet")
        settings.sendRedirects = either("send_redirects", unset: 1)
        settings.sharedMedia = either("shared_media", unset: 1)
        settings.logMartians = either("log_martians")
        settings.sourceValidMark = either("src_valid_mark")
        settings.ignoreRoutesWithLinkDown = either("ignore_routes_with_linkdown")
        settings.acceptSourceRoute =
            (own["accept_source_route"] ?? 1) != 0 && (all["accept_source_route"] ?? 0) != 0
        settings.broadcastForwarding =
            (own["bc_forwarding"] ?? 0) != 0 && (all["bc_forwarding"] ?? 0) != 0
        return settings
    }
}

/// What was expected of a setting.
struct SettingFault: Error {
    var message: String

    init(_ message: String) { self.message = message }
}
