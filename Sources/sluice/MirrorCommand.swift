import ArgumentParser
import Control
import KernelPath
import Mirror
import PacketIO
import Scenario

/// `sluice mirror`: the same packets through the kernel's netfilter and through Sluice, side by side.
struct MirrorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "mirror",
        abstract: "Compare Sluice with this machine's kernel, packet by packet. Needs root.",
        discussion: """
            Either case files, or --rules alone, for which a node and traffic are made, or --random, or --topology \
            with --rules and one --in for each capture. The kernel meets the \
            packets in a network namespace of its own, which goes when the command ends. Exit status 0 says \
            that both did the same, 1 that they did not, 2 that they could not be asked. See \
            Docs/Mirror.md for what is compared.
            """)

    @Argument(help: ArgumentHelp("Cases: node, rules and packets in one file.", valueName: "case"))
    var files: [String] = []
    @OptionGroup var node: CaseArguments
    @Option(
        help: ArgumentHelp(
            "Seed of Sluice's random choices, and of what is made.", valueName: "number"))
    var seed: UInt64?
    @OptionGroup var random: RandomArguments
    @Option(
        help: ArgumentHelp(
            "Instead, open that many connections like each that a case begins, and compare where they went.",
            valueName: "connections"))
    var distribution: Int?
    @Flag(help: "Reduce a case that shows a difference to a small one that still does.")
    var shrink = false
    @Option(help: ArgumentHelp("Write cases that show a difference there.", valueName: "directory"))
    var write: String?

    func run() throws {
        if let distribution { return try compareDistributions(distribution) }
        if let count = random.count { return try runRandom(count) }
        if node.hasRulesAlone, files.isEmpty { return try runRandom(1) }
        var options = Mirror.Options()
        options.traces = true
        var diverged = false
        for (name, subject) in try subjects() {
            switch try verdict(subject, options) {
            case .agreement(let agreement): print("\(name): the same: \(agreement)")
            case .divergence(let divergence):
                diverged = true
                print("\(name): not the same\n\(divergence.report)", terminator: "")
                if shrink { try reduce(subject, baseName(name), divergence) }
            }
        }
        if diverged { throw ExitCode(1) }
    }

    /// A file's name without its directory and its ending.
    private func baseName(_ path: String) -> String {
        let file = path.split(separator: "/").last ?? ""
        return file.hasSuffix(".yaml") ? String(file.dropLast(5)) : String(file)
    }

    /// All of them are read before the first is run.
    func subjects() throws -> [(name: String, subject: Case)] {
        do {
            guard files.count > 1 else {
                let subject = try node.subject(file: files.first, seed: seed)
                return [(files.first ?? "captures", subject)]
            }
            guard node.topology == nil, node.rules == nil, node.captures.isEmpty else {
                throw Refusal(
                    "a case has its own topology, rules and packets; expected nothing beside it")
            }
            return try files.map { ($0, try node.read($0, seed: seed)) }
        } catch let error as CaseError {
            throw Refusal("\(error)")
        } catch let error as CaptureError {
            throw Refusal("\(error)")
        }
    }

    private func verdict(_ subject: Case, _ options: Mirror.Options) throws -> Verdict {
        do { return try Mirror.run(subject, options: options) } catch let error as CaseError {
            throw Refusal("\(error)")
        } catch let error as KernelPathError {
            throw Refusal("\(error)")
        }
    }
}
