// `sluice mirror --distribution`: how often each destination is the one, on both sides.

import ArgumentParser
import Control
import KernelPath
import Mirror
import Scenario

extension MirrorCommand {
    /// Of cases, or of one that is made for --rules.
    func compareDistributions(_ count: Int) throws {
        guard (1...60_000).contains(count), random.count == nil else {
            throw ValidationError("--distribution takes 1 to 60000, and cases or --rules")
        }
        var isEqual = true
        do {
            for (name, subject) in try distributed() {
                let measured = try Distribution.measure(subject, connections: count)
                if measured.isEmpty { print("\(name): every connection has one way to go") }
                for distribution in measured {
                    print("\(name): \(distribution.report)", terminator: "")
                    if !distribution.test.isWithinBound { isEqual = false }
                }
            }
        } catch let error as CaseError {
            throw Refusal("\(error)")
        } catch let error as KernelPathError {
            throw Refusal("\(error)")
        }
        if !isEqual { throw ExitCode(1) }
    }

    private func distributed() throws -> [(name: String, subject: Case)] {
        guard node.hasRulesAlone, files.isEmpty, let rules = try node.ownRules() else {
            return try subjects()
        }
        let subject = rules.makeCase(seed: seed ?? UInt64.random(in: 0 ... .max), packets: 0)
        return [(node.rules ?? "", subject)]
    }
}
