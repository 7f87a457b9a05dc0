// Where the shared captures are: SLUICE_SHARED, or `shared` beside the checkout. Absent elsewhere.

import Foundation

enum SharedData {
    static let directory: URL? = {
        let given = ProcessInfo.processInfo.environment["SLUICE_SHARED"]
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        let url =
            given.map { URL(fileURLWithPath: $0) }
            ?? root.deletingLastPathComponent().appendingPathComponent("shared")
        return FileManager.default.fileExists(atPath: url.path) ? url : nil
    }()

    static let captures: [URL] = {
        guard let directory,
            let walk = FileManager.default.enumerator(
                at: directory.appendingPathComponent("pcap"), includingPropertiesForKeys: nil)
        else { return [] }
        return walk.compactMap { $0 as? URL }
            .filter { !$0.hasDirectoryPath && $0.pathExtension != "tsv" }
            .sorted { $0.path < $1.path }
    }()
}
