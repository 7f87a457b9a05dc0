// A network namespace without a name: it lives as long as a descriptor of this process, or a device or
// socket in it, and so goes without a trace however the process ends.

import CLinux
import Glibc
import Lab

/// Used from one thread at a time.
final class PeerNamespace {
    private let descriptor: Descriptor

    init() throws(KernelPathError) {
        let before = try Self.current()
        let status = sluice_new_network_namespace()
        guard status == 0 else {
            throw KernelPathError(
                "cannot make a network namespace: \(errorText(-status))"
                    + (status == -EPERM ? " (this needs root)" : ""))
        }
        defer { Self.enter(before) }
        descriptor = try Self.current()
    }

    /// Runs `body` on this thread inside the namespace. Sockets, devices and programs started there
    /// stay there.
    func inside<R>(_ body: () throws(KernelPathError) -> R) throws(KernelPathError) -> R {
        let before = try Self.current()
        Self.enter(descriptor)
        defer { Self.enter(before) }
        return try body()
    }

    /// Runs a program of the system inside, which must succeed, and returns what it printed.
    @discardableResult
    func run(
        _ name: String, _ arguments: [String], input: String = ""
    ) throws(KernelPathError) -> String {
        guard let tool = SystemTool(name) else {
            throw KernelPathError("\(name) is not installed")
        }
        return try inside { () throws(KernelPathError) in
            do throws(LabError) {
                let outcome = try tool.run(arguments, input: input)
                if outcome.status == 0 { return outcome.output }
                let said = outcome.errors.isEmpty ? outcome.output : outcome.errors
                throw LabError("\(name): \(said)")
            } catch {
                throw KernelPathError(error.description)
            }
        }
    }

    /// Sets a value under /proc/sys/net, by the parts of its path.
    func set(_ path: [String], to value: String) throws(KernelPathError) {
        try inside { () throws(KernelPathError) in
            let file = try Descriptor.open(
                "/proc/sys/" + path.joined(separator: "/"), O_WRONLY)
            let error = file.write(Array("\(value)\n".utf8))
            guard error == 0 else {
                throw KernelPathError(
                    "cannot set \(path.joined(separator: ".")) to \(value): \(errorText(error))")
            }
        }
    }

    private static func current() throws(KernelPathError) -> Descriptor {
        try Descriptor.open("/proc/thread-self/ns/net", O_RDONLY)
    }

    private static func enter(_ namespace: Descriptor) {
        precondition(
            sluice_enter_network_namespace(namespace.number) == 0,
            "a thread that may make a namespace may enter it")
    }
}
