// Giving the node back: what the state file names is undone, in the opposite order of its making.
// Idempotent, and the same after a clean stop and after a crash. One thing that fails does not keep the
// others from being tried; each failure is a sentence.

import Glibc
import Netlink
import PacketIO
import Wire

enum NodeCleanup {
    static func giveBack(_ state: NodeState) -> [String] {
        var complaints: [String] = []
        func attempt(_ body: () throws -> Void) {
            do { try body() } catch { complaints.append("\(error)") }
        }
        if state.closesOnDeath {
            for name in state.interfaces {
                let index = SystemCalls.interfaceIndex(name)
                // A vanished interface took its guard along.
                guard index != 0 else { continue }
                attempt { try ForwardGuard.remove(from: InterfaceIndex(rawValue: index)) }
            }
        }
        if state.leadsHostPackets {
            attempt { try NetlinkRequests().removeHostRoutes() }
        }
        for setting in state.settings.reversed() {
            // The setting of a vanished interface is gone with it.
            guard KernelSetting.read(setting.path) != nil else { continue }
            attempt { try KernelSetting.write(setting.before, to: setting.path) }
        }
        if let saved = state.savedRules { attempt { try KernelRules(saved: saved).giveBack() } }
        return complaints
    }
}
