// How often single rules have matched, read from nf_tables by this process itself: asked for after every
// packet where a rule matches at random, so that it can be known what the kernel drew.

import CLinux
import Netlink

/// Where a rule stands.
public struct RuleAddress: Hashable, Sendable {
    public var table: String
    public var chain: String
    /// Counted from 1.
    public var number: Int

    public init(table: String, chain: String, number: Int) {
        self.table = table
        self.chain = chain
        self.number = number
    }
}

extension KernelNode {
    /// The packets counted by each of these rules; 0 for one that is not there.
    public func hits(of rules: [RuleAddress]) throws -> [UInt64] {
        // linux/netfilter/nf_tables.h: NFT_MSG_GETRULE, then table, chain and expressions of each.
        let request = NetlinkRequest(
            type: 10 << 8 | 7, flags: 0, header: Netfilter.header(family: 2))
        let messages = try translated { () throws(NetlinkError) in
            try tableRequests.dump(request, "read the rules' counters")
        }
        var numbers: [String: Int] = [:]
        var counts: [RuleAddress: UInt64] = [:]
        for message in messages {
            let rule = message.attributes(after: Netfilter.headerSize)
            let table = rule[1]?.text() ?? ""
            let chain = rule[2]?.text() ?? ""
            let number = numbers["\(table) \(chain)", default: 0] + 1
            numbers["\(table) \(chain)"] = number
            counts[RuleAddress(table: table, chain: chain, number: number)] = packets(of: rule[4])
        }
        return rules.map { counts[$0] ?? 0 }
    }

    /// What the rule's own counter, which iptables puts behind its matches, has counted.
    private func packets(of expressions: NetlinkBytes?) -> UInt64 {
        for (_, element) in NetlinkAttributes(expressions).entries {
            let expression = NetlinkAttributes(element)
            guard expression[1]?.text() == "counter",
                let count = NetlinkAttributes(expression[2])[2]
            else { continue }
            return (0..<8).reduce(0) { $0 << 8 | UInt64(count.u8($1)) }
        }
        return 0
    }
}
