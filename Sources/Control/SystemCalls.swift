// The system calls of the control path that take a path or fill a structure, each wrapped once: strings
// in, values or errors out. With `Descriptor` and `WorkerThread` the only unsafe code of this room; every
// pointer here lives for one call.

import CLinux
import Glibc

enum SystemCalls {
    static func open(
        _ path: String, _ flags: Int32, mode: mode_t = 0o600, to operation: String = "open"
    ) throws(SystemError) -> Descriptor {
        let number = unsafe Glibc.open(path, flags | O_CLOEXEC, mode)
        guard number >= 0 else { throw .current(operation, path) }
        return Descriptor(owning: number)
    }

    static func exists(_ path: String) -> Bool { unsafe access(path, F_OK) == 0 }
    static func isReadable(_ path: String) -> Bool { unsafe access(path, R_OK) == 0 }
    static func isExecutable(_ path: String) -> Bool { unsafe access(path, X_OK) == 0 }

    /// Throws what opening it as a directory meets.
    static func requireDirectory(_ path: String) throws(SystemError) {
        _ = try open(path, O_RDONLY | O_DIRECTORY, to: "open the directory")
    }

    static func makeDirectory(_ path: String) throws(SystemError) {
        guard unsafe mkdir(path, 0o700) == 0 || errno == EEXIST else {
            throw .current("create the directory", path)
        }
    }

    static func isDirectory(_ path: String) -> Bool {
        (try? requireDirectory(path)) != nil
    }

    /// The names in a directory, in no order.
    static func entries(of path: String) throws(SystemError) -> [String] {
        guard let directory = unsafe opendir(path) else {
            throw .current("read the directory", path)
        }
        defer { unsafe closedir(directory) }
        var names: [String] = []
        while let entry = unsafe readdir(directory) {
            // The name ends with a zero within the entry.
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
                unsafe String(cString: UnsafeRawPointer($0).assumingMemoryBound(to: CChar.self))
            }
            names.append(name)
        }
        return names
    }

    /// Tells of files in a directory that are written, made, moved or removed.
    static func watch(_ path: String) throws(SystemError) -> Descriptor {
        let descriptor = Descriptor(
            owning: try check(inotify_init1(Int32(IN_CLOEXEC)), "watch directories"))
        let events = IN_CLOSE_WRITE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE | IN_DELETE_SELF
        guard unsafe inotify_add_watch(descriptor.number, path, UInt32(events)) >= 0 else {
            throw .current("watch the directory", path)
        }
        return descriptor
    }

    /// The machine's name up to the first dot, as `hostname -s` says it.
    static func hostName() -> String {
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: 256) { buffer, count in
            let taken = unsafe buffer.withMemoryRebound(to: CChar.self) { characters in
                guard let start = characters.baseAddress else { return false }
                return unsafe gethostname(start, characters.count) == 0
            }
            count = taken ? unsafe buffer.firstIndex(of: 0) ?? 0 : 0
        }
        return String(decoding: bytes.prefix { $0 != UInt8(ascii: ".") }, as: UTF8.self)
            .lowercased()
    }

    static func removeFile(_ path: String) { unsafe unlink(path) }
    /// Only an empty one goes.
    static func removeDirectory(_ path: String) { unsafe rmdir(path) }

    static func rename(_ old: String, to new: String) throws(SystemError) {
        guard unsafe Glibc.rename(old, new) == 0 else { throw .current("replace", new) }
    }

    static func makeLink(at link: String, to target: String) throws(SystemError) {
        guard unsafe symlink(target, link) == 0 else { throw .current("make the link", link) }
    }

    /// `nil` where `path` is no symbolic link.
    static func linkTarget(_ path: String) -> String? {
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: Int(PATH_MAX)) { buffer, count in
            let length = unsafe buffer.withMemoryRebound(to: CChar.self) { characters in
                guard let start = characters.baseAddress else { return 0 }
                return unsafe readlink(path, start, characters.count)
            }
            count = max(0, length)
        }
        return bytes.isEmpty ? nil : String(decoding: bytes, as: UTF8.self)
    }

    static func networkNamespaceCookie() throws(SystemError) -> UInt64 {
        var cookie: UInt64 = 0
        let result = unsafe sluice_network_namespace_cookie(&cookie)
        try check(result, "identify the network namespace (Linux 5.14)")
        return cookie
    }

    static func currentDirectory() -> String {
        guard let path = unsafe getcwd(nil, 0) else { return "/" }
        defer { unsafe free(path) }
        return unsafe String(cString: path)
    }

    static func text(of error: Int32) -> String { unsafe String(cString: strerror(error)) }

    static func secondsEastOfUTC() -> Int {
        var seconds = time(nil)
        var local = unsafe tm()
        guard unsafe localtime_r(&seconds, &local) != nil else { return 0 }
        return unsafe local.tm_gmtoff
    }

    /// 0 where there is no such interface.
    static func interfaceIndex(_ name: String) -> UInt32 { unsafe if_nametoindex(name) }

    /// Effective capabilities; none where they cannot be read.
    static func capabilities() -> UInt64 {
        var bits: UInt64 = 0
        _ = unsafe sluice_capabilities(&bits)
        return bits
    }

    /// How many CPUs this thread may use, and the last of them.
    static func usableCPUs() -> (count: Int32, last: UInt32) {
        var last: UInt32 = 0
        let count = unsafe sluice_usable_cpus(&last)
        return (count, last)
    }

    // MARK: Unix sockets

    static func listen(_ name: String) throws(SystemError) -> Descriptor {
        let bytes = name.utf8.map { CChar(bitPattern: $0) }
        let result = unsafe sluice_listen_abstract(bytes, bytes.count)
        return Descriptor(owning: try check(result, "bind the control socket"))
    }

    static func connect(_ name: String) throws(SystemError) -> Descriptor {
        let bytes = name.utf8.map { CChar(bitPattern: $0) }
        let result = unsafe sluice_connect_abstract(bytes, bytes.count)
        return Descriptor(owning: try check(result, "connect to the daemon"))
    }

    static func peer(of descriptor: Descriptor) -> PeerCredentials? {
        var user: UInt32 = 0
        var process: Int32 = 0
        guard unsafe sluice_peer(descriptor.number, &user, &process) == 0 else { return nil }
        return PeerCredentials(userID: user, processID: process)
    }
}
