// Taking the kernel's own rules over, and giving them back.
//
// `iptables-save -c` is both what Sluice loads and what is given back; the rules leave the kernel only
// after every one of them was understood and written to the state file.

import Lab

struct KernelRules {
    /// `iptables-save -c`.
    var saved: String
    var connections = KernelConnections()

    static func save() throws(Refusal) -> KernelRules {
        guard let tool = SystemTool("iptables-save") else {
            throw Refusal("iptables-save is not installed; --take-over needs it")
        }
        return KernelRules(
            saved: try tool.text(["-c"]), connections: try KernelConnections.save())
    }

    /// What iptables-save does not tell of, and so cannot be taken over: other families and names.
    static func foreignTables() throws(Refusal) -> [String] {
        guard let nft = SystemTool("nft") else { return [] }
        let own = ["raw", "mangle", "nat", "filter", "security"].map { "ip \($0)" }
        return try nft.text(["list", "tables"]).split(separator: "\n")
            .map { String($0.dropFirst("table ".count)) }
            .filter { !own.contains($0) && !$0.hasPrefix("ip6 ") }
    }

    /// Empties the kernel's IPv4 tables and forgets its connections.
    func removeFromKernel() throws(Refusal) {
        if let nft = SystemTool("nft") {
            let present = try nft.text(["list", "tables"]).split(separator: "\n")
            for line in present where line.hasPrefix("table ip ") {
                _ = try nft.text(["delete"] + line.split(separator: " ").map(String.init))
            }
        }
        // Entries outlive the rules that made them; what is not there need not be flushed.
        if let conntrack = SystemTool("conntrack") { _ = try? conntrack.run(["-F"]) }
    }

    func giveBack() throws(Refusal) {
        guard !saved.isEmpty else { return }
        guard let tool = SystemTool("iptables-restore") else {
            throw Refusal("iptables-restore is not installed; the saved rules were not given back")
        }
        _ = try tool.text(["-c"], input: saved)
    }
}
