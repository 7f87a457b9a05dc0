// Bringing labs up and down, and running commands in them.
//
// Theory of operation. A lab lives in a mount namespace of its own, held by one process, the keeper.
// There /run/netns and /etc/netns are empty file systems that only the lab sees, so its namespaces
// can carry the names a document uses (`node`, `client`, …) without meeting the machine's, and the
// links that make `iptables` mean Sluice lie over /usr/local/sbin for the lab alone. On the machine
// itself there is nothing but a state file: when the lab's processes are gone, the kernel takes the
// mounts, namespaces and veths away with them. That makes `down` the same act after a crash.

import CLinux
import Glibc

public struct Lab: Sendable {
    public var name: String
    public init(name: String) { self.name = name }

    /// Brings the lab up and returns when it is ready; what fails half way takes itself down.
    public func up(topology name: String, usesKernel: Bool) throws(LabError) {
        try Self.requireRoot()
        let topology = try Topology.named(name)
        try checkName()
        try makeDirectories(LabState.directory)
        let lock = try Self.lock()
        defer { close(lock) }
        if let old = LabState.read(self.name), !members(old).processes().isEmpty {
            throw LabError("lab \(self.name) is up already; `sluice lab down \(self.name)` ends it")
        }
        var state = LabState(name: self.name, topology: topology.name, usesKernel: usesKernel)
        do {
            for directory in ["/run/netns", "/etc/netns", CommandOverlay.directory]
            where !fileExists(directory) {
                try makeDirectories(directory)
                state.madeDirectories.append(directory)
            }
            try state.write()
            try startKeeper(&state)
            try state.write()
        } catch {
            try? end(state)
            throw error
        }
    }

    /// Ends the lab. Returns whether there was anything to end.
    @discardableResult
    public func down() throws(LabError) -> Bool {
        try Self.requireRoot()
        try checkName()
        guard fileExists(LabState.directory) else { return false }
        let lock = try Self.lock()
        defer { close(lock) }
        let state = LabState.read(name)
        let blank = LabState(name: name, topology: "", usesKernel: false)
        let wasUp = state != nil || !members(blank).processes().isEmpty
        try end(state ?? blank)
        return wasUp
    }

    public func state() throws(LabError) -> LabState {
        guard let state = LabState.read(name) else {
            // The name may be one of the person's own, which names no topology.
            let up = Self.list().map(\.name)
            throw LabError(
                "lab \(name) is not up; "
                    + (up.isEmpty
                        ? "none is, and `sluice lab list` shows those that can be"
                        : "expected one of: \(up.joined(separator: ", "))"))
        }
        return state
    }

    public static func list() -> [LabState] { LabState.names.compactMap(LabState.read) }

    /// Runs a command in one of the lab's namespaces in place of this process; returns only an error.
    public func replaceProcess(in namespace: String, command: [String]) -> LabError {
        do {
            try Self.requireRoot()
            let keeper = try liveKeeper()
            let topology = try Topology.named(state().topology)
            try LabNamespaces.enter(keeper: keeper)
            setVariable(LabMembers.variable, name)
            for (name, value) in topology.variables { setVariable(name, value) }
            return try LabNamespaces.command(command, in: namespace, home: topology.home.name)
                .replaceProcess()
        } catch {
            return error
        }
    }

    /// The lab's keeper, or why there is none.
    func liveKeeper() throws(LabError) -> ProcessIdentity {
        guard let keeper = try state().keeper, keeper.isAlive else {
            throw LabError(
                "lab \(name) has lost the process that holds it; `sluice lab down \(name)` cleans up"
            )
        }
        return keeper
    }

    static func requireRoot() throws(LabError) {
        guard geteuid() == 0 else { throw LabError("labs need root: they make network namespaces") }
    }

    private func members(_ state: LabState) -> LabMembers {
        LabMembers(name: name, keeper: state.keeper)
    }

    private func end(_ state: LabState) throws(LabError) {
        try members(state).end()
        // A directory that somebody has put something into meanwhile stays.
        for directory in state.madeDirectories { removeEmptyDirectory(directory) }
        for file in LabState.files(name) { removeFile(file) }
    }

    private func checkName() throws(LabError) {
        let allowed = name.utf8.allSatisfy { byte in
            UInt8(ascii: "a")...UInt8(ascii: "z") ~= byte || byte == UInt8(ascii: "-")
                || UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte
        }
        guard allowed, !name.isEmpty, name.utf8.count <= 64 else {
            throw LabError(
                "\"\(name)\" is no name for a lab: use a-z, 0-9 and -, at most 64 of them")
        }
    }

    private func startKeeper(_ state: inout LabState) throws(LabError) {
        let ends = try makePipe()
        defer { close(ends.reading) }
        let nothing = try openFile("/dev/null", O_RDONLY)
        let log = try openFile(LabState.logFile(name), O_WRONLY | O_CREAT | O_TRUNC)
        defer { for file in [nothing, log] { close(file) } }
        let words = [
            try ownBinary(), "lab", "keeper", state.topology, "--name", name,
            state.usesKernel ? "--kernel" : "--no-kernel",
        ]
        let child: ChildProcess
        do {
            child = try Command(words, environment: [LabMembers.variable: name]).start(
                input: nothing, output: ends.writing, errors: log)
        } catch {
            close(ends.writing)
            throw error
        }
        close(ends.writing)
        state.keeper = ProcessIdentity(pid: child.pid)
        try state.write()
        let said = readLine(ends.reading, milliseconds: 30_000)
        switch KeeperMessage(said ?? "") {
        case .ready(let daemons):
            for (node, pid) in daemons {
                guard let daemon = ProcessIdentity(pid: pid) else {
                    throw LabError("the daemon of \(node) has ended already")
                }
                state.daemons[node] = daemon
            }
        case .failed(let reason): throw LabError("lab \(name) does not come up: \(reason)")
        case nil:
            let log = ((try? readFile(LabState.logFile(name))) ?? "").trimmed
            throw LabError("lab \(name) does not come up" + (log.isEmpty ? "" : ": \(log)"))
        }
    }

    private static func lock() throws(LabError) -> Int32 {
        let file = try openFile("\(LabState.directory)/lock", O_RDWR | O_CREAT)
        guard flock(file, LOCK_EX) == 0 else {
            close(file)
            throw LabError("cannot lock \(LabState.directory)/lock: \(errorText(errno))")
        }
        return file
    }
}

/// What the keeper says on its standard output, once.
enum KeeperMessage: Equatable {
    case ready(daemons: [String: Int32])
    case failed(String)

    init?(_ line: String) {
        let words = line.words
        switch words.first {
        case "failed":
            self = .failed(String(line.dropFirst("failed ".count)))
        case "ready":
            var daemons: [String: Int32] = [:]
            for word in words.dropFirst() {
                let parts = word.split(separator: "=")
                guard parts.count == 2, let pid = Int32(parts[1]) else { return nil }
                daemons[String(parts[0])] = pid
            }
            self = .ready(daemons: daemons)
        default:
            return nil
        }
    }

    var text: String {
        switch self {
        case .ready(let daemons):
            (["ready"] + daemons.map { "\($0.key)=\($0.value)" }).joined(separator: " ") + "\n"
        case .failed(let reason):
            "failed " + String(reason.map { $0.isNewline ? " " : $0 }) + "\n"
        }
    }
}

/// The file this program was started from.
public func ownBinary() throws(LabError) -> String {
    guard let path = linkTarget("/proc/self/exe") else {
        throw LabError("cannot read /proc/self/exe: \(errorText(errno))")
    }
    return path
}
