// The process that is a lab: it makes the namespaces, starts what runs in them, says that it is ready,
// and from then on only holds them. It never touches anything outside its own mount namespace, so
// that its end, however it comes, leaves nothing to tidy.

import CLinux
import Glibc

public struct Keeper {
    var topology: Topology
    var name: String
    var usesKernel: Bool

    public init(topology name: String, lab: String, usesKernel: Bool) throws(LabError) {
        topology = try Topology.named(name)
        self.name = lab
        self.usesKernel = usesKernel
    }

    /// Brings the lab up, reports on standard output and stays until it is ended.
    public func run() -> Int32 {
        signal(SIGPIPE, SIG_IGN)
        do throws(LabError) {
            let daemon = try bringUp()
            // Whoever asked for the lab may have given up meanwhile; then nobody would end it.
            guard writeAll(KeeperMessage.ready(daemon: daemon).text, to: STDOUT_FILENO) else {
                throw LabError("the command that asked for the lab has gone")
            }
        } catch {
            writeAll(KeeperMessage.failed(error.description).text, to: STDOUT_FILENO)
            try? LabMembers(name: name, keeper: nil).end()
            return 1
        }
        close(STDOUT_FILENO)
        // The lab's services may end while the keeper stays; nobody else would collect them.
        signal(SIGCHLD, SIG_IGN)
        while true { pause() }
    }

    private func bringUp() throws(LabError) -> Int32? {
        let binary = try ownBinary()
        try LabNamespaces.create(topology.namespaces, home: "node")
        CommandOverlay.preferOverlaidCommands()
        try CommandOverlay.cover(
            links: usesKernel ? ["sluice"] : CommandOverlay.links, to: binary)
        for (file, value) in topology.settings where fileExists("/proc/sys/\(file)") {
            try writeFile("/proc/sys/\(file)", value)
        }
        for line in topology.links { try Command(["ip"] + line.words).check() }
        for server in topology.servers {
            try startServer(server.word, in: server.namespace, binary)
        }
        let daemon = usesKernel ? nil : try startDaemon(binary)
        for line in topology.rules { try Command(["iptables"] + line.words).check() }
        return daemon
    }

    private func startServer(
        _ word: String, in namespace: String, _ binary: String
    ) throws(LabError) {
        let words = ["ip", "netns", "exec", namespace, binary, "lab", "server", word]
        _ = try startService(Command(words), ready: "serving \(word)")
    }

    private func startDaemon(_ binary: String) throws(LabError) -> Int32 {
        let interfaces = topology.adoptedInterfaces.flatMap { ["--interface", $0] }
        return try startService(Command([binary, "run"] + interfaces), ready: "sluice: ready")
    }

    /// Starts a service whose output goes to the lab's log, and waits until a line of it begins with `ready`.
    private func startService(_ command: Command, ready: String) throws(LabError) -> Int32 {
        let nothing = try openFile("/dev/null", O_RDONLY)
        let log = try openFile(LabState.logFile(name), O_RDWR | O_CREAT | O_APPEND)
        defer { for file in [nothing, log] { close(file) } }
        let before = readAll(log).utf8.count
        let child = try command.start(input: nothing, output: log, errors: log)
        let said = { String(decoding: readAll(log).utf8.dropFirst(before), as: UTF8.self) }
        let isReady = { said().split(separator: "\n").contains { $0.hasPrefix(ready) } }
        var ended = false
        _ = Deadline(milliseconds: 10_000).wait {
            ended = child.wait(seconds: 0) != nil
            return ended || isReady()
        }
        guard !ended, isReady() else {
            let words = said().trimmed
            throw LabError(
                "`\(command)` \(ended ? "ended" : "is not ready after 10 seconds")"
                    + (words.isEmpty ? "" : ": \(words)"))
        }
        return child.pid
    }
}

extension String {
    var words: [String] { split(separator: " ").map(String.init) }
}
