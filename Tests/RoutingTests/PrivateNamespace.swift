// A network namespace for one test: a thread of its own moves into a new, nameless one, which ends
// with the thread. Nothing has to be cleaned up, and nothing collides.

import CLinux
import Foundation

enum PrivateNamespace {
    static var isAvailable: Bool { geteuid() == 0 }

    /// Runs `body` on a thread in a new namespace with `lo` up, and returns what it returned.
    static func run<Value: Sendable>(
        _ body: @escaping @Sendable () throws -> Value
    ) throws -> Value {
        let box = Box<Value>()
        let thread = Thread {
            box.result = Result {
                let status = sluice_new_network_namespace()
                guard status == 0 else { throw CommandFailure(text: "unshare: errno \(-status)") }
                try ip("link set lo up")
                return try body()
            }
            box.done.signal()
        }
        thread.start()
        box.done.wait()
        guard let result = box.result else { throw CommandFailure(text: "the thread ended early") }
        return try result.get()
    }

    private final class Box<Value>: @unchecked Sendable {
        // Written before the signal and read after the wait.
        var result: Result<Value, Error>?
        let done = DispatchSemaphore(value: 0)
    }

    struct CommandFailure: Error, CustomStringConvertible {
        let text: String
        var description: String { text }
    }

    /// Runs iproute2's `ip -batch` in the calling thread's namespace, one command a line. `system`
    /// forks this very thread; Foundation's `Process` may wait for others.
    static func ip(_ lines: String) throws {
        let status = unsafe system("ip -batch - <<'LINES'\n\(lines)\nLINES\n")
        if status != 0 { throw CommandFailure(text: "ip -batch failed (\(status)): \(lines)") }
    }

    /// Writes a setting of the calling thread's namespace: `set("conf/all/rp_filter", 1)`.
    static func set(_ path: String, _ value: Int) throws {
        let file = try FileHandle(
            forWritingTo: URL(fileURLWithPath: "/proc/sys/net/ipv4/" + path))
        try file.write(contentsOf: Data("\(value)\n".utf8))
        try file.close()
    }
}
