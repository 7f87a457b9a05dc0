// The comparison itself: that agreement is found where there is some, and that it can fail.

import Foundation
import KernelPath
import NamespaceFixture
import Scenario
import Testing
import Wire

@testable import Mirror

private let directory = URL(filePath: #filePath).deletingLastPathComponent()
    .appending(path: "Cases")
private let cases =
    ((try? FileManager.default.contentsOfDirectory(atPath: directory.path())) ?? []).sorted()

@Suite("The mirror", .enabled(if: isRoot, needsRoot))
struct LockstepTests {
    @Test("cases on which the two once differed, or which show what is compared", arguments: cases)
    func committed(file: String) throws {
        let text = try String(contentsOf: directory.appending(path: file), encoding: .utf8)
        let verdict = try Mirror.run(try Case(yaml: text, file: file))
        if let divergence = verdict.divergence { Issue.record("\(divergence.report)") }
    }

    @Test("a difference is found at the first packet that shows it, with both ways to it")
    func differs() throws {
        let made = try Case(yaml: example, file: "example")
        #expect(try Mirror.run(made).divergence == nil)
        // The kernel's node has other rules than Sluice's.
        var lockstep = Lockstep(
            subject: made,
            kernel: try KernelNode(
                made.topology, rules: made.rules.replacingOccurrences(of: "53", with: "54")),
            sluice: try SteeredNode(made))
        var options = Mirror.Options()
        options.traces = true
        let verdict = try lockstep.run(options)
        let divergence = try #require(verdict.divergence)
        #expect(divergence.place == .packet(1))
        #expect(divergence.kernel.count == 1)
        #expect(divergence.sluice == ["dropped: a rule dropped it"])
        #expect(divergence.kernelTrace.contains("-A FORWARD -p udp -m udp --dport 53 -j DROP"))
        #expect(divergence.sluiceTrace.contains("-A FORWARD -p udp -m udp --dport 53 -j DROP"))
    }

    @Test("counters that differ are found after all packets")
    func countersDiffer() throws {
        var made = try Case(yaml: example, file: "example")
        made.packets.removeLast()
        var lockstep = Lockstep(
            subject: made,
            kernel: try KernelNode(
                made.topology, rules: made.rules.replacingOccurrences(of: "[0:0]", with: "[7:8]")),
            sluice: try SteeredNode(made))
        let divergence = try #require(try lockstep.run(Mirror.Options()).divergence)
        #expect(divergence.place == .rules)
        #expect(divergence.kernel == [":FORWARD ACCEPT [8:40]"])
        #expect(divergence.sluice == [":FORWARD ACCEPT [1:32]"])
    }
}

/// Two datagrams, the second of which a rule drops.
private let example = """
    topology:
      links:
        eth0: {mac: 02:00:00:00:00:01, addresses: [10.0.0.1/24]}
        eth1: {mac: 02:00:00:00:01:01, addresses: [10.0.1.1/24]}
      neighbours:
        - {address: 10.0.0.2, mac: 02:00:00:00:00:02, link: eth0}
        - {address: 10.0.1.2, mac: 02:00:00:00:01:02, link: eth1}
    rules: |
      *filter
      :FORWARD ACCEPT [0:0]
      -A FORWARD -p udp -m udp --dport 53 -j DROP
      COMMIT
    packets:
      - in: eth0
        frame: 020000000001 020000000002 0800 4500002000010000401165c90a0000020a000102 03e807d0000c000070696e67
      - in: eth0
        frame: 020000000001 020000000002 0800 4500002000010000401165c90a0000020a000102 03e80035000c000070696e67
    """

@Suite("Random sources run backwards")
struct SteeringTests {
    @Test("a source whose first number is given gives that number")
    func inverted() {
        var random = SeededRandom(seed: 5)
        for _ in 0..<1000 {
            let wanted = random.next()
            var source = SeededRandom(first: wanted)
            #expect(source.next() == wanted)
        }
    }
}
