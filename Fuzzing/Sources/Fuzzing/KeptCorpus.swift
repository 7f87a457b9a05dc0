// A target's kept inputs: one file, each input behind its length in two bytes.

import Foundation

enum KeptCorpus {
    /// The size of a file at most, so that all of them are a few dozen kilobytes.
    private static let limit = 4096

    /// The smallest inputs of a directory, as many as fit.
    static func pack(_ directory: String, into file: String) throws {
        let inputs = try FileManager.default.contentsOfDirectory(atPath: directory).sorted()
            .map { [UInt8](try Data(contentsOf: URL(filePath: "\(directory)/\($0)"))) }
            .sorted { $0.count < $1.count }
        var packed: [UInt8] = []
        for input in inputs where packed.count + 2 + input.count <= limit {
            packed += [UInt8(input.count >> 8), UInt8(input.count & 255)] + input
        }
        try Data(packed).write(to: URL(filePath: file))
    }

    static func unpack(_ file: String, into directory: String) throws {
        var reader = InputReader([UInt8](try Data(contentsOf: URL(filePath: file))))
        var number = 0
        while !reader.isEmpty {
            let input = reader.take(Int(reader.u16()))
            try Data(input).write(to: URL(filePath: "\(directory)/kept-\(number)"))
            number += 1
        }
    }
}
