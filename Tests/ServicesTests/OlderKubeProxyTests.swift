// The rules that a running kube-proxy 1.20 had for the objects of its cluster, as far as 1.28 writes the
// same. What differs between the two:
//
// - 1.20 marks for masquerading in KUBE-SERVICES and KUBE-NODEPORTS, 1.28 in KUBE-SVC-… and KUBE-EXT-…;
// - external traffic passes KUBE-XLB-… there, KUBE-EXT-… and KUBE-SVL-… here; what KUBE-FW-… refuses is
//   marked to be dropped there, and meets KUBE-PROXY-FIREWALL here;
// - an endpoint's rule in KUBE-SVC-… is commented with the Service alone;
// - KUBE-FORWARD has its last rule twice; KUBE-PROXY-CANARY is there to notice that somebody flushed.

import Foundation
import Ruleset
import Services
import Testing
import Wire

private let directory = Place.shared.appending(path: "rulesets/kube-proxy-1.20")

@Suite(
    "The rules of a running kube-proxy 1.20",
    .enabled(
        if: FileManager.default.fileExists(atPath: directory.path),
        "the shared rules are not here"))
struct OlderKubeProxyTests {
    private let kubeProxy: Ruleset
    private let ours: Ruleset

    init() throws {
        kubeProxy = try Rules.restored(try Place.text(directory.appending(path: "node1.iptables")))
        let objects = try ServiceObjects(
            yaml: try Place.text(directory.appending(path: "objects.yaml")), file: "objects.yaml")
        var configuration = ProxyConfiguration(nodeName: "node1")
        configuration.clusterNetwork = IPv4Network(prefix: "192.168.0.0/16")
        ours = Ruleset(objects, configuration)
    }

    /// The lines of the chains that `isWanted` names, in either, without what `edit` leaves out.
    private func compare(
        _ table: TableName, _ edit: (String) -> String? = { $0 },
        where isWanted: (String) -> Bool
    ) {
        let (theirs, ours) = (ChainText(kubeProxy), ChainText(ours))
        let prefix = "\(table.rawValue) "
        let names = Set(theirs.chains.keys).union(ours.chains.keys).filter {
            $0.hasPrefix(prefix) && isWanted(String($0.dropFirst(prefix.count)))
        }
        #expect(!names.isEmpty)
        for name in names.sorted() {
            #expect(
                ours.chains[name]?.compactMap(edit) == theirs.chains[name]?.compactMap(edit),
                "\(name)")
        }
    }

    @Test("are ours to the letter, where an endpoint is reached and where a packet is masqueraded")
    func endpoints() {
        compare(.nat) { $0.hasPrefix("KUBE-SEP-") }
        compare(.nat) { ["KUBE-MARK-MASQ", "KUBE-POSTROUTING"].contains($0) }
    }

    @Test("are ours but for comments and the mark, where an endpoint is chosen")
    func choice() {
        compare(.nat) { line in
            line.contains("-j KUBE-MARK-MASQ")
                ? nil : line.replacing(#/--comment "[^"]*" /#, with: "")
        } where: {
            $0.hasPrefix("KUBE-SVC-")
        }
    }

    /// kube-proxy keeps Services in a map, so that their order is nobody's.
    @Test("lead the same addresses to the same chains, and refuse the same")
    func addresses() {
        let isLead = { (line: String) in
            line.contains("cluster IP\"") && line.contains("-j KUBE-SVC-")
        }
        func leads(_ ruleset: Ruleset) -> Set<String> {
            Set((ChainText(ruleset).chains["nat KUBE-SERVICES"] ?? []).filter(isLead))
        }
        #expect(leads(ours) == leads(kubeProxy))
        #expect(leads(ours).count == 7)
        compare(.filter) { $0 == "KUBE-SERVICES" }
    }
}
