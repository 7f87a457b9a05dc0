// `sluice sysctl` over the live node: everything a call asks for happens between two rounds.

import Conntrack
import Dataplane
import FoundationEssentials

extension Daemon {
    func sysctl(_ request: ControlRequest) -> ControlReply {
        guard request.arguments.count == 1,
            let wanted = try? JSONDecoder().decode(
                SysctlRequest.self, from: Data(request.arguments[0].utf8))
        else { return .done(.refused("the request for settings cannot be read")) }
        do throws(PacketThreadFailure) {
            return .done(
                try packets.perform { node in
                    var settings = node.dataplane.settings
                    let output = wanted.run(on: &settings)
                    node.dataplane.settings = settings
                    return output
                })
        } catch {
            return .done(.refused("\(error)"))
        }
    }
}
