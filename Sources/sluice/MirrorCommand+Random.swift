// `sluice mirror --random` and `--shrink`: cases that nobody wrote, and small ones made of large ones.

import ArgumentParser
import Control
import KernelPath
import Mirror
import Scenario
import Wire

struct RandomArguments: ParsableArguments {
    @Option(
        name: .customLong("random"),
        help: ArgumentHelp(
            "Make that many cases of random traffic, from --seed on or a fresh one; and of random rules, without --rules.",
            valueName: "cases"))
    var count: Int?
    @Option(
        help: ArgumentHelp(
            "Packets of each random case; with --rules, besides those about single rules.",
            valueName: "number"))
    var packets = 300

    mutating func validate() throws {
        guard packets > 0, count ?? 1 > 0 else {
            throw ValidationError("--random and --packets take numbers above 0")
        }
    }
}

extension MirrorCommand {
    /// One line per case, the differences in full, and at the end what was touched.
    func runRandom(_ count: Int) throws {
        guard files.isEmpty, node.topology == nil, node.captures.isEmpty else {
            throw Refusal(
                "--random makes topology and packets; expected nothing beside it but --rules")
        }
        var options = RandomRun.Options(
            cases: count, seed: seed ?? UInt64.random(in: 0 ... .max), packets: random.packets)
        options.shrinks = shrink
        var run = RandomRun()
        do {
            options.rules = try node.ownRules()
            try run.run(options, report)
        } catch let error as CaseError {
            throw Refusal("\(error)")
        } catch let error as KernelPathError {
            throw Refusal("\(error)")
        }
        print(
            "\(count) cases \(options.rules == nil ? "" : "for \(node.rules ?? "") ")of "
                + "\(random.packets) packets from seed \(options.seed) on: "
                + "\(run.divergences) not the same, \(run.passing) once only")
        print("the same: \(run.agreement)")
        print(run.coverage.text, terminator: "")
        if !run.coverage.rules.entries.isEmpty { print(run.coverage.rules.text, terminator: "") }
        if run.divergences > 0 { throw ExitCode(1) }
    }

    private func report(_ result: RandomRun.Result) throws {
        if let passing = result.passing {
            print("seed \(result.seed): not the same once only\n\(passing.report)", terminator: "")
        }
        switch result.verdict {
        case .agreement(let agreement): print("seed \(result.seed): the same: \(agreement)")
        case .divergence(let divergence):
            print("seed \(result.seed): not the same\n\(divergence.report)", terminator: "")
            try keep(result.subject, "seed-\(result.seed)")
        }
    }

    /// Reduces a case that came from a file.
    func reduce(_ subject: Case, _ name: String, _ divergence: Divergence) throws {
        let small = RandomRun.shrink(subject, divergence)
        print("\(small.packets.count) of \(subject.packets.count) packets are enough")
        try keep(small, "\(name)-small")
    }

    /// Writes the case into the directory of --write, or prints it where it is a small one.
    private func keep(_ subject: Case, _ name: String) throws {
        guard let write else {
            // A large one is made again by its seed.
            if shrink { print(subject.yaml, terminator: "") }
            return
        }
        let path = "\(write)/\(name).yaml"
        do { try TextFile.write(subject.yaml, to: path) } catch { throw Refusal("\(error)") }
        print("written to \(path)")
    }
}
