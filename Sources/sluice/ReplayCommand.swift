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
    @Option(help: ArgumentHelp("The node, where no case is named.", valueName: "file"))
    var topology: String?
    @Option(help: ArgumentHelp("Its rules, as iptables-save prints them.", valueName: "file"))
    var rules: String?
    @Option(
        name: .customLong("in"),
        help: ArgumentHelp("What came in on a link: pcap or pcapng.", valueName: "link=file"))
    var captures: [String] = []
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
            try Replay(try subject(), options: options).write(to: output)
        } catch let error as CaseError {
            throw Refusal("\(error)")
        } catch let error as CaptureError {
            throw Refusal("\(error)")
        }
    }

    private func subject() throws -> Case {
        guard let file else { return try captured() }
        guard topology == nil, rules == nil, captures.isEmpty else {
            throw Refusal(
                "a case has its own topology, rules and packets; expected nothing beside it")
        }
        var subject = try Case(yaml: try text(file), file: file)
        if let seed { subject.seed = seed }
        return subject
    }

    private func captured() throws -> Case {
        guard let topology else { throw Refusal("expected a case file or --topology FILE") }
        let node = try Topology(yaml: try text(topology), file: topology)
        var inputs: [(link: String, frames: [CapturedFrame])] = []
        for word in captures {
            let parts = word.split(separator: "=", maxSplits: 1).map(String.init)
            guard parts.count == 2 else { throw Refusal("--in \(word): expected LINK=FILE") }
            guard node.links.contains(where: { $0.name == parts[0] }) else {
                let names = node.links.map(\.name).joined(separator: ", ")
                throw Refusal(
                    "--in \(word): the topology has no link '\(parts[0])'; it has \(names)")
            }
            inputs.append((parts[0], try CaptureFrames.read(parts[1])))
        }
        do {
            return try Case(
                topology: node, rules: try rules.map(text) ?? "", captures: inputs, seed: seed ?? 0)
        } catch var error as CaseError {
            if error.field == "rules" { (error.file, error.field) = (rules, "") }
            throw error
        }
    }

    private func text(_ path: String) throws -> String {
        let bytes: [UInt8]
        do { bytes = try TextFile.read(path) } catch { throw Refusal("\(error)") }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw Refusal("\(path) is not text in UTF-8")
        }
        return text
    }
}
