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
            .scenario,
        ]
    }

    /// Seeds and the kept corpus as files of their own, as libFuzzer wants them, and the dictionary in its
    /// format: a quoted string a line.
    func prepare(_ directory: String, corpus: String) throws {
        try FileManager.default.createDirectory(
            atPath: directory, withIntermediateDirectories: true)
        for (number, seed) in (seeds + Self.unpacked(corpus)).enumerated() {
            try Data(seed).write(to: URL(filePath: "\(directory)/kept-\(number)"))
        }
        guard !dictionary.isEmpty else { return }
        let lines = dictionary.map { word in
            "\"\(word.utf8.map { String(format: "\\x%02x", $0) }.joined())\"\n"
        }
        try Data(lines.joined().utf8).write(to: URL(filePath: directory + ".dict"))
    }

    // MARK: The kept corpus: one file, each input behind its length in two bytes

    /// The smallest inputs of a directory, as many as fit into `limit` bytes.
    static func pack(_ directory: String, into file: String, limit: Int) throws {
        let inputs = try FileManager.default.contentsOfDirectory(atPath: directory).sorted()
            .map { [UInt8](try Data(contentsOf: URL(filePath: "\(directory)/\($0)"))) }
            .sorted { $0.count < $1.count }
        var packed: [UInt8] = []
        for input in inputs where packed.count + 2 + input.count <= limit {
            packed += [UInt8(input.count >> 8), UInt8(input.count & 255)] + input
        }
        try Data(packed).write(to: URL(filePath: file))
    }

    private static func unpacked(_ file: String) -> [[UInt8]] {
        guard let data = try? Data(contentsOf: URL(filePath: file)) else { return [] }
        var reader = InputReader([UInt8](data))
        var inputs: [[UInt8]] = []
        while !reader.isEmpty { inputs.append(reader.take(Int(reader.u16()))) }
        return inputs
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
