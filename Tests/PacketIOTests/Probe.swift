// A process of its own inside a namespace, to be killed and stopped.

import Foundation
import Glibc
import NamespaceFixture

final class BackgroundProcess {
    private let process = Process()
    private let output = Pipe()

    /// Starts a command in `namespace` and waits until it prints a line, unless told not to.
    init(in namespace: Namespace, _ command: String..., awaitLine: Bool = true) throws {
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        // `ip netns exec` becomes the command, so the identifier is the command's own.
        process.arguments = ["ip", "netns", "exec", namespace.name] + command
        process.standardOutput = output
        process.standardError = output
        try start(process)
        if awaitLine { _ = output.fileHandleForReading.availableData }
    }

    deinit {
        if process.isRunning {
            send(SIGCONT)
            send(SIGKILL)
            process.waitUntilExit()
        }
    }

    var isRunning: Bool { process.isRunning }

    /// The next output, usually a line.
    func line() -> String {
        String(decoding: output.fileHandleForReading.availableData, as: UTF8.self)
    }

    func send(_ signal: Int32) { kill(process.processIdentifier, signal) }

    /// Waits for the end and returns what the process printed after its first line.
    @discardableResult
    func wait() -> String {
        let data = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return String(decoding: data, as: UTF8.self)
    }
}

/// The `portprobe` that was built beside the tests.
let portprobe: String = {
    let tests = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
    return tests.deletingLastPathComponent().appending(path: "portprobe").path
}()
