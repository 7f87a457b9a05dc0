// Files that hold a case (topology, rules, packets), and what a case runs into.

import Mirror
import Scenario

extension FuzzTarget {
    static let scenario = FuzzTarget(
        name: "case", seeds: scenarioSeeds,
        dictionary: [
            "title: ", "seed: ", "topology:\n", "links:\n", "addresses: [", "routes:\n",
            "neighbours:\n",
            "policyRules:\n", "settings:\n", "packets:\n", "at: ", "in: ", "frame: ",
            "from: node\n",
            "packet: ", "answers: ", "mark: ", "user: ", "note: ", "rules: |\n", "via ", "nexthop ",
            "weight ",
            "blackhole ", "lookup ", "fwmark ", "suppress_prefixlength ", "scope link", "table ",
            "metric ",
        ]
    ) { bytes in
        let text = String(decoding: bytes, as: UTF8.self)
        let subject: Case
        do throws(CaseError) { subject = try Case(yaml: text, file: "case.yaml") } catch {
            promise(!error.message.isEmpty, "a refusal says why")
            return
        }
        do throws(CaseError) {
            let again = try Case(yaml: subject.yaml, file: "again.yaml")
            promise(again == subject, "what is written is read:\n\(subject.yaml)")
        } catch {
            fatalError("broken promise: what is written is read: \(error)\n\(subject.yaml)")
        }
        run(subject)
    }

    private static func run(_ subject: Case) {
        // The engine makes a table as large as the case says.
        let sizes = ["net.netfilter.nf_conntrack_max", "net.netfilter.nf_conntrack_buckets"]
        guard sizes.allSatisfy({ subject.topology.settings[$0] == nil }) else { return }
        guard let node = try? OfflineNode(subject) else { return }
        for packet in subject.packets { _ = try? node.inject(packet) }
        _ = node.finish()
    }

    private static var scenarioSeeds: [[UInt8]] {
        (UInt64(1)...4).map { seed in
            Array(CaseGenerator.make(seed: seed, packets: 3).yaml.utf8)
        }
    }
}
