// What `sluice run` looks at before it touches anything. Each check that fails is one sentence.

import CLinux
import Glibc
import Netlink
import Routing
import Wire

enum DaemonChecks {
    static func privileges(_ privileges: Privileges = Privileges()) throws(Refusal) {
        let missing = privileges.missing
        guard !missing.isEmpty else { return }
        throw Refusal(
            "sluice run needs root, or the capabilities CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF and CAP_PERFMON;"
                + " missing here: \(missing.joined(separator: ", "))")
    }

    static func interfaces(_ names: [String], _ routes: RoutingSnapshot) throws(Refusal) {
        guard !names.isEmpty else {
            throw Refusal("no interface was named; expected at least one --interface NAME")
        }
        for (position, name) in names.enumerated() {
            guard !names[..<position].contains(name) else {
                throw Refusal("interface \(name) was named twice")
            }
            if let tap = Node.tapName(name) {
                try newTap(tap, routes)
            } else {
                try interface(name, routes)
            }
        }
    }

    private static func newTap(_ name: String, _ routes: RoutingSnapshot) throws(Refusal) {
        guard !name.isEmpty, let known = InterfaceName(name) else {
            throw Refusal("tap:\(name): expected a name of 1 to 15 characters after 'tap:'")
        }
        guard routes.interface(named: known) == nil else {
            throw Refusal("tap:\(name): an interface of this name exists; expected a new name")
        }
    }

    private static func interface(_ name: String, _ routes: RoutingSnapshot) throws(Refusal) {
        guard let known = InterfaceName(name), let found = routes.interface(named: known) else {
            let present = routes.interfaces.map { "\($0.name)" }.joined(separator: ", ")
            throw Refusal("there is no interface '\(name)' here; there are: \(present)")
        }
        if found.isLoopback {
            throw Refusal(
                "interface \(name) needs no naming: the loopback is adopted when a rule or a virtual service concerns it"
            )
        }
        if found.kind == .bridge { try bridge(name) }
        if let master = routes.interface(found.master), master.kind == .bridge {
            throw Refusal(
                "interface \(name) is a port of the bridge \(master.name); name the bridge instead")
        }
    }

    /// With this setting the kernel runs bridged frames through its own hooks, which a tap on the
    /// bridge does not see.
    private static func bridge(_ name: String) throws(Refusal) {
        let path = "/proc/sys/net/bridge/bridge-nf-call-iptables"
        guard KernelSetting.read(path) == "1" else { return }
        throw Refusal(
            "bridge \(name): net.bridge.bridge-nf-call-iptables is 1, so bridged frames pass rules"
                + " that Sluice cannot see; set it to 0 in this network namespace first")
    }
}

extension Daemon {
    /// Enters the namespace that `--netns` names, for the calling thread and all it starts.
    public static func enterNamespace(_ name: String?) throws(Refusal) {
        guard let name else { return }
        let path = name.contains("/") ? name : "/run/netns/\(name)"
        do {
            let namespace = try SystemCalls.open(path, O_RDONLY)
            try check(sluice_enter_network_namespace(namespace.number), "enter", path)
        } catch {
            throw Refusal("network namespace \(name): \(error)")
        }
    }
}
