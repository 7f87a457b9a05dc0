// A program that runs beside this one until it is ended.

import CLinux
import Glibc

public struct Service: Sendable {
    public let process: ChildProcess
    private let log: Int32
    /// Where in the log its own words begin.
    private let start: Int

    /// Starts a program whose output goes to a file in memory.
    public init(_ command: Command, ready: String) throws(LabError) {
        let log = unsafe sluice_memory_file("log")
        guard log >= 0 else {
            throw LabError("cannot create a file in memory: \(errorText(-log))")
        }
        do { try self.init(command, ready: ready, log: log) } catch {
            close(log)
            throw error
        }
    }

    /// Starts a program and waits until a line of what it says begins with `ready`. The log is the service's from
    /// here on.
    init(_ command: Command, ready: String, log: Int32) throws(LabError) {
        let nothing = try openFile("/dev/null", O_RDONLY)
        defer { close(nothing) }
        self.log = log
        start = readAll(log).utf8.count
        process = try command.start(input: nothing, output: log, errors: log)
        var ended = false
        _ = Deadline(milliseconds: 10_000).wait {
            ended = hasEnded
            return ended || isReady(ready)
        }
        guard !ended, isReady(ready) else {
            let words = said.trimmed
            end()
            throw LabError(
                "`\(command)` \(ended ? "ended" : "is not ready after 10 seconds")"
                    + (words.isEmpty ? "" : ": \(words)"))
        }
    }

    /// Standard output and error, so far.
    public var said: String { String(decoding: readAll(log).utf8.dropFirst(start), as: UTF8.self) }

    public var hasEnded: Bool { ProcessIdentity(pid: process.pid) == nil }

    /// Asks it to end, kills it where it has not within three seconds, and forgets what it said.
    public func stop() {
        end()
        close(log)
    }

    private func end() {
        for signal in [SIGTERM, SIGKILL] {
            process.signalGroup(signal)
            if process.wait(seconds: 3) != nil { return }
        }
    }

    private func isReady(_ ready: String) -> Bool {
        said.split(separator: "\n").contains { $0.hasPrefix(ready) }
    }
}
