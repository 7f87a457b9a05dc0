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
            let daemons = try bringUp()
            // Whoever asked for the lab may have given up meanwhile; then nobody would end it.
            guard writeAll(KeeperMessage.ready(daemons: daemons).text, to: STDOUT_FILENO) else {
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

    /// The process numbers of the nodes' daemons.
    private func bringUp() throws(LabError) -> [String: Int32] {
        let binary = try ownBinary()
        try LabNamespaces.create(topology.namespaces, home: topology.home.name)
        CommandOverlay.preferOverlaidCommands()
        try CommandOverlay.cover(
            links: usesKernel ? ["sluice"] : CommandOverlay.links, to: binary)
        for setting in topology.settings { try apply(setting) }
        for line in topology.links { try Command(["ip"] + line.words).check() }
        for server in topology.servers { try start(server, binary) }
        var daemons: [String: Int32] = [:]
        for node in topology.nodes {
            if !usesKernel { daemons[node.name] = try startDaemon(node, binary) }
            for line in node.rules {
                try command(["iptables"] + line.words, in: node.name).check()
            }
        }
        return daemons
    }

    private func command(_ words: [String], in namespace: String) throws(LabError) -> Command {
        try LabNamespaces.command(words, in: namespace, home: topology.home.name)
    }

    private func apply(_ setting: Topology.Setting) throws(LabError) {
        try LabNamespaces.within(setting.namespace, home: topology.home.name) {
            () throws(LabError) in
            let path = "/proc/sys/\(setting.file)"
            if fileExists(path) { try writeFile(path, setting.value) }
        }
    }

    private func start(_ server: Topology.Server, _ binary: String) throws(LabError) {
        var words = [binary, "lab", "server", server.word, "--address", server.address]
        words += ["--port", String(server.port)] + (server.showsPath ? ["--show-path"] : [])
        _ = try startService(
            command(words, in: server.namespace), ready: "serving \(server.word)")
    }

    private func startDaemon(_ node: Topology.Node, _ binary: String) throws(LabError) -> Int32 {
        let words = [binary, "run", "--log", LabState.packetLog(name, node: node.name)]
        let interfaces = node.interfaces.flatMap { ["--interface", $0] }
        return try startService(
            command(words + interfaces, in: node.name), ready: "sluice: ready")
    }

    /// Starts a service whose output goes to the lab's log, and waits until a line of it begins with `ready`.
    private func startService(_ command: Command, ready: String) throws(LabError) -> Int32 {
        let log = try openFile(LabState.logFile(name), O_RDWR | O_CREAT | O_APPEND)
        defer { close(log) }
        return try Service(command, ready: ready, log: log).process.pid
    }
}

extension String {
    var words: [String] { split(separator: " ").map(String.init) }
}
