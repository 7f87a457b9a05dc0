// The kernel as the judge: network namespaces under names of this process's own, gone with their
// objects, and the commands that tests run in them. What a test asks of the kernel there is its own.

import CLinux
import Foundation
import Glibc
import Testing

/// Whether network namespaces can be made.
public let isRoot = geteuid() == 0
public let needsRoot: Testing.Comment = "needs root to create network namespaces"

/// How a command ended.
public struct CommandResult: Equatable, Sendable {
    public var output: String
    public var error: String
    public var status: Int32

    public init(output: String, error: String, status: Int32) {
        self.output = output
        self.error = error
        self.status = status
    }
}

/// A command or a system call that failed, with what it said.
public struct CommandFailure: Error, CustomStringConvertible {
    public var command: [String]
    public var status: Int32
    public var output: String

    public init(_ command: String..., status: Int32, output: String) {
        self.init(command, status: status, output: output)
    }

    init(_ command: [String], status: Int32, output: String) {
        self.command = command
        self.status = status
        self.output = output
    }

    public var description: String {
        "\(command.joined(separator: " ")): status \(status): \(output)"
    }
}

/// Runs a command to its end, however it ends.
public func outcome(of command: [String]) throws -> CommandResult {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = command
    let output = Pipe()
    let error = Pipe()
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = output
    process.standardError = error
    try start(process)
    // What commands say on standard error is short: its pipe cannot fill while the other is read.
    let outputData = output.fileHandleForReading.readDataToEndOfFile()
    let errorData = error.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return CommandResult(
        output: String(decoding: outputData, as: UTF8.self),
        error: String(decoding: errorData, as: UTF8.self), status: process.terminationStatus)
}

/// Runs a command, which must succeed, and returns what it printed.
@discardableResult
public func run(_ command: String...) throws -> String { try run(command) }

@discardableResult
func run(_ command: [String]) throws -> String {
    let result = try outcome(of: command)
    guard result.status == 0 else {
        throw CommandFailure(
            command, status: result.status, output: result.output + result.error)
    }
    return result.output
}

/// Starts a process that can be terminated: the threads that tests run on block most signals, and a child
/// would inherit that.
public func start(_ process: Process) throws {
    var none = sigset_t()
    var before = sigset_t()
    unsafe sigemptyset(&none)
    unsafe pthread_sigmask(SIG_SETMASK, &none, &before)
    defer { unsafe pthread_sigmask(SIG_SETMASK, &before, nil) }
    try process.run()
}

/// A network namespace that lives as long as this object.
public final class Namespace: Sendable {
    public let name: String

    /// `ip netns add`, with a name that no other process uses.
    public init(_ role: String) throws {
        name = "sl\(getpid())-\(role)-\(UInt32.random(in: 0 ... .max))"
        try NamespaceFixture.run("ip", "netns", "add", name)
        try run("ip", "link", "set", "lo", "up")
    }

    deinit { _ = try? NamespaceFixture.run("ip", "netns", "del", name) }

    public func outcome(of command: [String]) throws -> CommandResult {
        try NamespaceFixture.outcome(of: ["ip", "netns", "exec", name] + command)
    }

    /// Runs a command inside, which must succeed, and returns what it printed.
    @discardableResult
    public func run(_ command: String...) throws -> String {
        try NamespaceFixture.run(["ip", "netns", "exec", name] + command)
    }

    /// The same for lines as one types them.
    @discardableResult
    public func shell(_ lines: String) throws -> String { try run("sh", "-ec", lines) }

    /// Runs `body` on this thread inside the namespace. Sockets opened there stay there.
    public func inside<R>(_ body: () throws -> R) throws -> R {
        let before = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)
        let after = open("/var/run/netns/\(name)", O_RDONLY | O_CLOEXEC)
        defer {
            close(before)
            close(after)
        }
        guard before >= 0, after >= 0, sluice_enter_network_namespace(after) == 0 else {
            throw CommandFailure("setns", name, status: errno, output: "")
        }
        defer {
            precondition(
                sluice_enter_network_namespace(before) == 0,
                "a thread must find back to its namespace")
        }
        return try body()
    }

    /// The MAC address of an interface, as text.
    public func mac(_ interface: String) throws -> String {
        try run("cat", "/sys/class/net/\(interface)/address")
            .trimmingCharacters(in: .whitespacesAndNewlines)
    }
}

/// Makes a veth pair between two namespaces, both ends down.
public func addLink(_ a: Namespace, _ nameA: String, _ b: Namespace, _ nameB: String) throws {
    try run(
        "ip", "link", "add", nameA, "netns", a.name, "type", "veth", "peer", "name", nameB, "netns",
        b.name)
}

/// Makes a veth pair between two namespaces and brings both ends up.
public func link(_ a: Namespace, _ nameA: String, _ b: Namespace, _ nameB: String) throws {
    try addLink(a, nameA, b, nameB)
    try a.run("ip", "link", "set", nameA, "up")
    try b.run("ip", "link", "set", nameB, "up")
}
