// What a running daemon changed in its network namespace, written down before each change, so that
// `sluice down` can give the node back after a crash: /run/sluice/<namespace>/state.json, the namespace
// being named by its cookie: an inode's number is used again, and another namespace's state is poison.
//
// An entry here means "may have been changed": giving back is idempotent, and what was never changed
// is left as it is.

import FoundationEssentials
import Glibc

public struct NodeState: Codable, Hashable, Sendable {
    /// A kernel setting under /proc/sys and what it said before.
    public struct Setting: Codable, Hashable, Sendable {
        public var path: String
        public var before: String
    }

    public var processID: Int32
    /// The process's start in clock ticks since boot: a process id alone may have been used again.
    public var processStart: UInt64
    public var interfaces: [String]
    public var settings: [Setting] = []
    /// `iptables-save -c` of the kernel's own rules, taken over and to be given back.
    public var savedRules: String?
    public var closesOnDeath = false
    /// Policy rules and routes lead the node's own packets to the host port.
    public var leadsHostPackets = false

    public init(processID: Int32, processStart: UInt64, interfaces: [String]) {
        self.processID = processID
        self.processStart = processStart
        self.interfaces = interfaces
    }
}

/// The place where one namespace's state is kept.
public struct NodeStateFile: Sendable {
    public enum Failure: Error, Hashable, Sendable, CustomStringConvertible {
        case system(SystemError)
        case unreadable(String)

        public var description: String {
            switch self {
            case .system(let error): error.description
            case .unreadable(let path): "\(path) is damaged: a JSON object was expected"
            }
        }
    }

    public let directory: String
    public var path: String { directory + "/state.json" }

    public init(directory: String) { self.directory = directory }

    /// The file of the calling thread's network namespace.
    public static func ofThisNamespace(root: String = "/run/sluice") throws(SystemError) -> Self {
        Self(directory: "\(root)/\(try SystemCalls.networkNamespaceCookie())")
    }

    public func load() throws(Failure) -> NodeState? {
        let bytes: [UInt8]
        do { bytes = try TextFile.read(path) } catch {
            if case .system(let failure) = error, failure.number == ENOENT { return nil }
            if case .system(let failure) = error { throw .system(failure) }
            throw .unreadable(path)
        }
        guard let state = try? JSONDecoder().decode(NodeState.self, from: Data(bytes)) else {
            throw .unreadable(path)
        }
        return state
    }

    public func store(_ state: NodeState) throws(SystemError) {
        try makeDirectories()
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        guard let json = try? encoder.encode(state) else {
            throw SystemError("encode the state", path, number: EINVAL)
        }
        try TextFile.write(String(decoding: json, as: UTF8.self) + "\n", to: path)
    }

    public func remove() {
        SystemCalls.removeFile(path)
        SystemCalls.removeDirectory(directory)
    }

    private func makeDirectories() throws(SystemError) {
        var partial = ""
        for part in directory.split(separator: "/") {
            partial += "/\(part)"
            try SystemCalls.makeDirectory(partial)
        }
    }
}

/// When a process began, in clock ticks since boot (proc(5), field 22); `nil` where there is none, or
/// only what its parent has yet to wait for.
public func processStart(_ process: Int32) -> UInt64? {
    // A zombie has given everything back; only its parent has not looked yet.
    guard let fields = processFields(process), fields.count > 19, fields[0] != "Z" else {
        return nil
    }
    return UInt64(fields[19])
}

/// Whether a process was stopped by a signal or a debugger: it does nothing until it is continued.
func isStopped(_ process: Int32) -> Bool {
    guard let state = processFields(process)?.first else { return false }
    return state == "T" || state == "t"
}

/// The fields of /proc/PROCESS/stat from its state (field 3) on.
private func processFields(_ process: Int32) -> [Substring]? {
    guard let bytes = try? TextFile.read("/proc/\(process)/stat") else { return nil }
    let text = String(decoding: bytes, as: UTF8.self)
    // The name in parentheses may hold anything; fields are counted from behind it.
    guard let close = text.lastIndex(of: ")") else { return nil }
    return text[text.index(after: close)...].split(separator: " ")
}
