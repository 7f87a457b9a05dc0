import CLinux
import Foundation
import Testing
import Wire

@testable import Conntrack

/// A committed scenario, named after its file.
struct Scenario: Sendable, CustomTestStringConvertible {
    var name: String
    var text: String
    var testDescription: String { name }

    static let all: [Scenario] = {
        let directory = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .appending(path: "Scenarios")
        let files =
            (try? FileManager.default.contentsOfDirectory(
                at: directory, includingPropertiesForKeys: nil)) ?? []
        return files.filter { $0.pathExtension == "tcp" }.map { file in
            Scenario(
                name: file.deletingPathExtension().lastPathComponent,
                text: (try? String(contentsOf: file, encoding: .utf8)) ?? "")
        }.sorted { $0.name < $1.name }
    }()
}

/// Longer than any of them takes, shorter than conntrack's shortest timeout: a conversation that was
/// held up for longer proves nothing, and is held again.
private let patience: UInt64 = 5_000_000_000

@Suite("TCP scenarios", .serialized)
struct TCPScriptTests {
    @Test("there are at least sixty")
    func number() { #expect(Scenario.all.count >= 60) }

    @Test("the table does as the script says", arguments: Scenario.all)
    func table(scenario: Scenario) throws {
        let script = try TCPScript(parsing: scenario.text)
        #expect(script.steps.contains { if case .segment = $0.step { true } else { false } })
        var engine = TableEngine()
        let complaints = try script.run(&engine)
        #expect(complaints.isEmpty, "\(scenario.name): \(complaints.joined(separator: "; "))")
    }

    /// Nameless, so that it ends with the process.
    private static let kernel = Result { try KernelTracker() }

    @Test(
        "the kernel does as the script says", .enabled(if: canAskKernel, needsKernel),
        arguments: Scenario.all.indices)
    func kernel(index: Int) throws {
        let scenario = Scenario.all[index]
        let script = try TCPScript(parsing: scenario.text)
        let kernel = try Self.kernel.get()
        for attempt in 0..<3 {
            let start = sluice_tick_clock()
            let port = UInt16(10_000 + 3 * index + attempt)
            var engine = KernelEngine(kernel: kernel, flow: Flow(port))
            let complaints = try script.run(&engine)
            try kernel.resetSettings()
            guard sluice_tick_clock() - start < patience else { continue }
            #expect(complaints.isEmpty, "\(scenario.name): \(complaints.joined(separator: "; "))")
            return
        }
        Issue.record("three times the machine took more than five seconds for a few segments")
    }

    @Test(
        "a script that cannot be read is refused with its place",
        arguments: [
            ("x", "1:1: 'x': expected '>', '<' or 'set'"),
            ("\n  set", "2:6: expected the name of a setting"),
            ("set tcp_lose 1", "1:5: 'tcp_lose': expected a setting such as tcp_loose"),
            ("set tcp_loose 2", "1:15: '2': expected 0 or 1"),
            ("set tcp_loose 1 2", "1:17: '2': expected the end of the line"),
            ("> SX 1 : NEW gone", "1:4: 'X': expected flags of SAFRPUEW, or '-'"),
            ("> S", "1:4: expected a sequence number"),
            ("> S -1", "1:5: '-1': expected a sequence number up to 4294967295"),
            ("> S 1 # : NEW", "1:7: expected ':' and what is to be so afterwards"),
            ("> S 1 win 65536 : NEW gone", "1:11: '65536': expected a window up to 65535"),
            (
                "> S 1 now : NEW gone",
                "1:7: 'now': expected 'ack', 'win', 'data', 'badsum', '<options>' or ':'"
            ),
            (
                "> S 1 <mss 1,big> : NEW gone",
                "1:14: 'big': expected mss N, sackOK, wscale N, sack A:B …, ts N N, nop, eol or raw HEX"
            ),
            ("> S 1 <mss 1460 : NEW gone", "1:7: '<mss 1460 : NEW gone': expected '>'"),
            ("> S 1 : new gone", "1:9: 'new': expected NEW, ESTABLISHED or INVALID"),
            ("> S 1 : NEW", "1:12: expected a state, or 'gone'"),
            ("> S 1 : NEW OPEN", "1:13: 'OPEN': expected a state such as SYN_SENT, or 'gone'"),
            ("> S 1 : NEW CLOSE", "1:18: expected a timeout in seconds"),
            ("> S 1 : NEW gone 1", "1:18: '1': expected the end of the line"),
            (
                "> S 1 : NEW CLOSE 1 sure",
                "1:21: 'sure': expected 'unreplied', 'assured', 'client(…)' or 'server(…)'"
            ),
            (
                "> S 1 : NEW CLOSE 1 client(sack,x)",
                "1:33: 'x': expected scale=N, sack, closing, liberal, unacked or acked"
            ),
        ])
    func errors(text: String, complaint: String) {
        let error = #expect(throws: TCPScriptError.self) { try TCPScript(parsing: text) }
        #expect(error?.description == complaint)
    }
}
