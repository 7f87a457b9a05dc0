// Running other programs: with what they read and write as text, or left behind as a service.
// Output goes through files in memory rather than pipes, so that neither a full pipe nor a
// grandchild that keeps it open can hang the caller. Refuses to go through a shell.

import CLinux
import Glibc

/// A program and its arguments, found on PATH.
public struct Command: Sendable {
    public var words: [String]
    /// Set on top of the caller's own environment.
    public var environment: [String: String]

    public init(_ words: [String], environment: [String: String] = [:]) {
        self.words = words
        self.environment = environment
    }

    public struct Outcome: Sendable {
        public var status: Int32
        public var output: String
        public var errors: String
    }

    /// Runs to the end. A program killed by signal N has status 128 + N, as a shell says it; one that
    /// outlives `seconds` is killed and is an error.
    public func run(input: String = "", seconds: Int = 60) throws(LabError) -> Outcome {
        let files = try MemoryFiles(input: input)
        defer { files.close() }
        let child = try start(input: files.input, output: files.output, errors: files.errors)
        guard let status = child.wait(seconds: seconds) else {
            child.signalGroup(SIGKILL)
            _ = child.wait(seconds: 5)
            throw LabError("`\(description)` did not end within \(seconds) seconds")
        }
        return Outcome(
            status: status, output: readAll(files.output), errors: readAll(files.errors))
    }

    /// Runs to the end and insists on success.
    @discardableResult
    public func check(input: String = "", seconds: Int = 60) throws(LabError) -> String {
        let outcome = try run(input: input, seconds: seconds)
        guard outcome.status == 0 else {
            let said = [outcome.errors, outcome.output].map(\.trimmed).first { !$0.isEmpty }
            throw LabError("`\(description)` failed: \(said ?? "exit status \(outcome.status)")")
        }
        return outcome.output
    }

    /// Starts the program as the head of a session of its own, so that a terminal's signals do not
    /// reach it and one signal reaches everything it starts.
    public func start(input: Int32, output: Int32, errors: Int32) throws(LabError) -> ChildProcess {
        precondition(!words.isEmpty, "a command has at least a program")
        var actions = unsafe posix_spawn_file_actions_t()
        unsafe posix_spawn_file_actions_init(&actions)
        defer { unsafe posix_spawn_file_actions_destroy(&actions) }
        for (from, to) in [(input, STDIN_FILENO), (output, STDOUT_FILENO), (errors, STDERR_FILENO)]
        {
            unsafe posix_spawn_file_actions_adddup2(&actions, from, to)
        }
        var attributes = posix_spawnattr_t()
        unsafe posix_spawnattr_init(&attributes)
        defer { unsafe posix_spawnattr_destroy(&attributes) }
        // A service must not inherit what its starter ignores or blocks.
        var signals = sigset_t()
        unsafe sigemptyset(&signals)
        unsafe posix_spawnattr_setsigmask(&attributes, &signals)
        unsafe sigfillset(&signals)
        unsafe posix_spawnattr_setsigdefault(&attributes, &signals)
        unsafe posix_spawnattr_setflags(
            &attributes,
            Int16(SLUICE_SPAWN_NEW_SESSION) | Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
        var pid: pid_t = 0
        let failure = unsafe withCStrings(words) { arguments in
            unsafe withCStrings(mergedEnvironment()) { environment in
                unsafe posix_spawnp(
                    &pid, words[0], &actions, &attributes, arguments, environment)
            }
        }
        guard failure == 0 else {
            throw LabError("cannot run \(words[0]): \(errorText(failure))")
        }
        return ChildProcess(pid: pid)
    }

    /// Becomes the program; returns only if that fails.
    public func replaceProcess() -> LabError {
        for (name, value) in environment { unsafe setenv(name, value, 1) }
        let failure = unsafe withCStrings(words) { arguments in
            unsafe execvp(words[0], arguments)
            return errno
        }
        return LabError("cannot run \(words[0]): \(errorText(failure))")
    }

    private func mergedEnvironment() -> [String] {
        var merged = currentEnvironment()
        for (name, value) in environment { merged[name] = value }
        return merged.map { "\($0.key)=\($0.value)" }
    }
}

extension Command: CustomStringConvertible {
    public var description: String { words.joined(separator: " ") }
}

/// A program that was started and has yet to be waited for.
public struct ChildProcess: Sendable {
    public let pid: Int32

    /// The exit status, or nil when the process still runs after `seconds`.
    public func wait(seconds: Int) -> Int32? {
        let descriptor = sluice_process_descriptor(pid)
        if descriptor >= 0 {
            defer { close(descriptor) }
            var watched = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            guard unsafe poll(&watched, 1, Int32(seconds) * 1000) > 0 else { return nil }
        }
        var status: Int32 = 0
        guard unsafe waitpid(pid, &status, 0) == pid else { return nil }
        let signal = status & 0x7F
        return signal == 0 ? status >> 8 & 0xFF : 128 + signal
    }

    /// Signals the process and everything it started in its session's first group.
    public func signalGroup(_ signal: Int32) { kill(-pid, signal) }
}

private struct MemoryFiles {
    var input: Int32
    var output: Int32
    var errors: Int32

    init(input text: String) throws(LabError) {
        input = try Self.open("input")
        output = try Self.open("output")
        errors = try Self.open("errors")
        writeAll(text, to: input)
        lseek(input, 0, SEEK_SET)
    }

    private static func open(_ name: String) throws(LabError) -> Int32 {
        let file = unsafe sluice_memory_file(name)
        guard file >= 0 else {
            throw LabError("cannot create a file in memory: \(errorText(-file))")
        }
        return file
    }

    func close() { for file in [input, output, errors] { Glibc.close(file) } }
}
