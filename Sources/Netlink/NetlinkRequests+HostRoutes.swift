// Puts a plan of HostRoutes into the kernel, and takes away whatever bears Sluice's mark.

import CLinux
import Glibc
import Routing
import Wire

extension NetlinkRequests {
    /// Does the changes in their order, all of them: what the kernel refuses (a route whose interface
    /// went down a moment ago) does not keep the rest from its place.
    /// - Returns: what was refused.
    public func apply(_ changes: HostRoutes.Changes) -> [NetlinkError] {
        var refused: [NetlinkError] = []
        for route in changes.setRoutes {
            do { try replaceRoute(route) } catch { refused.append(error) }
        }
        for rule in changes.addRules {
            do { try addRule(rule) } catch { refused.append(error) }
        }
        for rule in changes.deleteRules {
            do { try deleteIfThere(rule) } catch { refused.append(error) }
        }
        for route in changes.deleteRoutes {
            do { try deleteIfThere(route) } catch { refused.append(error) }
        }
        return refused
    }

    /// Deletes every rule and route with Sluice's mark, also those of a daemon that was killed.
    /// - Returns: how many there were.
    @discardableResult
    public func removeHostRoutes() throws(NetlinkError) -> Int {
        let own = try rules().filter { $0.origin == HostRoutes.origin }
        for rule in own { try deleteIfThere(rule) }
        let routes = try allRoutes().filter { $0.origin == HostRoutes.origin }
        for route in routes { try deleteIfThere(route) }
        return own.count + routes.count
    }

    /// The routes of every table.
    public func allRoutes() throws(NetlinkError) -> [Route] {
        let request = NetlinkRequest(
            type: RTM_GETROUTE, flags: 0,
            header: [UInt8(AF_INET)] + [UInt8](repeating: 0, count: 11))
        return try socket.dump(request, "list the routes").compactMap(Decode.route)
    }

    private func deleteIfThere(_ rule: PolicyRule) throws(NetlinkError) {
        do { try deleteRule(rule) } catch  where error.code == ENOENT { return }
    }

    /// Routes vanish with their interface: gone is what was wanted.
    private func deleteIfThere(_ route: Route) throws(NetlinkError) {
        do {
            try deleteRoute(route)
        } catch  where error.code == ESRCH || error.code == ENODEV {
            return
        }
    }
}
