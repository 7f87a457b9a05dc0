import Mirror
import Scenario
import Testing
import Wire

@Suite("Coverage")
struct CoverageTests {
    @Test("it counts hits by name, fates, drops and states, and adds up")
    func counts() {
        var coverage = Coverage()
        coverage.record(Outcome(dropReason: .noRoute))
        coverage.record(
            Outcome(emissions: [Emission(.wire(link: "eth0"), bytes: [])], dropReason: .noRoute))
        coverage.record(Outcome(emissions: [Emission(.wire(link: "eth0"), bytes: [])]))
        coverage.record(Outcome(emissions: [Emission(.delivered(link: "eth0"), bytes: [])]))
        coverage.record(Outcome())
        coverage.record(
            FinalState(
                connections: ["ipv4 2 tcp 6 117 SYN_SENT src=10.1.0.2 [UNREPLIED] src=10.2.0.2"],
                events: ["[NEW] tcp 6 120 SYN_SENT2 src=10.1.0.2"],
                rules: """
                    *filter
                    :INPUT ACCEPT [7:9]
                    [3:120] -A INPUT -p tcp -m tcp --syn -m mark --mark 1 -j DROP
                    [0:0] -A INPUT -m limit --limit 1/min
                    COMMIT
                    """))
        coverage.merge(coverage)
        #expect(coverage.matches == ["tcp": 6, "mark": 6])
        #expect(coverage.targets == ["DROP": 6])
        #expect(coverage.drops == [.noRoute: 4])
        #expect(
            coverage.fates == [
                .dropped: 2, .answered: 2, .forwarded: 2, .delivered: 2, .waiting: 2,
            ])
        #expect(
            coverage.states == ["SYN_SENT": 2, "[UNREPLIED]": 2, "[NEW]": 2, "SYN_SENT2": 2])
        #expect(coverage.text.contains("drops: no route to the destination 4\n"))
    }
}
