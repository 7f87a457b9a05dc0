import Mirror
import NamespaceFixture
import Scenario
import Testing

/// The heart of the matter: whatever the generators make, the kernel and Sluice do the same.
@Suite("Random rules and traffic", .enabled(if: isRoot, needsRoot), .serialized)
struct RandomAgreementTests {
    private static let packets = 300

    @Test("eighteen fixed seeds agree")
    func fixedSeeds() throws {
        var run = RandomRun()
        try run.run(RandomRun.Options(cases: 18, seed: 1, packets: Self.packets), Self.judge)
        // Not by doing nothing.
        #expect(run.agreement.carried > 200 && run.coverage.matches.count > 5)
        print(run.coverage.text)
    }

    /// A difference counts if it shows itself again: on a machine that stands still for a second, errors
    /// about routes, of which the kernel sends one a second, fall on either side of a tick.
    private static func judge(_ result: RandomRun.Result) throws {
        guard result.verdict.divergence != nil,
            let again = try Mirror.run(result.subject).divergence
        else { return }
        Issue.record(
            "sluice mirror --random 1 --seed \(result.seed) --packets \(packets): \(again.report)")
    }
}
