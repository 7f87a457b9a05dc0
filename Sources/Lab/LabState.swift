// What is written down about a lab that is up: enough to enter it, and to end it after a crash.
// One file of `key value` lines per lab under /run/sluice/labs; it is never the only way to find
// what a lab left running (see LabMembers.swift).

import Glibc

public struct LabState: Sendable, Equatable {
    public var name: String
    public var topology: String
    public var usesKernel: Bool
    /// The process that holds the lab's mounts and namespaces.
    public var keeper: ProcessIdentity?
    /// `sluice run` in each node by its name, where the lab runs on Sluice.
    public var daemons: [String: ProcessIdentity] = [:]
    /// Directories made on the machine as mount points, to be removed with the lab.
    public var madeDirectories: [String] = []

    public static let directory = "/run/sluice/labs"
    static func stateFile(_ name: String) -> String { "\(directory)/\(name).state" }
    public static func logFile(_ name: String) -> String { "\(directory)/\(name).log" }
    /// What the LOG rules of a node say. No name of a lab has a dot.
    public static func packetLog(_ name: String, node: String) -> String {
        "\(directory)/\(name).\(node).log"
    }
    /// Every file of a lab.
    static func files(_ name: String) -> [String] {
        directoryEntries(directory).filter { $0.hasPrefix(name + ".") }.map { "\(directory)/\($0)" }
    }

    init(name: String, topology: String, usesKernel: Bool) {
        self.name = name
        self.topology = topology
        self.usesKernel = usesKernel
    }

    var text: String {
        var lines = ["lab \(topology)", "path \(usesKernel ? "kernel" : "sluice")"]
        if let keeper { lines.append("keeper \(keeper)") }
        for (node, daemon) in daemons { lines.append("daemon \(node) \(daemon)") }
        lines += madeDirectories.map { "made \($0)" }
        return lines.joined(separator: "\n") + "\n"
    }

    init(name: String, text: String) {
        self.init(name: name, topology: "", usesKernel: false)
        for line in text.split(separator: "\n") {
            let parts = line.split(separator: " ", maxSplits: 1)
            guard parts.count == 2 else { continue }
            let value = String(parts[1])
            switch parts[0] {
            case "lab": topology = value
            case "path": usesKernel = value == "kernel"
            case "keeper": keeper = ProcessIdentity(value)
            case "daemon":
                let words = value.split(separator: " ", maxSplits: 1).map(String.init)
                if words.count == 2 { daemons[words[0]] = ProcessIdentity(words[1]) }
            case "made": madeDirectories.append(value)
            default: continue
            }
        }
    }

    static func read(_ name: String) -> LabState? {
        guard let text = try? readFile(stateFile(name)) else { return nil }
        return LabState(name: name, text: text)
    }

    static var names: [String] {
        directoryEntries(directory).filter { $0.hasSuffix(".state") }.map {
            String($0.dropLast(".state".count))
        }
    }

    /// Replaces the file in one step, so that a reader sees the old or the new text.
    func write() throws(LabError) {
        let file = Self.stateFile(name)
        try writeFile(file + ".new", text)
        try renameFile(file + ".new", to: file)
    }
}

/// A process told apart from a later one with the same number by the time it was started.
public struct ProcessIdentity: Sendable, Equatable, CustomStringConvertible {
    public var pid: Int32
    /// In clock ticks since boot: field 22 of /proc/PID/stat (proc_pid_stat(5)).
    public var startTime: UInt64
    /// USER_HZ, the same on every architecture that Linux runs on here.
    static let ticksPerSecond = 100.0

    /// The running process with this number.
    public init?(pid: Int32) {
        guard let startTime = Self.startTime(of: pid) else { return nil }
        self.pid = pid
        self.startTime = startTime
    }

    init?(_ text: String) {
        let parts = text.split(separator: " ")
        guard parts.count == 2, let pid = Int32(parts[0]), let start = UInt64(parts[1]) else {
            return nil
        }
        self.pid = pid
        startTime = start
    }

    public var isAlive: Bool { Self.startTime(of: pid) == startTime }
    public var description: String { "\(pid) \(startTime)" }

    private static func startTime(of pid: Int32) -> UInt64? {
        // The second field is the program's name in parentheses and may itself hold any of them.
        guard let text = try? readFile("/proc/\(pid)/stat"), let name = text.lastIndex(of: ")")
        else { return nil }
        let fields = text[text.index(after: name)...].split(separator: " ")
        guard fields.count > 19, fields[0] != "Z", fields[0] != "X" else { return nil }
        return UInt64(fields[19])
    }
}

extension LabState {
    public enum Condition: String, Sendable {
        case up
        /// A process that the lab needs has ended.
        case broken
    }

    public var condition: Condition {
        let isWhole = keeper?.isAlive ?? false && daemons.values.allSatisfy(\.isAlive)
        return isWhole && usesKernel == daemons.isEmpty ? .up : .broken
    }
}
