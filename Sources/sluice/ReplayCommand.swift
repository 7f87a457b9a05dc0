import ArgumentParser
import Control
import PacketIO
import Scenario

/// `sluice replay`: a case or captures through Sluice, offline and without privileges.
struct ReplayCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "replay",
        abstract:
            "Run packets through a node offline: no privileges, no kernel, the same every time.",
        discussion: """
            Either a case file, or --topology with --rules and one --in for each capture. The clock is that \
            of the packets. See Docs/Replay.md for the files that come out.
            """)

    @Argument(help: ArgumentHelp("A case: node, rules and packets in one file.", valueName: "case"))
    var file: String?
    @OptionGroup var node: CaseArguments
    @Option(help: ArgumentHelp("Where the results go: a new directory.", valueName: "directory"))
    var output: String
    @Option(help: ArgumentHelp("Seed of all random choices.", valueName: "number"))
    var seed: UInt64?
    @Flag(help: "Write each packet's way through the node, as text and as JSON.")
    var trace = false
    @Flag(name: .customLong("any-mac"), help: "Take frames whatever MAC address they were sent to.")
    var anyMAC = false

    func run() throws {
        var options = OfflineNode.Options()
        options.traces = trace
        options.acceptsForeignMACs = anyMAC
        do {
            try Replay(try node.subject(file: file, seed: seed), options: options).write(to: output)
        } catch let error as CaseError {
            throw Refusal("\(error)")
        } catch let error as CaptureError {
            throw Refusal("\(error)")
        }
    }
}
