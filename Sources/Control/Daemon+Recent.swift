// `sluice recent`: the lists of `-m recent`, which the kernel shows below /proc/net/xt_recent.

extension Daemon {
    /// Without an argument the names of the lists, with one that list.
    func recent(_ request: ControlRequest) -> ControlReply {
        let name = request.arguments.first
        do throws(PacketThreadFailure) {
            let text = try packets.perform { node -> String? in
                let engine = node.dataplane.engine
                guard let name else { return engine.recentLists.map { $0 + "\n" }.joined() }
                return engine.recentList(name)
            }
            guard let text else {
                return .done(
                    CommandOutput(
                        error: "sluice recent: no rule names a list '\(name ?? "")'\n", status: 1))
            }
            return .done(CommandOutput(output: text))
        } catch {
            return .done(.refused("\(error)"))
        }
    }
}
