// What `ipvsadm -L` and `-S` print, byte for byte as ipvsadm 1.31 does.

import Conntrack
import Ruleset
import Wire

/// What was counted for the services when somebody asked.
public struct ServiceCounts: Sendable {
    struct Server: Sendable {
        var load: ServerLoad
        var rates: ServerRates
    }
    struct Service: Sendable {
        var traffic: ServerTraffic
        var rates: ServerRates
        /// Parallel to the service's servers.
        var servers: [Server]
    }

    private(set) var services: [ServiceKey: Service] = [:]

    public init() {}

    /// A look at a director; between packets.
    public init(_ director: Director) {
        for service in director.services.services {
            let (traffic, rates) = director.counted(of: service.key)
            services[service.key] = Service(
                traffic: traffic, rates: rates,
                servers: service.servers.map { server in
                    let (load, rates) = director.counted(of: server, in: service.key)
                    return Server(load: load, rates: rates)
                })
        }
    }
}

public struct IPVSText {
    private let format: IPVSFormat
    private let isSave: Bool
    private let counts: ServiceCounts
    private let resolver: any NameResolver

    public init(
        _ format: IPVSFormat, isSave: Bool = false, counts: ServiceCounts,
        resolver: any NameResolver
    ) {
        self.format = format
        self.isSave = isSave
        self.counts = counts
        self.resolver = resolver
    }

    /// The table. The size is that of the kernel's default hash table, which scripts may look for.
    public func table(_ services: VirtualServices) -> String {
        var text = isSave ? "" : "IP Virtual Server version 1.2.1 (size=4096)\n" + title
        var sorted = services.services
        if format.isSorted { sorted = mergeSorted(sorted, by: Self.order) }
        for service in sorted { text += entry(service) }
        return text
    }

    /// One service of it.
    public func table(_ service: VirtualService) -> String { title + entry(service) }

    private var title: String {
        func columns(_ names: [String]) -> String {
            Self.left("Prot LocalAddress:Port", 33)
                + names.map { " " + Self.right($0, 8) }.joined()
                + "\n  -> RemoteAddress:Port\n"
        }
        switch format.columns {
        case .load:
            return "Prot LocalAddress:Port Scheduler Flags\n"
                + "  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn\n"
        case .tunnels:
            return "Prot LocalAddress:Port Scheduler Flags\n"
                + "  -> RemoteAddress:Port           Forward TunnelInfo    Weight ActiveConn"
                + " InActConn\n"
        case .traffic: return columns(["Conns", "InPkts", "OutPkts", "InBytes", "OutBytes"])
        case .rates: return columns(["CPS", "InPPS", "OutPPS", "InBPS", "OutBPS"])
        case .thresholds:
            return "Prot LocalAddress:Port            Uthreshold Lthreshold ActiveConn InActConn \n"
                + "  -> RemoteAddress:Port\n"
        case .persistent:
            return
                "Prot LocalAddress:Port            Weight    PersistConn ActiveConn InActConn \n"
                + "  -> RemoteAddress:Port\n"
        }
    }

    // MARK: A service

    private func entry(_ service: VirtualService) -> String {
        let counted = counts.services[service.key]
        let name = serviceName(service)
        var text: String
        if isSave {
            text = "-A \(name) -s \(service.scheduler)" + savedOptions(service) + "\n"
        } else if format.columns == .traffic {
            text = Self.left(name, 33) + numbers(counted?.traffic ?? ServerTraffic()) + "\n"
        } else if format.columns == .rates {
            text = Self.left(name, 33) + numbers(counted?.rates ?? ServerRates()) + "\n"
        } else {
            text = "\(name) \(service.scheduler)" + listedOptions(service) + "\n"
        }
        var servers = Array(service.servers.enumerated())
        if format.isSorted { servers = mergeSorted(servers) { Self.order($0.element, $1.element) } }
        for (position, server) in servers {
            let counted = counted.map { $0.servers[position] }
            text += line(server, service, name, counted?.load ?? ServerLoad(), counted?.rates)
        }
        return text
    }

    private func serviceName(_ service: VirtualService) -> String {
        switch service.key {
        case .mark(let mark): return isSave ? "-f \(mark)" : "FWM  \(mark)"
        case .address(let `protocol`, let address, let port):
            let name = endpoint(address, port, `protocol`)
            if isSave { return (`protocol` == .tcp ? "-t " : "-u ") + name }
            // svc_name is cut at the width of its column.
            return Self.cut((`protocol` == .tcp ? "TCP  " : "UDP  ") + name, 33)
        }
    }

    private func savedOptions(_ service: VirtualService) -> String {
        var text = ""
        if let persistence = service.persistence {
            text += " -p \(persistence.timeout.rawValue)"
            if persistence.mask != .max { text += " -M \(IPv4Address(rawValue: persistence.mask))" }
        }
        let flags = flagNames(service)
        return text + (flags.isEmpty ? "" : " -b \(flags)")
    }

    private func listedOptions(_ service: VirtualService) -> String {
        let flags = flagNames(service)
        var text = flags.isEmpty ? "" : " (\(flags))"
        if let persistence = service.persistence {
            text += " persistent \(persistence.timeout.rawValue)"
            if persistence.mask != .max {
                text += " mask \(IPv4Address(rawValue: persistence.mask))"
            }
        }
        return text
    }

    private func flagNames(_ service: VirtualService) -> String {
        let hashes = service.scheduler == "sh" || service.scheduler == "mh"
        let names =
            hashes
            ? ["\(service.scheduler)-fallback", "\(service.scheduler)-port"]
            : ["flag-1", "flag-2", "flag-3"]
        let flags: [SchedulerFlags] = [.fallback, .port, .third]
        return zip(flags, names).filter { service.flags.contains($0.0) }.map(\.1)
            .joined(separator: ",")
    }

