// The names that the machine knows: /etc/services, /etc/protocols, /etc/hosts, /etc/networks, /etc/passwd and
// whatever else nsswitch.conf names, through the C library. It refuses nothing and caches nothing;
// the C functions used here share static buffers, so one lock stands around all of them.

import Glibc
import Synchronization
import Wire

public struct SystemNameResolver: NameResolver {
    private static let libraryBuffers = Mutex<Void>(())

    public init() {}

    public func port(service: String, transport: String?) -> Port? {
        Self.libraryBuffers.withLock { _ in
            guard let entry = unsafe getservbyname(service, transport) else { return nil }
            return unsafe Port(UInt16(truncatingIfNeeded: entry.pointee.s_port).byteSwapped)
        }
    }

    public func service(port: Port, transport: String?) -> String? {
        Self.libraryBuffers.withLock { _ in
            guard let entry = unsafe getservbyport(Int32(port.rawValue.bigEndian), transport),
                let name = unsafe entry.pointee.s_name
            else { return nil }
            return unsafe String(cString: name)
        }
    }

    public func number(protocolName: String) -> IPProtocol? {
        Self.libraryBuffers.withLock { _ in
            guard let entry = unsafe getprotobyname(protocolName) else { return nil }
            return unsafe UInt8(exactly: entry.pointee.p_proto).map(IPProtocol.init(rawValue:))
        }
    }

    public func name(protocolNumber: IPProtocol) -> String? {
        Self.libraryBuffers.withLock { _ in
            guard let entry = unsafe getprotobynumber(Int32(protocolNumber.rawValue)),
                let name = unsafe entry.pointee.p_name
            else { return nil }
            return unsafe String(cString: name)
        }
    }

    public func addresses(host: String) -> [IPv4Address] {
        if let network = Self.network(named: host) { return [network] }
        var hints = unsafe addrinfo()
        unsafe hints.ai_family = AF_INET
        unsafe hints.ai_socktype = Int32(SOCK_RAW.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        guard unsafe getaddrinfo(host, nil, &hints, &list) == 0 else { return [] }
        defer { unsafe freeaddrinfo(list) }
        var found: [IPv4Address] = []
        var next = unsafe list
        while let entry = unsafe next {
            if let address = unsafe entry.pointee.ai_addr {
                let value = unsafe address.withMemoryRebound(to: sockaddr_in.self, capacity: 1) {
                    unsafe $0.pointee.sin_addr.s_addr
                }
                found.append(IPv4Address(rawValue: UInt32(bigEndian: value)))
            }
            unsafe next = entry.pointee.ai_next
        }
        return found
    }

    public func host(address: IPv4Address) -> String? {
        var socketAddress = sockaddr_in()
        socketAddress.sin_family = sa_family_t(AF_INET)
        socketAddress.sin_addr.s_addr = address.rawValue.bigEndian
        var buffer = [CChar](repeating: 0, count: Int(NI_MAXHOST))
        let status = unsafe withUnsafePointer(to: socketAddress) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe getnameinfo(
                    $0, socklen_t(MemoryLayout<sockaddr_in>.size), &buffer,
                    socklen_t(buffer.count), nil, 0, NI_NAMEREQD)
            }
        }
        if status == 0 {
            return String(
                decoding: buffer.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        }
        return Self.networkName(address)
    }

    public func userID(named name: String) -> UInt32? {
        Self.libraryBuffers.withLock { _ in
            guard let entry = unsafe getpwnam(name) else { return nil }
            return unsafe entry.pointee.pw_uid
        }
    }

    public func userName(_ userID: UInt32) -> String? {
        Self.libraryBuffers.withLock { _ in
            guard let entry = unsafe getpwuid(userID), let name = unsafe entry.pointee.pw_name
            else { return nil }
            return unsafe String(cString: name)
        }
    }

    public func groupID(named name: String) -> UInt32? {
        Self.libraryBuffers.withLock { _ in
            guard let entry = unsafe getgrnam(name) else { return nil }
            return unsafe entry.pointee.gr_gid
        }
    }

    public func groupName(_ groupID: UInt32) -> String? {
        Self.libraryBuffers.withLock { _ in
            guard let entry = unsafe getgrgid(groupID), let name = unsafe entry.pointee.gr_name
            else { return nil }
            return unsafe String(cString: name)
        }
    }

    private static func network(named name: String) -> IPv4Address? {
        libraryBuffers.withLock { _ in
            guard let entry = unsafe getnetbyname(name) else { return nil }
            return unsafe IPv4Address(rawValue: entry.pointee.n_net)
        }
    }

    private static func networkName(_ address: IPv4Address) -> String? {
        libraryBuffers.withLock { _ in
            guard let entry = unsafe getnetbyaddr(address.rawValue, AF_INET),
                let name = unsafe entry.pointee.n_name
            else { return nil }
            return unsafe String(cString: name)
        }
    }
}
