// The loopback is Sluice's while a rule or a virtual service concerns it, and the kernel's otherwise.

import PacketIO
import Ruleset
import Wire

extension Daemon {
    /// What the kernel must allow so that a frame put back on `lo` reaches its socket: packets from an
    /// address of the node's own, and 127/8 behind a routing decision.
    private static let settings = ["accept_local", "route_localnet"]
        .map { "/proc/sys/net/ipv4/conf/lo/\($0)" }

    /// Takes `lo` or gives it back, as the rules of this moment ask for.
    func followLoopback() throws(Refusal) {
        let isAdopted = try refusing { () throws(PacketThreadFailure) in
            try packets.perform { node in node.adopted.contains { $0.isLoopback } }
        }
        // A client on the node may mean any service.
        let isWanted = rules.mayMeetLoopback || !virtualServices.services.isEmpty
        guard isWanted != isAdopted else { return }
        if isAdopted {
            try refusing { () throws(PacketThreadFailure) in
                try packets.perform { node in node.release("lo") }
            }
            try restore(Self.settings)
        } else {
            for path in Self.settings { try change(path, to: "1") }
            let refusal = try refusing { () throws(PacketThreadFailure) in
                try packets.perform { node -> Refusal? in
                    do throws(Refusal) {
                        try node.adopt("lo")
                        return nil
                    } catch { return error }
                }
            }
            if let refusal { throw refusal }
        }
    }

    /// Writes down what a setting says, then changes it.
    func change(_ path: String, to value: String) throws(Refusal) {
        guard let before = KernelSetting.read(path), before != value else { return }
        if !state.settings.contains(where: { $0.path == path }) {
            state.settings.append(NodeState.Setting(path: path, before: before))
        }
        try refusing { () throws(SystemError) in
            try stateFile.store(state)
            try KernelSetting.write(value, to: path)
        }
    }

    private func restore(_ paths: [String]) throws(Refusal) {
        for setting in state.settings where paths.contains(setting.path) {
            try refusing { () throws(SystemError) in
                try KernelSetting.write(setting.before, to: setting.path)
            }
        }
        state.settings.removeAll { paths.contains($0.path) }
        try refusing { () throws(SystemError) in try stateFile.store(state) }
    }
}
