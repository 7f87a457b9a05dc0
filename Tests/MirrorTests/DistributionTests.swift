import NamespaceFixture
import Scenario
import Testing
import Wire

@testable import Mirror

@Suite("Distributions")
struct DistributionTests {
    @Test("χ² is 0 for equal shares, and as large as by hand for others")
    func statistic() {
        #expect(ChiSquare([50, 100], [100, 200]).statistic < 1e-9)
        // Of 30 and 10 against 20 and 20, 25 and 15 were expected on each side.
        let test = ChiSquare([30, 10], [20, 20])
        #expect(abs(test.statistic - (2 * 25.0 / 25 + 2 * 25.0 / 15)) < 1e-9)
        #expect(test.degreesOfFreedom == 1)
        #expect(ChiSquare([7], [9]).isWithinBound)
        #expect(ChiSquare([7, 0], [9, 0]).degreesOfFreedom == 0)
    }

    /// As tables have it for one to four degrees of freedom.
    @Test("the bound is that of a millionth")
    func bound() {
        for (outcomes, wanted) in [(2, 23.928), (3, 27.631), (4, 30.665), (5, 33.377)] {
            let counts = Array(repeating: 1, count: outcomes)
            #expect(abs(ChiSquare(counts, counts).bound - wanted) < 0.01)
        }
    }

    @Test("shares that differ by a tenth are found among two thousand")
    func differs() {
        #expect(!ChiSquare([1000, 1000], [1200, 800]).isWithinBound)
        #expect(ChiSquare([1000, 1000], [1030, 970]).isWithinBound)
    }

    @Test(
        "backends are taken as often by the kernel as by Sluice, and what has one way is left out",
        .enabled(if: isRoot, needsRoot))
    func backends() throws {
        let measured = try Distribution.measure(
            try Case(yaml: balanced, file: "balanced"), connections: 1500)
        #expect(measured.count == 1)
        let distribution = try #require(measured.first)
        #expect(
            distribution.destinations == ["10.0.1.2:81", "10.0.1.3:81", "10.0.1.4:81"])
        #expect(distribution.kernel.reduce(0, +) == 1500)
        #expect(distribution.sluice.reduce(0, +) == 1500)
        #expect(distribution.test.isWithinBound, "\(distribution.report)")
    }

    /// A service with three backends, twice the same opener from different ports, and one without a choice.
    private var balanced: String {
        """
        topology:
          links:
            eth0: {mac: 02:00:00:00:00:01, addresses: [10.0.0.1/24]}
            eth1: {mac: 02:00:00:00:01:01, addresses: [10.0.1.1/24]}
          neighbours:
            - {address: 10.0.0.2, mac: 02:00:00:00:00:02, link: eth0}
            - {address: 10.0.1.2, mac: 02:00:00:00:01:02, link: eth1}
            - {address: 10.0.1.3, mac: 02:00:00:00:01:03, link: eth1}
            - {address: 10.0.1.4, mac: 02:00:00:00:01:04, link: eth1}
        rules: |
          *nat
          -A PREROUTING -p udp -m udp --dport 80 -m statistic --mode random --probability 0.33333333349 -j DNAT --to-destination 10.0.1.2:81
          -A PREROUTING -p udp -m udp --dport 80 -m statistic --mode random --probability 0.5 -j DNAT --to-destination 10.0.1.3:81
          -A PREROUTING -p udp -m udp --dport 80 -j DNAT --to-destination 10.0.1.4:81
          COMMIT
        packets:
          - in: eth0
            frame: 020000000001 020000000002 0800 4500002000010000401166ca0a0000020a0000010fa00050000cfd1270696e67
          - in: eth0
            frame: 020000000001 020000000002 0800 4500002000010000401166ca0a0000020a0000010fa10050000cfd1170696e67
          - in: eth0
            frame: 020000000001 020000000002 0800 4500002000010000401165c90a0000020a0001020fa0005a000cfc0770696e67
        """
    }
}
