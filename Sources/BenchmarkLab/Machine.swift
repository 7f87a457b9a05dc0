// Where it was measured: what /proc says of this machine.

import Benchmark
import Foundation
import Lab

enum Machine {
    /// To be read before the first load.
    static func circumstances(
        version: String, command: String, notes: [String]
    ) -> Circumstances {
        let model = text("/proc/cpuinfo").split(separator: "\n").first {
            $0.hasPrefix("model name")
        }
        let name = model?.split(separator: ":").last.map(trimmed)
        let load = text("/proc/loadavg").split(separator: " ").prefix(3).compactMap { Double($0) }
        return Circumstances(
            date: Date().formatted(.iso8601), version: version + build, command: command,
            kernel: trimmed(text("/proc/sys/kernel/osrelease")), processor: name ?? "unknown CPU",
            processors: Placement.processors, load: load, notes: notes)
    }

    private static var build: String {
        #if DEBUG
            " (a debug build: what it says of Sluice means nothing)"
        #else
            ""
        #endif
    }

    private static func text(_ path: String) -> String {
        (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
    }

    private static func trimmed(_ text: some StringProtocol) -> String {
        text.trimmingCharacters(in: .whitespacesAndNewlines)
    }
}
