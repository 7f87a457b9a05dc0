// The directory where root's and sudo's paths look first, as a lab sees it: what the machine has
// there, and over it the names under which Sluice stands in for other commands, and a `sudo` where
// the machine has none. /usr/sbin stays as it is.

import CLinux
import Glibc

enum CommandOverlay {
    static let directory = "/usr/local/sbin"
    static let links = [
        "iptables", "iptables-save", "iptables-restore", "conntrack", "ipvsadm", "sluice",
    ]
    /// On a file system of the lab's own; `ip netns` reads only names of namespaces there.
    private static let original = "/etc/netns/.usr-local-sbin"

    /// Covers the directory in this process's mount namespace.
    static func cover(links: [String], to binary: String) throws(LabError) {
        try keepOriginal()
        let kept = directoryEntries(original).filter { !links.contains($0) }
        try LabNamespaces.step(
            "mount a file system on \(directory)", LabNamespaces.mountTemporary(directory))
        for name in kept { try link(name, to: resolvedPath("\(original)/\(name)")) }
        for name in links { try link(name, to: binary) }
        if !isOnPath("sudo") {
            try writeFile("\(directory)/sudo", sudoScript, mode: 0o755)
        }
    }

    /// Puts the directory before everything else that PATH says, and the system's own behind it.
    static func preferOverlaidCommands() {
        let system = ["/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        let present = currentPath().filter { $0 != directory }
        let missing = system.filter { !present.contains($0) }
        let path = ([directory] + present + missing).joined(separator: ":")
        setVariable("PATH", path)
    }

    /// A second way to the directory's contents, for after it is covered.
    private static func keepOriginal() throws(LabError) {
        try makeDirectories(original)
        try LabNamespaces.step(
            "keep what is in \(directory)", bindMount(directory, at: original))
    }

    private static func link(_ name: String, to target: String?) throws(LabError) {
        guard let target else { return }
        try makeLink("\(directory)/\(name)", to: target)
    }

    private static func isOnPath(_ name: String) -> Bool {
        currentPath().contains { fileExists("\($0)/\(name)") }
    }

    private static func currentPath() -> [String] {
        (currentEnvironment()["PATH"] ?? "").split(separator: ":").map(String.init)
    }

    private static let sudoScript = """
        #!/bin/sh
        # Stands in for sudo in this lab: whoever is here is root already.
        while [ $# -gt 0 ]; do
            case "$1" in
            -E | -n | -H | --) shift ;;
            *) break ;;
            esac
        done
        exec "$@"

        """
}
