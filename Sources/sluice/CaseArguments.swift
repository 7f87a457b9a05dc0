// What `sluice replay` and `sluice mirror` take alike: a case, or a node, its rules and captures.

import ArgumentParser
import Control
import Mirror
import PacketIO
import Scenario

struct CaseArguments: ParsableArguments {
    @Option(help: ArgumentHelp("The node, where no case is named.", valueName: "file"))
    var topology: String?
    @Option(help: ArgumentHelp("Its rules, as iptables-save prints them.", valueName: "file"))
    var rules: String?
    @Option(
        name: .customLong("in"),
        help: ArgumentHelp("What came in on a link: pcap or pcapng.", valueName: "link=file"))
    var captures: [String] = []

    /// - Throws: `CaseError` and `CaptureError` as well as refusals.
    func subject(file: String?, seed: UInt64?) throws -> Case {
        guard let file else { return try captured(seed: seed) }
        guard topology == nil, rules == nil, captures.isEmpty else {
            throw Refusal(
                "a case has its own topology, rules and packets; expected nothing beside it")
        }
        return try read(file, seed: seed)
    }

    func read(_ file: String, seed: UInt64?) throws -> Case {
        var subject = try Case(yaml: try text(file), file: file)
        if let seed { subject.seed = seed }
        return subject
    }

    /// Rules without a node and packets.
    var hasRulesAlone: Bool { rules != nil && topology == nil && captures.isEmpty }

    /// The rules as something to make cases for.
    func ownRules() throws -> OwnRules? {
        guard let rules else { return nil }
        do { return try OwnRules(try text(rules), name: rules) } catch var error as CaseError {
            error.file = rules
            throw error
        }
    }

    private func captured(seed: UInt64?) throws -> Case {
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