    // MARK: A server

    private func line(
        _ server: RealServer, _ service: VirtualService, _ serviceName: String, _ load: ServerLoad,
        _ rates: ServerRates?
    ) -> String {
        var transport = IPProtocol.tcp
        if case .address(let `protocol`, _, _) = service.key { transport = `protocol` }
        let name = endpoint(server.address, server.port, transport)
        if isSave { return "-a \(serviceName) -r \(name) -m -w \(server.weight)\n" }
        func fields(_ values: [(any BinaryInteger, Int)]) -> String {
            values.map { " " + Self.left("\($0.0)", $0.1) }.joined()
        }
        let start = "  -> " + Self.left(Self.cut(name, 28), 28)
        let weight = Self.left("\(server.weight)", 6)
        let connections = fields([(load.active, 10), (load.inactive, 10)])
        switch format.columns {
        case .load: return "\(start) Masq    \(weight)\(connections)\n"
        case .tunnels: return "\(start) Masq    n/a           \(weight)\(connections)\n"
        case .traffic: return start + numbers(load.traffic) + "\n"
        case .rates: return start + serverNumbers(rates ?? ServerRates()) + "\n"
        case .thresholds:
            return start + fields([(server.upperThreshold, 10), (server.lowerThreshold, 10)])
                + connections + "\n"
        case .persistent:
            return start + fields([(server.weight, 9), (load.clients, 11)]) + connections + "\n"
        }
    }

    func endpoint(_ address: IPv4Address, _ port: Port, _ transport: IPProtocol) -> String {
        if format.isNumeric { return "\(address):\(port)" }
        let host = resolver.host(address: address) ?? "\(address)"
        let name = transport == .tcp ? "tcp" : transport == .udp ? "udp" : nil
        let service = name.flatMap { resolver.service(port: port, transport: $0) } ?? "\(port)"
        // addrport_to_anyname has room for so much.
        return Self.cut("\(host):\(service)", 59)
    }

    // MARK: Numbers

    private func numbers(_ traffic: ServerTraffic) -> String {
        [
            traffic.connections, traffic.packetsIn, traffic.packetsOut, traffic.bytesIn,
            traffic.bytesOut,
        ].map(large).joined()
    }

    private func numbers(_ rates: ServerRates) -> String {
        [rates.connections, rates.packetsIn, rates.packetsOut, rates.bytesIn, rates.bytesOut]
            .map(large).joined()
    }

    /// Connections and packets of a server are never shortened.
    private func serverNumbers(_ rates: ServerRates) -> String {
        [rates.connections, rates.packetsIn, rates.packetsOut]
            .map { " " + Self.right("\($0)", 8) }.joined()
            + large(rates.bytesIn) + large(rates.bytesOut)
    }

    /// `print_largenum`.
    private func large(_ number: UInt64) -> String {
        if format.isExact { return " " + Self.right("\(number)", 8) }
        return switch number {
        case ..<100_000_000: Self.right("\(number)", 9)
        case ..<1_000_000_000: Self.right("\(number / 1000)", 8) + "K"
        case ..<100_000_000_000: Self.right("\(number / 1_000_000)", 8) + "M"
        case ..<100_000_000_000_000: Self.right("\(number / 1_000_000_000)", 8) + "G"
        default: Self.right("\(number / 1_000_000_000_000)", 8) + "T"
        }
    }

    static func left(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.utf8.count))
    }

    static func right(_ text: String, _ width: Int) -> String {
        String(repeating: " ", count: max(0, width - text.utf8.count)) + text
    }

    private static func cut(_ text: String, _ width: Int) -> String {
        text.utf8.count <= width ? text : String(decoding: text.utf8.prefix(width), as: UTF8.self)
    }

    // MARK: Order

    /// ipvsadm subtracts where it compares, so that addresses more than half of all addresses apart stand the
    /// other way around: 192.168.0.1 before 10.0.0.1.
    private static func order(_ a: VirtualService, _ b: VirtualService) -> Int32 {
        switch (a.key, b.key) {
        case (.mark(let a), .mark(let b)): return Int32(bitPattern: a &- b)
        case (.mark(let mark), _): return Int32(bitPattern: mark)
        case (_, .mark(let mark)): return Int32(bitPattern: 0 &- mark)
        case (
            .address(let protocolA, let addressA, let portA),
            .address(let protocolB, let addressB, let portB)
        ):
            if protocolA != protocolB {
                return Int32(protocolA.rawValue) - Int32(protocolB.rawValue)
            }
            return order(addressA, portA, addressB, portB)
        }
    }

    private static func order(_ a: RealServer, _ b: RealServer) -> Int32 {
        order(a.address, a.port, b.address, b.port)
    }

    private static func order(
        _ a: IPv4Address, _ portA: Port, _ b: IPv4Address, _ portB: Port
    ) -> Int32 {
        if a != b { return Int32(bitPattern: a.rawValue &- b.rawValue) }
        return Int32(portA.rawValue) - Int32(portB.rawValue)
    }
}

/// glibc's qsort, which is a merge sort: the comparison is none of an order, so that the way of sorting shows.
func mergeSorted<Element>(
    _ elements: [Element], by order: (Element, Element) -> Int32
) -> [Element] {
    guard elements.count > 1 else { return elements }
    let half = elements.count / 2
    let first = mergeSorted(Array(elements[..<half]), by: order)
    let second = mergeSorted(Array(elements[half...]), by: order)
    var merged: [Element] = []
    var (left, right) = (0, 0)
    while left < first.count, right < second.count {
        if order(first[left], second[right]) <= 0 {
            merged.append(first[left])
            left += 1
        } else {
            merged.append(second[right])
            right += 1
        }
    }
    return merged + first[left...] + second[right...]
}
