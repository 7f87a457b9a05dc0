// The connections of a node that is taken over: read from the kernel before its rules go, entered into
// Sluice's table, and given back when Sluice goes. `conntrack -L -o save` and `conntrack -R` speak of a
// connection and its translation completely enough for it to live through both.

import Conntrack
import Lab
import Wire

struct KernelConnections {
    /// What `conntrack -L -o save` prints.
    var saved = ""

    /// None where the tool is not installed: then nobody tells.
    static func save() throws(Refusal) -> KernelConnections {
        guard let tool = SystemTool("conntrack") else { return KernelConnections() }
        return KernelConnections(saved: try tool.text(["-L", "-f", "ipv4", "-o", "save"]))
    }

    /// Enters every connection; how many could not be.
    func enter(into table: ConnectionTable, now: Timestamp) -> Int {
        saved.split(separator: "\n").count { line in
            guard let record = ConnectionRecord(savedLine: String(line)) else { return true }
            return !table.adopt(record, now: now)
        }
    }

    /// What Sluice's own table holds, for the kernel.
    init(_ table: ConnectionTable, now: Timestamp) {
        var cursor: UInt32? = 0
        while let from = cursor {
            cursor = table.forEach(from: from, limit: 4096, now: now) { record in
                saved += ConntrackText.saved(record) + "\n"
            }
        }
    }

    init(saved: String = "") { self.saved = saved }

    /// Enters them into the kernel's table, whose rules are back by now.
    func giveBack() throws(Refusal) {
        guard !saved.isEmpty else { return }
        guard let tool = SystemTool("conntrack") else {
            throw Refusal("conntrack is not installed; the connections were not given back")
        }
        _ = try tool.text(["-R", "-"], input: saved)
    }
}
