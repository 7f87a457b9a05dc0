// What a replay leaves in its directory. It is written beside its final name and renamed once it is whole,
// so that nobody ever finds half of one.

import Explain
import FoundationEssentials
import PacketIO
import Wire

extension Replay {
    /// Writes everything into a new directory.
    ///
    /// - Parameter directory: must not exist yet, or be empty.
    /// - Throws: why it could not be written; then there is nothing of it.
    public func write(to directory: String) throws(CaseError) {
        let files = FileManager.default
        if files.fileExists(atPath: directory) {
            guard let entries = try? files.contentsOfDirectory(atPath: directory) else {
                throw CaseError("\(directory) is a file; expected a new or an empty directory")
            }
            guard entries.isEmpty else {
                throw CaseError("\(directory) is not empty; expected a new or an empty directory")
            }
        }
        var path = directory
        while path.count > 1, path.hasSuffix("/") { path.removeLast() }
        let unfinished = "\(path).unfinished-\(ProcessInfo.processInfo.processIdentifier)"
        do {
            try files.createDirectory(atPath: unfinished, withIntermediateDirectories: false)
            try writeTexts(into: unfinished)
            try writeCaptures(into: unfinished)
            if files.fileExists(atPath: path) { try files.removeItem(atPath: path) }
            try files.moveItem(atPath: unfinished, toPath: path)
        } catch {
            try? files.removeItem(atPath: unfinished)
            throw CaseError("cannot write \(directory): \(error)")
        }
    }

    private func writeTexts(into directory: String) throws {
        for (name, text) in texts {
            try Data(text.utf8).write(to: URL(filePath: "\(directory)/\(name)"))
        }
    }

    private func writeCaptures(into directory: String) throws {
        var writers: [Emission.Place: CaptureWriter] = [:]
        for link in subject.topology.links {
            writers[.wire(link: link.name)] = try CaptureWriter(
                path: "\(directory)/out-\(link.name).pcap")
        }
        let own = try CaptureWriter(path: "\(directory)/delivered.pcap", content: .ip)
        for (emission, time) in emissions {
            let writer = writers[emission.place] ?? own
            emission.bytes.withRawSpan { writer.write($0, time: time) }
        }
        var groups: [CaptureWriter] = []
        for (group, copies) in copies {
            let writer = try CaptureWriter(path: "\(directory)/nflog-\(group).pcap", content: .ip)
            for copy in copies { copy.bytes.withRawSpan { writer.write($0, time: copy.time) } }
            groups.append(writer)
        }
        for writer in Array(writers.values) + [own] + groups where !writer.flush() {
            throw CaseError("the disk does not take the captures")
        }
    }

    /// The files that are text, by name.
    var texts: [(name: String, text: String)] {
        var texts = [
            ("packets.txt", packetText),
            ("connections.txt", lines(state.connections.sorted())),
            ("events.txt", lines(state.events)),
            ("rules.txt", state.rules), ("counters.txt", listing), ("drops.txt", dropText),
        ]
        if !logLines.isEmpty { texts.append(("log.txt", lines(logLines))) }
        if !traceLines.isEmpty {
            texts.append(("trace.txt", traceText))
            texts.append(("trace.jsonl", lines(traceLines)))
        }
        return texts
    }

    private func lines(_ lines: [String]) -> String { lines.map { $0 + "\n" }.joined() }

    // MARK: What became of each packet

    private var packetText: String {
        steps.enumerated().map { index, step in
            heading(index, step) + step.outcome.emissions.map { "    \($0.summary)\n" }.joined()
                + ending(step.outcome)
        }.joined()
    }

    private func heading(_ index: Int, _ step: Step) -> String {
        let time = TimeText.text(step.packet.time)
        let note = step.packet.note.isEmpty ? "" : "  # \(step.packet.note)"
        return "\(index + 1)  at \(time)  \(step.packet.summary)\(note)\n"
    }

    private func ending(_ outcome: Outcome) -> String {
        if let reason = outcome.dropReason { return "    dropped: \(reason)\n" }
        return outcome.emissions.isEmpty ? "    waits\n" : ""
    }

    private var traceText: String {
        steps.enumerated().map { heading($0, $1) + $1.outcome.trace + "\n" }.joined()
    }

    private var dropText: String {
        var text = ""
        for (name, tally) in [
            ("arrived", counters.interface), ("from the node's sockets", counters.host),
            ("made by the node", counters.node),
        ] where tally.received > 0 {
            text +=
                "\(name): \(tally.received) in, \(tally.forwarded) sent on, "
                + "\(tally.delivered) delivered, \(tally.drops.total) dropped, "
                + "\(tally.waiting) waiting\n"
            for (reason, count) in tally.drops.occurred { text += "  \(count): \(reason)\n" }
        }
        return text
    }
}

extension CasePacket {
    /// Where it comes from and what it is.
    var summary: String {
        switch origin {
        case .wire(let link): "in \(link)  \(packetSummary(bytes, at: 14))"
        case .node: "from the node  \(packetSummary(bytes, at: 0))"
        }
    }
}

extension Emission {
    /// Where it went and what it is.
    var summary: String {
        switch place {
        case .wire(let link): "out \(link)  \(packetSummary(bytes, at: 14))"
        case .delivered(let link): "delivered on \(link)  \(packetSummary(bytes, at: 0))"
        }
    }
}

private func packetSummary(_ bytes: [UInt8], at offset: Int) -> String {
    bytes.withRawSpan { span in
        guard case .packet(let view) = PacketView.parse(span, networkOffset: offset) else {
            return "no IPv4 packet, \(bytes.count) bytes"
        }
        return view.summary
    }
}
