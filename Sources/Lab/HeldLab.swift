// A lab without a keeper: the calling process holds the namespaces itself. However that process ends, they end
// with it, and so do the services that it started; nothing of it is on the machine.

import CLinux
import Glibc

public struct HeldLab: Sendable {
    public let home: String

    /// Moves the calling process, which must have one thread only, into mounts of its own and into the network
    /// namespace `home`. There is no way back.
    public init(_ namespaces: [String], home: String) throws(LabError) {
        precondition(namespaces.contains(home), "a lab's home is one of its namespaces")
        try Lab.requireRoot()
        guard SystemTool("ip") != nil else { throw LabError("needs ip, of iproute2") }
        for directory in ["/run/netns", Self.state] { try makeDirectories(directory) }
        self.home = home
        try LabNamespaces.create(namespaces, home: home)
        // What daemons write down of themselves, so that even one that was killed leaves nothing.
        try LabNamespaces.step(
            "mount a file system on \(Self.state)", LabNamespaces.mountTemporary(Self.state))
    }

    private static let state = "/run/sluice"

    /// Writes a file that ends with the lab; its path.
    public func keep(_ name: String, _ text: String) throws(LabError) -> String {
        let path = "\(Self.state)/\(name)"
        try writeFile(path, text)
        return path
    }

    /// Has `body` run in one of the namespaces: what sockets it opens belong there.
    public func within<R>(
        _ namespace: String, _ body: () throws(LabError) -> R
    ) throws(LabError) -> R {
        try LabNamespaces.enterNetwork(namespace)
        defer { try? LabNamespaces.enterNetwork(home) }
        return try body()
    }

    /// The calling thread moves there for good; not for the one that made the lab.
    public static func moveThread(to namespace: String) throws(LabError) {
        try LabNamespaces.enterNetwork(namespace)
    }

    /// Runs lines of `ip` in a namespace.
    public func configure(_ namespace: String, _ lines: [String]) throws(LabError) {
        try Command(["ip", "-n", namespace, "-batch", "-"])
            .check(input: lines.map { $0 + "\n" }.joined())
    }

    /// Writes a file below /proc/sys in a namespace.
    public func set(_ file: String, _ value: String, in namespace: String) throws(LabError) {
        try within(namespace) { () throws(LabError) in try writeFile("/proc/sys/\(file)", value) }
    }

    /// Starts a service in the lab's home, which is killed when the calling thread ends, and waits until it
    /// says a line that begins with `ready`.
    public func start(_ words: [String], ready: String) throws(LabError) -> Service {
        try Service(Command(["setpriv", "--pdeathsig", "KILL"] + words), ready: ready)
    }
}
