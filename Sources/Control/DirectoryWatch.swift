// A directory whose edits are followed (inotify(7)).

import CLinux
import Glibc

public struct DirectoryWatch {
    private let descriptor: Descriptor
    /// How long nothing must happen before a change counts as whole: an editor writes in several steps.
    private static let quiet: Int32 = 100

    public init(_ path: String) throws(SystemError) {
        descriptor = try SystemCalls.watch(path)
    }

    /// Waits until something changed and it is quiet again; `false` for a signal.
    public func next(interrupts: Descriptor) throws(SystemError) -> Bool {
        var hasChanged = false
        while true {
            var entries = [
                PollEntry(descriptor: descriptor.number), PollEntry(descriptor: interrupts.number),
            ]
            try poll(&entries, timeout: hasChanged ? Self.quiet : -1)
            if entries[1].readable, sluice_signals_next(interrupts.number) > 0 { return false }
            guard entries[0].readable else {
                if hasChanged { return true }
                continue
            }
            var events: [UInt8] = []
            // Which file it was does not matter: all are read.
            _ = descriptor.read(appendingTo: &events, limit: 1 << 16)
            hasChanged = true
        }
    }

    /// Signals as a descriptor, for `next`.
    public static func interrupts() -> Descriptor { Descriptor(owning: sluice_signals_open()) }
}
