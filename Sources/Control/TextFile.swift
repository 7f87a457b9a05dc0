// Files that a person names: read whole, with a bound, and refused in words where they are no files.

import Glibc

public enum TextFile {
    public enum Failure: Error, Hashable, Sendable, CustomStringConvertible {
        case directory(String)
        case tooLarge(String, limit: Int)
        case system(SystemError)

        public var description: String {
            switch self {
            case .directory(let path): "\(path) is a directory; a file was expected"
            case .tooLarge(let path, let limit):
                "\(path) is larger than \(limit >> 20) MiB"
            case .system(let error): error.description
            }
        }

        /// Without the name: what stands behind "cannot open NAME: ".
        public var reason: String {
            switch self {
            case .directory: "Is a directory"
            case .tooLarge(_, let limit): "larger than \(limit >> 20) MiB"
            case .system(let error): error.reason
            }
        }
    }

    public static func read(_ path: String, limit: Int = 64 << 20) throws(Failure) -> [UInt8] {
        let descriptor: Descriptor
        do { descriptor = try SystemCalls.open(path, O_RDONLY) } catch { throw .system(error) }
        return try read(descriptor, path, limit: limit)
    }

    public static func standardInput() throws(Failure) -> [UInt8] {
        try read(
            Descriptor(owning: dup(STDIN_FILENO)), "standard input",
            limit: ControlLimits().inputBytes)
    }

    /// Reads an open file to its end; `path` is what messages call it.
    static func read(
        _ descriptor: Descriptor, _ path: String, limit: Int
    ) throws(Failure) -> [UInt8] {
        var bytes: [UInt8] = []
        while bytes.count <= limit {
            switch descriptor.read(appendingTo: &bytes, limit: 1 << 18) {
            case .bytes, .wouldBlock: continue
            case .endOfFile: return bytes
            case .failed(EISDIR): throw .directory(path)
            case .failed(let number): throw .system(SystemError("read", path, number: number))
            }
        }
        throw .tooLarge(path, limit: limit)
    }

    /// Replaces `path` in one step: a reader sees the old text or the new one.
    public static func write(_ text: String, to path: String) throws(SystemError) {
        let temporary = path + ".new"
        let descriptor = try SystemCalls.open(
            temporary, O_WRONLY | O_CREAT | O_TRUNC, to: "create")
        guard Descriptor.writeAll(Array(text.utf8), to: descriptor.number),
            fsync(descriptor.number) == 0
        else { throw .current("write", temporary) }
        try SystemCalls.rename(temporary, to: path)
    }
}
