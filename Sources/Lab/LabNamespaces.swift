// Making and entering the mount and network namespaces of a lab. Knows nothing of what runs there.

import CLinux
import Glibc

enum LabNamespaces {
    /// Makes this process the home of a new lab: mounts of its own, the named network namespaces in a
    /// private /run/netns, itself in `home`.
    static func create(_ names: [String], home: String) throws(LabError) {
        try step("create a mount namespace", sluice_private_mounts())
        // Where the machine has none, no namespace has files of its own there.
        for directory in ["/run/netns", "/etc/netns"] where fileExists(directory) {
            try step("mount a file system on \(directory)", mountTemporary(directory))
        }
        for name in names { try Command(["ip", "netns", "add", name]).check() }
        try enterNetwork(home)
        try mountHomeSystem()
    }

    /// Moves this process to where the keeper is, keeping the working directory where the lab has it.
    static func enter(keeper: ProcessIdentity) throws(LabError) {
        let mounts = try openFile("/proc/\(keeper.pid)/ns/mnt", O_RDONLY)
        defer { close(mounts) }
        let network = try openFile("/proc/\(keeper.pid)/ns/net", O_RDONLY)
        defer { close(network) }
        let directory = linkTarget("/proc/self/cwd")
        try step("enter the lab's mounts", sluice_enter_mount_namespace(mounts))
        if let directory { changeDirectory(directory) }
        try step(
            "enter the network namespace of the lab's home", sluice_enter_network_namespace(network)
        )
        CommandOverlay.preferOverlaidCommands()
    }

    /// The command as it is run from the home: there as it is, elsewhere through `ip netns exec`.
    static func command(
        _ words: [String], in namespace: String, home: String
    ) throws(LabError) -> Command {
        let names = directoryEntries("/run/netns")
        guard names.contains(namespace) else {
            throw LabError(
                "the lab has no namespace \(namespace); expected one of: "
                    + names.joined(separator: ", "))
        }
        return Command(namespace == home ? words : ["ip", "netns", "exec", namespace] + words)
    }

    /// Has `body` run in one of the lab's network namespaces, and this process at home again behind it.
    static func within(
        _ namespace: String, home: String, _ body: () throws(LabError) -> Void
    ) throws(LabError) {
        try enterNetwork(namespace)
        defer { try? enterNetwork(home) }
        try body()
    }

    static func enterNetwork(_ name: String) throws(LabError) {
        let file = try openFile("/run/netns/\(name)", O_RDONLY)
        defer { close(file) }
        try step("enter the network namespace \(name)", sluice_enter_network_namespace(file))
    }

    /// /sys shows the devices of the namespace it was mounted in, so the home needs its own, and with
    /// it a place to pin BPF objects that no other lab sees.
    private static func mountHomeSystem() throws(LabError) {
        try step("mount sysfs on /sys", mount("sysfs", at: "/sys"))
        if fileExists("/sys/fs/bpf") {
            try step("mount bpf on /sys/fs/bpf", mount("bpf", at: "/sys/fs/bpf"))
        }
    }

    static func mountTemporary(_ directory: String) -> Int32 {
        mount("tmpfs", at: directory, "mode=0755")
    }

    static func step(_ name: String, _ result: Int32) throws(LabError) {
        guard result >= 0 else { throw LabError("cannot \(name): \(errorText(-result))") }
    }
}
