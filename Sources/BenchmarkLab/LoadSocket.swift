// TCP sockets that wait at most three seconds for anything, so that a road that carries nothing ends as an error.

import CLinux
import Glibc
import Lab
import Wire

/// A socket of IPv4 and TCP. Closed by whoever made it.
struct LoadSocket: Sendable {
    let descriptor: Int32

    private static let patience = timeval(tv_sec: 3, tv_usec: 0)

    private init() throws(LabError) {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw Self.failure("create a socket") }
        setUp()
    }

    private init(accepted descriptor: Int32) {
        self.descriptor = descriptor
        setUp()
    }

    private func setUp() {
        var yes: Int32 = 1
        unsafe setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &yes, 4)
        unsafe setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, 4)
        var patience = Self.patience
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
            unsafe setsockopt(
                descriptor, SOL_SOCKET, option, &patience,
                socklen_t(MemoryLayout<timeval>.size))
        }
    }

    static func listening(on port: UInt16) throws(LabError) -> LoadSocket {
        let socket = try LoadSocket()
        guard
            unsafe socket.with(
                IPv4Address(rawValue: 0), port, { unsafe bind(socket.descriptor, $0, $1) })
                == 0,
            listen(socket.descriptor, 4096) == 0
        else {
            let failure = failure("listen on port \(port)")
            socket.close()
            throw failure
        }
        return socket
    }

    static func connected(to address: IPv4Address, port: UInt16) throws(LabError) -> LoadSocket {
        let socket = try LoadSocket()
        guard unsafe socket.with(address, port, { unsafe connect(socket.descriptor, $0, $1) }) == 0
        else {
            // What a socket with a limited patience says when it has none left.
            let failure =
                errno == EINPROGRESS
                ? LabError("\(address):\(port) does not answer")
                : failure("connect to \(address):\(port)")
            socket.close()
            throw failure
        }
        return socket
    }

    private func with(
        _ address: IPv4Address, _ port: UInt16,
        _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
    ) -> Int32 {
        var name = sockaddr_in()
        name.sin_family = sa_family_t(AF_INET)
        name.sin_port = port.bigEndian
        name.sin_addr.s_addr = address.rawValue.bigEndian
        return unsafe withUnsafePointer(to: name) { name in
            unsafe name.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }

    /// The next connection; `nil` when none came in three seconds or the socket was ended.
    func accept() -> LoadSocket? {
        let client = Glibc.accept(descriptor, nil, nil)
        return client < 0 ? nil : LoadSocket(accepted: client)
    }

    /// How many bytes were read; 0 at the end, negative when nothing came for three seconds.
    func receive(into buffer: inout [UInt8], flags: Int32 = 0) -> Int {
        unsafe recv(descriptor, &buffer, buffer.count, flags)
    }

    /// Whether all of it was taken.
    func send(_ bytes: [UInt8]) -> Bool {
        unsafe bytes.withUnsafeBytes { bytes in
            unsafe Glibc.send(descriptor, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL))
                == bytes.count
        }
    }

    /// Ends what threads wait for on it.
    func end() { shutdown(descriptor, Int32(SHUT_RDWR)) }

    func close() { Glibc.close(descriptor) }

    /// Which of some sockets have something to read; after three seconds none.
    static func readable(_ sockets: [LoadSocket]) -> [Bool] {
        var watched = sockets.map { pollfd(fd: $0.descriptor, events: Int16(POLLIN), revents: 0) }
        let count = unsafe poll(&watched, nfds_t(watched.count), Int32(patience.tv_sec) * 1000)
        return watched.map { count > 0 && $0.revents != 0 }
    }

    private static func failure(_ operation: String) -> LabError {
        LabError("cannot \(operation): \(unsafe String(cString: strerror(errno)))")
    }
}
