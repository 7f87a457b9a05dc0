// Sockets for the lab's servers: the pointers of the socket calls end here. IPv4 only.

import Glibc

/// What a non-blocking read or write came to.
enum Transfer: Equatable {
    case moved(Int)
    case wouldBlock
    /// The other side has closed, or the connection broke.
    case ended
}

struct Socket {
    let descriptor: Int32

    static func listening(address: String, port: UInt16) throws(LabError) -> Socket {
        let socket = try bound(address: address, port: port, type: Int32(SOCK_STREAM.rawValue))
        guard listen(socket.descriptor, 4096) == 0 else {
            throw LabError("cannot listen on port \(port): \(errorText(errno))")
        }
        return socket
    }

    static func datagram(address: String, port: UInt16) throws(LabError) -> Socket {
        try bound(address: address, port: port, type: Int32(SOCK_DGRAM.rawValue))
    }

    private static func bound(
        address text: String, port: UInt16, type: Int32
    ) throws(LabError) -> Socket {
        guard var address = Self.address(text, port: port) else {
            throw LabError("\"\(text)\" is not an IPv4 address")
        }
        let flags = Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        let descriptor = socket(AF_INET, type | flags, 0)
        guard descriptor >= 0 else {
            throw LabError("cannot create a socket: \(errorText(errno))")
        }
        var yes: Int32 = 1
        unsafe setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, 4)
        let result = unsafe withUnsafePointer(to: &address) {
            unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0 else {
            let reason = errorText(errno)
            Glibc.close(descriptor)
            throw LabError("cannot bind port \(port): \(reason)")
        }
        return Socket(descriptor: descriptor)
    }

    static func address(_ text: String, port: UInt16) -> sockaddr_in? {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        guard unsafe inet_pton(AF_INET, text, &address.sin_addr) == 1 else { return nil }
        return address
    }

    /// Sends a SYN and forgets about it; whether that could be done.
    static func beginConnection(to address: sockaddr_in) throws(LabError) -> Bool {
        let flags = Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | flags, 0)
        guard descriptor >= 0 else {
            throw LabError("cannot create a socket: \(errorText(errno))")
        }
        defer { Glibc.close(descriptor) }
        let result = unsafe withUnsafePointer(to: address) {
            unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        return result == 0 || errno == EINPROGRESS
    }

    /// The next client and where it comes from as `address:port`, or nil when none waits.
    func accept() -> (socket: Socket, peer: String)? {
        var address = sockaddr_in()
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let client = unsafe withUnsafeMutablePointer(to: &address) {
            unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe Glibc.accept(descriptor, $0, &length)
            }
        }
        guard client >= 0 else { return nil }
        _ = fcntl(client, F_SETFL, O_NONBLOCK)
        _ = fcntl(client, F_SETFD, FD_CLOEXEC)
        let host = UInt32(bigEndian: address.sin_addr.s_addr)
        let bytes = [24, 16, 8, 0].map { String(host >> $0 & 0xFF) }
        let port = UInt16(bigEndian: address.sin_port)
        return (Socket(descriptor: client), bytes.joined(separator: ".") + ":\(port)")
    }

    func read(into buffer: inout [UInt8]) -> Transfer {
        Self.outcome(unsafe recv(descriptor, &buffer, buffer.count, 0))
    }

    func write(_ bytes: ArraySlice<UInt8>) -> Transfer {
        Self.outcome(
            unsafe bytes.withUnsafeBytes {
                unsafe send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            })
    }

    /// Sends every waiting datagram back to where it came from.
    func echoDatagrams(through buffer: inout [UInt8]) {
        while true {
            var address = sockaddr_storage()
            var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
            let more = unsafe withUnsafeMutablePointer(to: &address) {
                unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { peer in
                    let count = unsafe recvfrom(
                        descriptor, &buffer, buffer.count, 0, peer, &length)
                    guard count >= 0 else { return false }
                    unsafe sendto(descriptor, buffer, count, 0, peer, length)
                    return true
                }
            }
            guard more else { return }
        }
    }

    func close() { Glibc.close(descriptor) }

    private static func outcome(_ result: Int) -> Transfer {
        if result > 0 { return .moved(result) }
        return result < 0 && (errno == EAGAIN || errno == EINTR) ? .wouldBlock : .ended
    }
}

/// Waits until one of the sockets can be used; the answer has one entry per socket.
func waitForSockets(_ sockets: [(socket: Socket, writing: Bool)]) -> [Bool] {
    var watched = sockets.map {
        pollfd(
            fd: $0.socket.descriptor, events: Int16($0.writing ? POLLOUT : POLLIN), revents: 0)
    }
    guard unsafe poll(&watched, nfds_t(watched.count), -1) > 0 else {
        return [Bool](repeating: false, count: watched.count)
    }
    return watched.map { $0.revents != 0 }
}
