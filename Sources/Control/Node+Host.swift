// The node's own sockets: a TAP of Sluice's, and the policy rules and routes that lead their packets to it
// and keep in step with the person's own.

import Netlink
import PacketIO
import Routing
import Wire

extension Node {
    /// The first of the tables that mirror the person's; the others follow it.
    private static let firstTable: UInt32 = 0x736C_7500

    /// Opens the port to the node's sockets. Their packets come to it with the next `leadHostPackets`.
    func openHostPort() throws(Refusal) {
        do {
            let port = try HostPort(programs: programs)
            try requests.setLink(port.interface, NetlinkRequests.LinkChange(up: true))
            dataplane.addHostPort(port)
            host = port
        } catch {
            throw Refusal("the host port \(HostPort.defaultName): \(error)")
        }
    }

    /// Brings the rules and routes to what the node's routing asks for now. What the kernel refuses is
    /// said; those packets go the kernel's way.
    func leadHostPackets() {
        guard let host else { return }
        let claimed = adopted.filter { $0.claim != nil && !$0.isLoopback }
        allowLoopbackSources(on: host, claimed)
        let plan = HostRoutes.plan(
            snapshot: mirror.snapshot, hostPort: host.interface, table: Self.firstTable,
            adopted: Set(claimed.map(\.port.interface)))
        let changes = HostRoutes.changes(from: hostPlan, to: plan)
        for rule in plan.precedingRules where !hostPlan.precedingRules.contains(rule) {
            remarks.offer(
                "the policy rule of priority \(rule.priority) comes before Sluice's: packets of the"
                    + " node's own that it routes pass no rules")
        }
        hostPlan = plan
        guard !changes.isEmpty else { return }
        for refusal in requests.apply(changes) {
            remarks.offer("the way of the node's own packets: \(refusal)")
        }
    }

    /// A socket bound to 127.0.0.1 may answer through an interface whose route_localnet says so, which is
    /// the host port to the kernel (`__mkroute_output`). Sluice looks at the real one again.
    private func allowLoopbackSources(on host: HostPort, _ claimed: [Adopted]) {
        let allows = claimed.contains {
            mirror.snapshot.interface($0.port.interface)?.settings.routeLocalnet ?? false
        }
        guard allows != hostAllowsLoopbackSources else { return }
        let path = "/proc/sys/net/ipv4/conf/\(host.name)/route_localnet"
        do throws(SystemError) {
            try KernelSetting.write(allows ? "1" : "0", to: path)
            hostAllowsLoopbackSources = allows
        } catch {
            remarks.offer("the way of the node's own packets: \(error)")
        }
    }

    /// The kernel routes the node's packets itself again.
    func stopLeadingHostPackets() {
        hostPlan = HostRoutes.Plan()
        do { try requests.removeHostRoutes() } catch { remarks.offer("\(error)") }
    }

    func closeHostPort() {
        if let host { dataplane.removePort(host.interface) }
        host = nil
    }

    /// Keeps looking at arriving packets through the filter that the person set, whatever the kernel's
    /// own now says.
    func keepReversePathFilter(_ filter: UInt8, on interface: InterfaceIndex) {
        mirror.reversePathFilters[interface] = filter
    }
}
