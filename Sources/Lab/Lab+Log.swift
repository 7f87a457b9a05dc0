// What the LOG rules of a lab's node say: in a file of the node's own on Sluice, in the machine's kernel log
// otherwise, which has it only where `nf_log_all_netns` lets namespaces speak.

extension Lab {
    /// The lines since the lab came up, each with its time as dmesg(1) writes it.
    public func log(of node: String) throws(LabError) -> String {
        let state = try state()
        try checkNode(node, of: state)
        guard state.usesKernel else {
            let file = LabState.packetLog(name, node: node)
            return fileExists(file) ? try readFile(file) : ""
        }
        let start = try Double(liveKeeper().startTime) / ProcessIdentity.ticksPerSecond
        let lines = try Command(["dmesg"]).check().split(separator: "\n").filter { line in
            let stamp = line.dropFirst().prefix { $0 != "]" }
            return (Double(stamp.trimmed) ?? 0) >= start
        }
        return lines.map { $0 + "\n" }.joined()
    }

    /// Becomes a program that shows the lines as they come; returns only an error.
    public func followLog(of node: String) -> LabError {
        do {
            let state = try state()
            try checkNode(node, of: state)
            let file = LabState.packetLog(name, node: node)
            let words =
                state.usesKernel ? ["dmesg", "--follow"] : ["tail", "-n", "+1", "-F", file]
            return Command(words).replaceProcess()
        } catch {
            return error
        }
    }

    private func checkNode(_ node: String, of state: LabState) throws(LabError) {
        let names = try Topology.named(state.topology).nodes.map(\.name)
        guard names.contains(node) else {
            throw LabError(
                "lab \(name) has no node \(node); expected one of: \(names.joined(separator: ", "))"
            )
        }
    }
}
