// What can be fuzzed, by name.

import Foundation

struct FuzzTarget: Sendable {
    var name: String
    /// Inputs that reach far from the beginning, made by code so that they can be read.
    var seeds: [[UInt8]] = []
    /// Words that a mutation may put in.
    var dictionary: [String] = []
    /// Traps if a promise is broken.
    var run: @Sendable ([UInt8]) -> Void

    static var all: [FuzzTarget] {
        [
            .packet, .reassembly, .conntrack, .dataplane, .capture, .netlink, .control,
            .iptables, .restore, .conntrackCommand, .savedConnections, .description,
            .scenario, .manifest, .virtualServices,
        ]
    }

    /// Seeds as files of their own, as libFuzzer wants them, and the dictionary in its format: a quoted
    /// string a line.
    func prepare(_ directory: String) throws {
        try FileManager.default.createDirectory(
            atPath: directory, withIntermediateDirectories: true)
        for (number, seed) in seeds.enumerated() {
            try Data(seed).write(to: URL(filePath: "\(directory)/seed-\(number)"))
        }
        guard !dictionary.isEmpty else { return }
        let lines = dictionary.map { word in
            "\"\(word.utf8.map { String(format: "\\x%02x", $0) }.joined())\"\n"
        }
        try Data(lines.joined().utf8).write(to: URL(filePath: directory + ".dict"))
    }
}

/// Bytes read one after the other; zero behind the end, so that every input means something.
struct InputReader {
    private var rest: ArraySlice<UInt8>

    init(_ bytes: [UInt8]) { rest = bytes[...] }

    var isEmpty: Bool { rest.isEmpty }
    mutating func u8() -> UInt8 { rest.popFirst() ?? 0 }
    mutating func u16() -> UInt16 { UInt16(u8()) << 8 | UInt16(u8()) }
    mutating func u32() -> UInt32 { UInt32(u16()) << 16 | UInt32(u16()) }

    mutating func take(_ count: Int) -> [UInt8] {
        defer { rest = rest.dropFirst(count) }
        return Array(rest.prefix(count))
    }
}
