// Which processes belong to a lab. Everything started in a lab carries its mark in the environment,
// so a lab whose keeper was killed can still be ended; and while the keeper lives, whatever shares
// one of its namespaces belongs to it too, even with an environment that sudo has cleaned.

import Glibc

struct LabMembers {
    static let variable = "SLUICE_LAB"
    var name: String
    var keeper: ProcessIdentity?

    /// Process numbers, the keeper's last, so that services end while their namespaces stand.
    func processes() -> [Int32] {
        let namespaces = keeperNamespaces()
        let own = getpid()
        var found: [Int32] = []
        for entry in directoryEntries("/proc") {
            guard let pid = Int32(entry), pid != own, pid != keeper?.pid else { continue }
            if carriesMark(pid) || namespaces.contains(mountNamespace(of: entry)) {
                found.append(pid)
            }
        }
        if let keeper, keeper.isAlive { found.append(keeper.pid) }
        return found.filter { ProcessIdentity(pid: $0) != nil }
    }

    /// Asks every member to end, and ends those that have not within three seconds.
    func end() throws(LabError) {
        for (signal, milliseconds) in [(SIGTERM, 3000), (SIGKILL, 3000)] {
            for pid in processes() { kill(pid, signal) }
            if Deadline(milliseconds: milliseconds).wait({ processes().isEmpty }) { return }
        }
        let rest = processes().map(String.init).joined(separator: ", ")
        throw LabError("processes of lab \(name) do not end: \(rest)")
    }

    private func carriesMark(_ pid: Int32) -> Bool {
        guard let text = try? readFile("/proc/\(pid)/environ") else { return false }
        return text.split(separator: "\0").contains("\(Self.variable)=\(name)")
    }

    private func keeperNamespaces() -> Set<String> {
        guard let keeper, keeper.isAlive else { return [] }
        let theirs = mountNamespace(of: String(keeper.pid))
        // A keeper that has not yet left the machine's own mounts must not make all of it members.
        guard !theirs.isEmpty, theirs != mountNamespace(of: "self") else { return [] }
        return [theirs]
    }

    private func mountNamespace(of process: String) -> String {
        linkTarget("/proc/\(process)/ns/mnt") ?? "unreadable"
    }
}

/// Waiting for a condition that announces itself by no descriptor.
public struct Deadline: Sendable {
    var milliseconds: Int
    public init(milliseconds: Int) { self.milliseconds = milliseconds }

    /// Whether the condition came true in time; looked at every 10 ms.
    public func wait(_ condition: () -> Bool) -> Bool {
        for _ in 0...(milliseconds / 10) {
            if condition() { return true }
            usleep(10_000)
        }
        return false
    }
}
