// What already filters and tracks in this network namespace: the kernel's own rules and connections.
// Two NATs in a row on one node confuse everybody, so `sluice run` looks first.
//
// Only IPv4 is looked at: rules of ip6 tables stay the kernel's.

import Glibc
import Lab

struct KernelOccupation {
    /// Rules as `nft list ruleset` prints them, IPv6 left out; empty where there are none.
    var rules: String
    /// Tables of the older iptables, which nft does not list.
    var legacyTables: [String]
    var connections: Int

    var isEmpty: Bool { rules.isEmpty && legacyTables.isEmpty && connections == 0 }

    static func look() throws(Refusal) -> KernelOccupation {
        KernelOccupation(
            rules: try nftRules(), legacyTables: legacyTables(),
            connections: KernelSetting.read("/proc/sys/net/netfilter/nf_conntrack_count")
                .flatMap { Int($0) } ?? 0)
    }

    private static func nftRules() throws(Refusal) -> String {
        if let nft = SystemTool("nft") {
            let listed = try nft.text(["list", "ruleset"])
            return withoutIPv6(listed)
        }
        guard let save = SystemTool("iptables-save") else { return "" }
        let text = try save.text([])
        return text.split(separator: "\n").contains { $0.hasPrefix("-A") } ? text : ""
    }

    /// Leaves out every `table ip6 …` block and what nft says about iptables' own tables.
    static func withoutIPv6(_ listing: String) -> String {
        var kept: [Substring] = []
        var skipping = false
        for line in listing.split(separator: "\n") {
            if line.hasPrefix("table ") { skipping = line.hasPrefix("table ip6 ") }
            if !skipping, !line.hasPrefix("# Warning") { kept.append(line) }
            if line == "}" { skipping = false }
        }
        return kept.isEmpty ? "" : kept.joined(separator: "\n") + "\n"
    }

    private static func legacyTables() -> [String] {
        guard let text = KernelSetting.read("/proc/net/ip_tables_names") else { return [] }
        return text.split(separator: "\n").map(String.init)
    }

    /// What a person is shown: a sentence, then the listing.
    func refusal() -> Refusal {
        var parts: [String] = []
        if !rules.isEmpty { parts.append("rules of the kernel's own") }
        if !legacyTables.isEmpty {
            parts.append("iptables-legacy tables (\(legacyTables.joined(separator: ", ")))")
        }
        if connections > 0 { parts.append("\(connections) tracked connections") }
        var listing = rules
        if connections > 0, let tool = SystemTool("conntrack") {
            let all = (try? tool.run(["-L"]))?.output ?? ""
            let lines = all.split(separator: "\n")
            listing += lines.prefix(20).map { $0 + "\n" }.joined()
            if lines.count > 20 { listing += "… and \(lines.count - 20) more\n" }
        }
        return Refusal(
            "this network namespace already has \(parts.joined(separator: " and "));"
                + " use --take-over to take them over, or remove them", details: listing)
    }
}

extension SystemTool {
    /// What it printed; anything but success is a refusal that quotes it.
    func text(_ arguments: [String], input: String = "") throws(Refusal) -> String {
        let outcome: Command.Outcome
        do { outcome = try run(arguments, input: input) } catch { throw Refusal("\(error)") }
        guard outcome.status == 0 else {
            let command = ([path] + arguments).joined(separator: " ")
            let reason = outcome.errors.split(separator: "\n").first ?? "exit \(outcome.status)"
            throw Refusal("'\(command)' failed: \(reason)")
        }
        return outcome.output
    }
}
