// `sluice bench`: every road for packets in turn, and a report.

import ArgumentParser
import Benchmark
import BenchmarkLab
import Control
import Glibc
import Lab

struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Measure Sluice and the kernel side by side, in a lab of its own. Needs root.",
        discussion: """
            Client, node and server are network namespaces that end with the command. Each round has every road in turn; \
            ratios are medians of the rounds' own. The report goes to standard output as Markdown. \
            A round of everything takes two minutes and more.

            Roads: \(Road.all.filter(\.isUsual).map(\.name).joined(separator: ", ")); and where --roads names them: \
            \(Road.all.filter { !$0.isUsual }.map(\.name).joined(separator: ", ")). Forwarders that are not Sluice \
            translate nothing.

            Measures:
            \(Measure.all.map { "  \($0.name): \($0.title)\($0.isQuick ? " (quick)" : "")" }.joined(separator: "\n"))
            """)

    @Flag(help: "Frames of 64 bytes, one stream, request and response: about two minutes.")
    var quick = false
    @Option(
        help: ArgumentHelp(
            "Those roads only; kernel and control are always there.", valueName: "a,b"))
    var roads: String?
    @Option(help: ArgumentHelp("Those measures only.", valueName: "x,y"))
    var measures: String?
    @Option(help: ArgumentHelp("How often each road has its turn.", valueName: "number"))
    var rounds = 7
    @Option(help: ArgumentHelp("How long each load is measured.", valueName: "seconds"))
    var seconds: Double?
    @Option(help: ArgumentHelp("Write the report as JSON as well.", valueName: "file"))
    var json: String?
    @Option(help: ArgumentHelp("Write it as a page with plots as well.", valueName: "file"))
    var html: String?

    mutating func validate() throws {
        guard (1...1000).contains(rounds) else {
            throw ValidationError("--rounds \(rounds): expected a number from 1 to 1000")
        }
        guard (0.01...60).contains(seconds ?? 1) else {
            throw ValidationError("--seconds: expected a number from 0.01 to 60")
        }
    }

    func run() throws {
        let run = BenchmarkRun(
            roads: try chosenRoads(), measures: try chosenMeasures(), rounds: rounds,
            seconds: seconds ?? (quick ? 0.5 : 1))
        let showsProgress = isatty(STDERR_FILENO) == 1
        let report: Report
        do {
            report = try run.report(
                version: Sluice.configuration.version,
                command: (["sluice"] + CommandLine.arguments.dropFirst()).joined(separator: " ")
            ) { line in
                if showsProgress { Descriptor.writeAll(Array("\(line)\n".utf8), to: STDERR_FILENO) }
            }
        } catch {
            throw Refusal(error.description)
        }
        print(report.markdown, terminator: "")
        do {
            if let json { try TextFile.write(report.json, to: json) }
            if let html { try TextFile.write(report.html, to: html) }
        } catch {
            throw Refusal("\(error)")
        }
    }

    /// In their own order, with those that the others are compared with.
    private func chosenRoads() throws -> [Road] {
        guard let roads else { return Road.all.filter(\.isUsual) }
        let names = try Self.names(roads, of: Road.all.map(\.name), "--roads")
        return Road.all.filter {
            names.contains($0.name) || [Road.control.name, Road.reference.name].contains($0.name)
        }
    }

    private func chosenMeasures() throws -> [Measure] {
        guard let measures else { return Measure.all.filter { $0.isQuick || !quick } }
        let names = try Self.names(measures, of: Measure.all.map(\.name), "--measures")
        return Measure.all.filter { names.contains($0.name) }
    }

    private static func names(
        _ list: String, of known: [String], _ option: String
    ) throws -> Set<String> {
        let names = list.split(separator: ",").map(String.init)
        if let unknown = names.first(where: { !known.contains($0) }) ?? (names.isEmpty ? list : nil)
        {
            throw Refusal(
                "\(option) \(unknown): expected one of: \(known.joined(separator: ", "))")
        }
        return Set(names)
    }
}
