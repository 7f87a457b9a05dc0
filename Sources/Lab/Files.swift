// Small files, environment and C strings: the few places where Lab touches memory by pointer.
// Whole files only; nothing here is meant for data that does not fit in memory.

import CLinux
import Glibc

func errorText(_ code: Int32) -> String { unsafe String(cString: strerror(code)) }

extension StringProtocol {
    /// Without white space at either end.
    var trimmed: String {
        let ends: (Character) -> Bool = { $0.isWhitespace }
        return String(drop(while: ends).reversed().drop(while: ends).reversed())
    }
}

/// The whole file from its beginning, whatever the descriptor's position.
func readAll(_ file: Int32) -> String {
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while true {
        let count = unsafe pread(file, &chunk, chunk.count, bytes.count)
        guard count > 0 else { break }
        bytes += chunk[..<count]
    }
    return String(decoding: bytes, as: UTF8.self)
}

/// One write: how many bytes were taken, or a negative number.
func writeSome(_ bytes: ArraySlice<UInt8>, to file: Int32) -> Int {
    unsafe bytes.withUnsafeBytes { unsafe write(file, $0.baseAddress, $0.count) }
}

@discardableResult
func writeAll(_ text: String, to file: Int32) -> Bool {
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
        let count = writeSome(rest, to: file)
        guard count > 0 else { return false }
        rest = rest.dropFirst(count)
    }
    return true
}

func openFile(_ path: String, _ flags: Int32, mode: mode_t = 0o644) throws(LabError) -> Int32 {
    let file = unsafe open(path, flags | O_CLOEXEC, mode)
    guard file >= 0 else { throw LabError("cannot open \(path): \(errorText(errno))") }
    return file
}

func readFile(_ path: String) throws(LabError) -> String {
    let file = try openFile(path, O_RDONLY)
    defer { close(file) }
    return readAll(file)
}

func writeFile(_ path: String, _ text: String, mode: mode_t = 0o644) throws(LabError) {
    let file = try openFile(path, O_WRONLY | O_CREAT | O_TRUNC, mode: mode)
    defer { close(file) }
    guard writeAll(text, to: file) else {
        throw LabError("cannot write \(path): \(errorText(errno))")
    }
}

/// The names in a directory, or nothing where there is no such directory.
func directoryEntries(_ path: String) -> [String] {
    guard let directory = unsafe opendir(path) else { return [] }
    defer { unsafe closedir(directory) }
    var names: [String] = []
    while let entry = unsafe readdir(directory) {
        let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
            unsafe $0.withMemoryRebound(to: CChar.self, capacity: 256) {
                unsafe String(cString: $0)
            }
        }
        if name != "." && name != ".." { names.append(name) }
    }
    return names.sorted()
}

func fileExists(_ path: String) -> Bool { unsafe access(path, F_OK) == 0 }

/// Where a chain of symbolic links ends.
func resolvedPath(_ path: String) -> String? {
    guard let resolved = unsafe realpath(path, nil) else { return nil }
    defer { unsafe free(resolved) }
    return unsafe String(cString: resolved)
}

func currentEnvironment() -> [String: String] {
    var variables: [String: String] = [:]
    var next = unsafe sluice_environment()
    while let pointer = unsafe next, let entry = unsafe pointer.pointee {
        let text = unsafe String(cString: entry)
        if let equals = text.firstIndex(of: "=") {
            variables[String(text[..<equals])] = String(text[text.index(after: equals)...])
        }
        unsafe next = pointer + 1
    }
    return variables
}

/// Calls `body` with a null-terminated vector of C strings.
func withCStrings<R>(
    _ strings: [String], _ body: (UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> R
) -> R {
    var vector = unsafe strings.map { unsafe strdup($0) }
    unsafe vector.append(nil)
    // By index: the formatter joins `for unsafe string` into one word.
    defer {
        for index in unsafe vector.indices { unsafe free(vector[index]) }
    }
    return unsafe vector.withUnsafeMutableBufferPointer { unsafe body($0.baseAddress!) }
}

func linkTarget(_ path: String) -> String? {
    var bytes = [UInt8](repeating: 0, count: 4096)
    let count = unsafe bytes.withUnsafeMutableBytes {
        unsafe readlink(path, $0.baseAddress!.assumingMemoryBound(to: CChar.self), $0.count)
    }
    return count > 0 ? String(decoding: bytes[..<count], as: UTF8.self) : nil
}

/// Makes a directory and those above it.
func makeDirectories(_ path: String) throws(LabError) {
    var prefix = ""
    for part in path.split(separator: "/") {
        prefix += "/" + part
        guard unsafe mkdir(prefix, 0o755) == 0 || errno == EEXIST else {
            throw LabError("cannot create the directory \(prefix): \(errorText(errno))")
        }
    }
}

/// The next line from a pipe, or nil at its end or when none comes in time.
func readLine(_ file: Int32, milliseconds: Int32) -> String? {
    var bytes: [UInt8] = []
    while true {
        var watched = pollfd(fd: file, events: Int16(POLLIN), revents: 0)
        guard unsafe poll(&watched, 1, milliseconds) > 0 else { return nil }
        var byte: UInt8 = 0
        guard unsafe read(file, &byte, 1) == 1 else { return nil }
        if byte == UInt8(ascii: "\n") { return String(decoding: bytes, as: UTF8.self) }
        bytes.append(byte)
    }
}

func makePipe() throws(LabError) -> (reading: Int32, writing: Int32) {
    var ends: [Int32] = [-1, -1]
    guard unsafe pipe(&ends) == 0 else {
        throw LabError("cannot create a pipe: \(errorText(errno))")
    }
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    return (ends[0], ends[1])
}

func makeLink(_ path: String, to target: String) throws(LabError) {
    guard unsafe symlink(target, path) == 0 else {
        throw LabError("cannot create the link \(path): \(errorText(errno))")
    }
}

func renameFile(_ path: String, to other: String) throws(LabError) {
    guard unsafe rename(path, other) == 0 else {
        throw LabError("cannot rename \(path): \(errorText(errno))")
    }
}

func removeFile(_ path: String) { unsafe unlink(path) }

/// Removes a directory; one that somebody has put something into stays.
func removeEmptyDirectory(_ path: String) { unsafe rmdir(path) }

func changeDirectory(_ path: String) { unsafe chdir(path) }

func setVariable(_ name: String, _ value: String) { unsafe setenv(name, value, 1) }

func mount(_ type: String, at target: String, _ options: String = "") -> Int32 {
    unsafe sluice_mount(type, target, options)
}

func bindMount(_ source: String, at target: String) -> Int32 {
    unsafe sluice_bind_mount(source, target)
}

/// Whether `other` begins with `bytes`.
func isPrefix(_ bytes: ArraySlice<UInt8>, of other: ArraySlice<UInt8>) -> Bool {
    guard other.count >= bytes.count, !bytes.isEmpty else { return bytes.isEmpty }
    return unsafe bytes.withUnsafeBytes { bytes in
        unsafe other.withUnsafeBytes { other in
            unsafe memcmp(bytes.baseAddress!, other.baseAddress!, bytes.count) == 0
        }
    }
}
