// What the tests against the kernel share: the binary under test, why a test cannot run here, and
// labs that are always taken down again.

import Foundation
import Lab
import Testing

/// Everything here runs one test at a time: the twins share two processors with what they measure.
@Suite(.serialized) struct KernelTests {}

enum Requirement {
    /// The binary that Scripts/test built, else the one that stands beside the test bundle.
    static let binary: String? = {
        let given = ProcessInfo.processInfo.environment["SLUICE_BINARY"]
        let running = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
        let beside = running.deletingLastPathComponent().appendingPathComponent("sluice").path
        return [given, beside].compactMap { $0 }.first {
            FileManager.default.isExecutableFile(atPath: $0)
        }
    }()

    static let tools = [
        "ip", "iptables", "iptables-restore", "conntrack", "nft", "curl", "ping", "iperf3", "ncat",
        "tc", "ss", "sha256sum", "socat", "traceroute",
    ]

    static let missingTools: [String] = tools.filter { tool in
        let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
        let places = path.split(separator: ":").map(String.init) + ["/usr/sbin", "/sbin"]
        return !places.contains { FileManager.default.isExecutableFile(atPath: "\($0)/\(tool)") }
    }

    /// Why labs cannot be brought up here, or nil.
    static let obstacleToLabs: String? = {
        if geteuid() != 0 { return "needs root for network namespaces" }
        if binary == nil { return "needs the sluice binary: build it or set SLUICE_BINARY" }
        if !missingTools.isEmpty { return "needs \(missingTools.joined(separator: ", "))" }
        return nil
    }()

    static let labs = obstacleToLabs == nil

    /// Whether the daemon is part of the binary under test.
    static let daemon: Bool = {
        guard labs, let binary, let said = try? Command([binary, "run", "--help"]).run() else {
            return false
        }
        return said.status == 0 && said.output.contains("sluice run")
    }()
}

extension Trait where Self == ConditionTrait {
    static var needsLabs: Self {
        .enabled(
            if: Requirement.labs, Comment(rawValue: Requirement.obstacleToLabs ?? "labs work"))
    }
    static var needsDaemon: Self {
        .enabled(
            if: Requirement.daemon,
            Comment(rawValue: Requirement.obstacleToLabs ?? "needs a binary with `sluice run`"))
    }
}

/// Who does the node's NAT.
enum Twin: String, CaseIterable, CustomTestStringConvertible {
    case kernel, sluice

    var testDescription: String { rawValue }

    /// Those that can be brought up here: the kernel first, so that a mistake in a script shows there.
    static var available: [Twin] { Requirement.daemon ? [.kernel, .sluice] : [.kernel] }
}

/// A lab that is up.
struct RunningLab {
    let name: String
    let twin: Twin
    let binary: String

    /// Runs a line of shell in one of the lab's namespaces.
    func run(_ line: String, in namespace: String = "node", seconds: Int = 120) throws
        -> Command.Outcome
    {
        let words = [binary, "lab", "exec", name, namespace, "--", "bash", "-c", line]
        return try Command(words).run(seconds: seconds)
    }

    /// What a line of shell prints; its failure is the test's.
    @discardableResult
    func output(
        _ line: String, in namespace: String = "node", seconds: Int = 120,
        at location: SourceLocation = #_sourceLocation
    ) throws -> String {
        let outcome = try run(line, in: namespace, seconds: seconds)
        #expect(
            outcome.status == 0, "`\(line)` in \(namespace) (\(twin)): \(outcome.errors)",
            sourceLocation: location)
        return outcome.output
    }

    /// Runs a line again until it prints what is hoped for; the last attempt either way.
    func poll(
        _ line: String, in namespace: String = "node", milliseconds: Int = 20_000,
        until isGood: (Command.Outcome) -> Bool
    ) throws -> Command.Outcome {
        var last = try run(line, in: namespace)
        let end = ContinuousClock.now + .milliseconds(milliseconds)
        while !isGood(last), ContinuousClock.now < end {
            last = try run(line, in: namespace)
        }
        return last
    }

    /// Starts a line of shell that outlives the call; it ends with the lab.
    func start(_ line: String, in namespace: String = "node") throws {
        try output("(\(line)) </dev/null >/dev/null 2>&1 &", in: namespace)
    }

    /// The number of the node's own `sluice run`.
    func daemonPID() throws -> Int32 {
        try #require(try Lab(name: name).state().daemons["node"]?.pid)
    }
}

private let labNumbers = Counter()

private final class Counter: @unchecked Sendable {
    private let lock = NSLock()
    private var value = 0
    func next() -> Int {
        lock.withLock {
            value += 1
            return value
        }
    }
}

/// Brings up a lab under a name that nothing else uses, and takes it down however the body ends.
func withLab<R>(
    _ twin: Twin, topology: String = "dnat-load-balancing", _ body: (RunningLab) throws -> R
) throws -> R {
    let binary = try #require(Requirement.binary)
    let name = "test-\(getpid())-\(labNumbers.next())"
    let flags = twin == .kernel ? ["--kernel"] : []
    try Command([binary, "lab", "up", topology, "--name", name] + flags).check()
    defer {
        let ended = try? Command([binary, "lab", "down", name]).run()
        if ended?.status != 0 {
            Issue.record("lab \(name) did not go down: \(ended?.errors ?? "")")
        }
    }
    return try body(RunningLab(name: name, twin: twin, binary: binary))
}
