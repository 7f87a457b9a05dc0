// `sluice bench` for moments only: that every road it is asked for has its rows, and that nothing is left of it.
// How fast anything is no test can say.

import Benchmark
import Foundation
import Lab
import Testing

extension KernelTests {
    @Suite("sluice bench", .needsDaemon) struct BenchTests {
        /// One run, told apart from whatever else is on the machine by a mark in its environment.
        private struct Run {
            let mark = UUID().uuidString
            let command: Command

            init(_ arguments: [String]) throws {
                let binary = try #require(Requirement.binary)
                command = Command(
                    [binary, "bench"] + arguments, environment: ["SLUICE_BENCH_TEST": mark])
            }

            /// The command and what it has started, as command lines.
            var processes: [String] {
                let all = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
                return all.filter { Int32($0) != nil && text("\($0)/environ").contains(mark) }
                    .map { text("\($0)/cmdline").split(separator: "\0").joined(separator: " ") }
            }

            var hasDaemon: Bool { processes.contains { $0.contains("run --interface") } }

            private func text(_ path: String) -> String {
                (try? String(contentsOfFile: "/proc/\(path)", encoding: .utf8)) ?? ""
            }

            /// What it has left on the machine, once its processes have had time to go.
            var leftovers: [String] {
                _ = Deadline(milliseconds: 20_000).wait { processes.isEmpty }
                let names = ["client", "node", "server"].filter {
                    FileManager.default.fileExists(atPath: "/run/netns/\($0)")
                }
                return processes + names
                    + (text("self/mounts").contains(" /run/sluice ") ? ["a mount"] : [])
            }
        }

        @Test(
            "measures the kernel and Sluice over AF_PACKET, as a table, JSON and a page, and leaves nothing"
        )
        func rows() throws {
            let directory = FileManager.default.temporaryDirectory.appending(
                path: "bench-\(UUID().uuidString)")
            try FileManager.default.createDirectory(
                at: directory, withIntermediateDirectories: true)
            defer { try? FileManager.default.removeItem(at: directory) }
            let json = directory.appending(path: "report.json").path
            let page = directory.appending(path: "report.html").path
            let run = try Run([
                "--quick", "--rounds", "1", "--seconds", "0.2", "--roads", "af-packet", "--json",
                json, "--html", page,
            ])
            let text = try run.command.check(seconds: 300)
            #expect(run.leftovers.isEmpty)

            let report = try Report(json: String(contentsOfFile: json, encoding: .utf8))
            #expect(report.tables.map(\.figure.name).prefix(3) == ["pps64", "stream", "rr"])
            for table in report.tables {
                #expect(table.rows.map(\.road.name) == ["direct", "iptables", "af-packet"])
                for row in table.rows {
                    let said = "\(table.figure.name), \(row.road.name): \(row.remark ?? "no value")"
                    #expect(row.values.count == 1 && row.values[0] ?? 0 > 0, "\(said)")
                }
                #expect(table.rows.last?.ratio != nil)
            }
            #expect(report.markdown == text)
            #expect(try String(contentsOfFile: page, encoding: .utf8) == report.html)
            #expect(report.circumstances.command.contains("--rounds 1"))
        }

        @Test("every other measure has its rows, too")
        func otherMeasures() throws {
            let file = FileManager.default.temporaryDirectory.appending(
                path: "bench-\(UUID().uuidString).json")
            defer { try? FileManager.default.removeItem(at: file) }
            let run = try Run([
                "--measures", "pps64-xdp,limits64,streams,rr-idle,connect-10k", "--rounds", "1",
                "--seconds", "0.2", "--roads", "af-packet", "--json", file.path,
            ])
            try run.command.check(seconds: 300)
            let report = try Report(json: String(contentsOf: file, encoding: .utf8))
            #expect(report.tables.count == 10)
            for table in report.tables {
                #expect(table.rows.count == 3)
                for row in table.rows where row.values.isEmpty {
                    // On a machine with too much to do every trial of a search may lose frames.
                    #expect(
                        row.remark == "no rate was good",
                        "\(table.figure.name), \(row.road.name)")
                }
            }
        }

        @Test("an interruption takes everything along")
        func interruption() throws {
            let run = try Run([
                "--measures", "rr", "--roads", "af-packet", "--rounds", "1000", "--seconds", "0.05",
            ])
            let nothing = open("/dev/null", O_RDWR)
            defer { close(nothing) }
            let bench = try run.command.start(input: nothing, output: nothing, errors: nothing)
            #expect(Deadline(milliseconds: 60_000).wait { run.hasDaemon })
            bench.signalGroup(SIGINT)
            #expect(bench.wait(seconds: 20) == 128 + SIGINT)
            #expect(run.leftovers.isEmpty)
        }

        @Test("an unknown road is refused with those that there are")
        func unknown() throws {
            let binary = try #require(Requirement.binary)
            let outcome = try Command([binary, "bench", "--roads", "af-packet,rail"]).run()
            #expect(outcome.status == 2)
            #expect(
                outcome.errors.hasPrefix("sluice: --roads rail: expected one of: direct, iptables"))
        }
    }
}
