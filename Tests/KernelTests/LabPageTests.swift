// Every lab's page, command by command, on the kernel and on Sluice. `SLUICE_WRITE_PAGES=1` first
// writes into the page what is printed now, where that is something else.

import CLinux
import Foundation
import Lab
import Testing

extension KernelTests {
    @Suite("The page of a lab", .needsDaemon) struct LabPageTests {
        static let pages = Topology.all.map(\.name)

        @Test("is what Sluice prints and what the kernel prints", arguments: pages)
        func holds(_ lab: String) async throws {
            let switched = try KernelLog()
            defer { switched.restore() }
            if ProcessInfo.processInfo.environment["SLUICE_WRITE_PAGES"] != nil {
                try LabPageRun.write(lab)
            }
            let page = try LabPage(lab)
            // Both at once: most of the time they wait for what does not come.
            async let kernel = LabPageRun.run(page, on: .kernel)
            async let sluice = LabPageRun.run(page, on: .sluice)
            let twins = try await [Twin.kernel: kernel, .sluice: sluice]
            for (twin, answers) in twins {
                for answer in answers {
                    #expect(
                        answer.step.agrees(with: answer.printed),
                        """
                        \(twin), in \(answer.step.namespace): \(answer.step.line)
                        printed: \(answer.printed.joined(separator: "\n"))
                        the page says: \(answer.step.output.joined(separator: "\n"))
                        """)
                }
            }
            let common = twins.mapValues { $0.filter { $0.step.only == nil } }
            for (kernel, sluice) in zip(common[.kernel]!, common[.sluice]!) {
                #expect(kernel.status == sluice.status, "\(kernel.step.line)")
            }
        }

        @Test("exists for every lab, and README lists it", arguments: pages)
        func isListed(_ lab: String) throws {
            let readme = LabPage.directory.appending(path: "../../README.md")
            let text = try String(contentsOf: readme, encoding: .utf8)
            #expect(text.contains("[\(lab)](Docs/labs/\(lab).md)"))
            #expect(try !LabPage(lab).steps.isEmpty)
        }
    }
}

enum LabPageRun {
    /// Puts what is printed now into the page, where that is something else.
    static func write(_ lab: String) throws {
        for twin in [Twin.sluice, .kernel] {
            var page = try LabPage(lab)
            // What the page says now is no reason to wait for it.
            let found = try run(page, on: twin, patience: 1).filter {
                twin == .sluice || $0.step.only == twin
            }
            try page.write(found.map { ($0.step, $0.printed) })
        }
    }

    struct Answer {
        var step: LabPage.Step
        var printed: [String]
        var status: Int32
    }

    /// Types a page into a lab of its own; the lab leaves nothing behind, and in its nodes the
    /// kernel's netfilter stayed empty.
    /// - Parameter patience: for how many seconds a step is typed again while it does not agree.
    static func run(
        _ page: LabPage, on twin: Twin, patience: Int = 20
    ) throws -> [Answer] {
        var name = ""
        let answers = try withLab(twin, topology: page.lab) { lab throws in
            name = lab.name
            let answers = try type(
                page.steps.filter { $0.runs(on: twin) }, into: lab, .seconds(patience))
            if twin == .sluice {
                for node in try Topology.named(page.lab).nodes {
                    let kernel = "/usr/sbin/nft list ruleset | wc -l; /usr/sbin/conntrack -C"
                    #expect(try lab.output(kernel, in: node.name) == "0\n0\n")
                }
            }
            return answers
        }
        let left = try FileManager.default.contentsOfDirectory(atPath: LabState.directory)
            .filter { $0.hasPrefix(name + ".") }
        #expect(left.isEmpty, "the lab left files: \(left)")
        return answers
    }

    private static func type(
        _ steps: [LabPage.Step], into lab: RunningLab, _ patience: Duration
    ) throws -> [Answer] {
        var answers: [Answer] = []
        var background: (step: LabPage.Step, process: BackgroundStep)?
        for step in steps {
            if step.staysInBackground {
                background = (step, try BackgroundStep(step, in: lab))
                continue
            }
            let answer = try answer(to: step, in: lab, patience) {
                background?.process.hasEnded ?? true
            }
            if let (step, process) = background {
                answers.append(Answer(step: step, printed: Self.lines(process.output), status: 0))
                background = nil
            }
            answers.append(answer)
        }
        return answers
    }

    /// Types a step; again where that may help, and until `isEnough`.
    private static func answer(
        to step: LabPage.Step, in lab: RunningLab, _ patience: Duration, _ isEnough: () -> Bool
    ) throws -> Answer {
        let start = ContinuousClock.now
        var printed: [String] = []
        while true {
            let outcome = try lab.run("{ \(step.line)\n} 2>&1", in: step.namespace)
            // Chance needs several attempts to show all that it can do, and must show nothing else.
            printed = (step.isUnordered && !step.isQuestion ? printed : []) + lines(outcome.output)
            let mayImprove = step.isQuestion || step.mayAgree(after: printed)
            let waited = ContinuousClock.now - start
            let isSettled = step.agrees(with: printed) || !mayImprove || waited > patience
            if isSettled && isEnough() || waited > .seconds(20) {
                return Answer(step: step, printed: printed, status: outcome.status)
            }
        }
    }

    private static func lines(_ text: String) -> [String] {
        var lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        if lines.last == "" { lines.removeLast() }
        return lines
    }
}

/// The kernel's LOG, which is silent in namespaces unless it is told to speak on the whole machine.
private struct KernelLog {
    private static let path = "/proc/sys/net/netfilter/nf_log_all_netns"
    private let before: String

    init() throws {
        before = try String(contentsOfFile: Self.path, encoding: .utf8)
        try "1".write(toFile: Self.path, atomically: false, encoding: .utf8)
    }

    func restore() {
        try? before.write(toFile: Self.path, atomically: false, encoding: .utf8)
    }
}

/// A step that goes on while others are typed.
private final class BackgroundStep {
    private let process: ChildProcess
    private let file: FileHandle
    private var ended = false

    init(_ step: LabPage.Step, in lab: RunningLab) throws {
        let descriptor = unsafe sluice_memory_file("step")
        try #require(descriptor >= 0)
        file = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
        let nothing = try #require(FileHandle(forReadingAtPath: "/dev/null"))
        let line = String(step.line.dropLast())
        process = try Command([
            lab.binary, "lab", "exec", lab.name, step.namespace, "--", "bash", "-c", line,
        ]).start(
            input: nothing.fileDescriptor, output: descriptor, errors: descriptor)
    }

    deinit { if !hasEnded { process.signalGroup(SIGKILL) } }

    var hasEnded: Bool {
        if !ended { ended = process.wait(seconds: 0) != nil }
        return ended
    }

    var output: String {
        try? file.seek(toOffset: 0)
        return String(decoding: (try? file.readToEnd()) ?? Data(), as: UTF8.self)
    }
}
