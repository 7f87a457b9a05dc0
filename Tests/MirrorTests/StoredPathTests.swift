import Mirror
import Scenario
import Testing

/// The same cases twice, without the kernel: where packets take the paths of those before them, and where each
/// walks.
@Suite("Stored paths in random cases")
struct StoredPathTests {
    @Test("change nothing of what is sent, counted, remembered and told")
    func sameOutcomes() throws {
        var uses: UInt64 = 0
        for seed in 1...120 as ClosedRange<UInt64> {
            var subject = CaseGenerator.make(seed: seed, packets: 400)
            // Half of them without the rules that look further, for those keep nearly all packets walking.
            if seed.isMultiple(of: 2) { subject.rules = withoutFarSight(subject.rules) }
            var walking = OfflineNode.Options()
            walking.storesPaths = false
            var verifying = OfflineNode.Options()
            verifying.verifiesPaths = true
            let short = try OfflineNode(subject, options: verifying)
            let long = try OfflineNode(subject, options: walking)
            // Whole states would fill the screen.
            let sent = try outcomes(of: subject, short) == outcomes(of: subject, long)
            let remembered = short.finish() == long.finish()
            #expect(sent && remembered, "seed \(seed)")
            #expect(short.pathMismatches == 0 && long.storedPathUses == 0, "seed \(seed)")
            uses += short.storedPathUses
        }
        #expect(uses > 1000)
        print("packets on stored paths: \(uses) of 48000")
    }

    private func withoutFarSight(_ rules: String) -> String {
        let plain = [
            "comment", "multiport", "state", "mark", "addrtype", "iprange", "tos", "dscp", "tcp",
            "udp",
            "ACCEPT", "RETURN", "MARK", "DNAT", "SNAT", "MASQUERADE", "REDIRECT", "NETMAP",
        ]
        return rules.split(separator: "\n").filter { line in
            let words = line.split(separator: " ")
            return zip(words, words.dropFirst()).allSatisfy { option, name in
                option != "-m" && option != "-j" || plain.contains(String(name))
                    || name.hasPrefix("chain")
            }
        }.joined(separator: "\n") + "\n"
    }

    private func outcomes(of subject: Case, _ node: OfflineNode) throws -> [Outcome] {
        var outcomes: [Outcome] = []
        for packet in subject.packets {
            let packet = packet.answers.map { packet.answering(outcomes[$0]) } ?? packet
            outcomes.append(try node.inject(packet))
        }
        return outcomes
    }
}
