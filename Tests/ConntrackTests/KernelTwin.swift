// A router in a namespace whose kernel tracks connections, between two wires on which the test puts
// frames byte by byte; and a table beside it that sees the same frames at the same time.
//
//   left  10.1.0.2 ── 10.1.0.1 node 10.2.0.1 ── 10.2.0.2  right

import CLinux
import Foundation
import Glibc
import NamespaceFixture
import Testing
import Wire

@testable import Conntrack

private let hasTools = ["ip", "conntrack", "iptables"].allSatisfy { tool in
    ["/usr/sbin/", "/sbin/", "/usr/bin/", "/bin/"].contains { access($0 + tool, X_OK) == 0 }
}
let canAskKernel = isRoot && hasTools
let needsKernel: Testing.Comment = "needs root, ip, iptables and conntrack"

final class KernelTwin {
    enum Side: Int { case left, right }

    let node: Namespace
    private let wires: Namespace
    private var sockets: [Int32] = []
    private var macs: [[UInt8]] = []
    private var packetsSeen = 0
    let table: ConnectionTable
    private let begin = sluice_monotonic()

    /// Time since the twin began, for the table.
    var now: Timestamp { Timestamp(nanoseconds: sluice_monotonic() - begin) }

    init(settings: ConntrackSettings = ConntrackSettings(), nat: [String] = []) throws {
        node = try Namespace("node")
        wires = try Namespace("wires")
        table = ConnectionTable(capacity: 1024, settings: settings, seed: 1)
        for (near, far, prefix) in [("left", "wire0", "10.1.0"), ("right", "wire1", "10.2.0")] {
            try addLink(wires, far, node, near)
            for key in [
                "net.ipv6.conf.\(near).disable_ipv6=1", "net.ipv4.conf.\(near).rp_filter=0",
            ] {
                try node.shell("sysctl -qw \(key)")
            }
            try wires.shell("sysctl -qw net.ipv6.conf.\(far).disable_ipv6=1")
            try node.shell("ip address add \(prefix).1/24 dev \(near)")
            try node.shell("ip link set \(near) up")
            try wires.shell("ip link set \(far) up")
            try node.shell(
                "ip neigh add \(prefix).2 lladdr 02:00:00:00:00:02 dev \(near) nud permanent")
            macs.append(try Self.mac(node.shell("cat /sys/class/net/\(near)/address")))
            sockets.append(try wires.inside { try Self.open(far) })
        }
        try node.shell("sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0")
        for rule in nat { try node.shell("iptables -t nat \(rule)") }
        for state in Self.states {
            try node.shell("iptables -t mangle -A PREROUTING -m conntrack --ctstate \(state)")
        }
    }

    deinit { for socket in sockets { close(socket) } }

    private static let states = ["NEW", "ESTABLISHED", "RELATED", "INVALID", "UNTRACKED"]

    private static func mac(_ text: String) throws -> [UInt8] {
        let bytes = text.split { $0 == ":" || $0 == "\n" }.compactMap { UInt8($0, radix: 16) }
        guard bytes.count == 6 else { throw CommandFailure("MAC address", status: 0, output: text) }
        return bytes
    }

    private static func open(_ interface: String) throws -> Int32 {
        let everything = UInt16(ETH_P_ALL).bigEndian
        let file = socket(AF_PACKET, Int32(SOCK_RAW.rawValue), Int32(everything))
        var address = sockaddr_ll()
        address.sll_family = UInt16(AF_PACKET)
        address.sll_protocol = everything
        address.sll_ifindex = Int32(if_nametoindex(interface))
        let bound = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(file, $0, socklen_t(MemoryLayout<sockaddr_ll>.size))
            }
        }
        guard file >= 0, bound == 0 else {
            throw CommandFailure("socket", interface, status: errno, output: "")
        }
        return file
    }

    // MARK: Frames

    /// Puts a frame on a wire and waits until the node has tracked it; what its rules saw.
    func send(_ frame: Frame, on side: Side) throws -> String {
        var bytes = frame.bytes
        bytes.replaceSubrange(0..<6, with: macs[side.rawValue])
        bytes.replaceSubrange(6..<12, with: [2, 0, 0, 0, 0, 2])
        guard Glibc.send(sockets[side.rawValue], bytes, bytes.count, 0) == bytes.count else {
            throw CommandFailure("send", status: errno, output: "")
        }
        for _ in 0..<1000 {
            let (seen, total) = try counters()
            if total > packetsSeen {
                packetsSeen = total
                return seen
            }
        }
        throw CommandFailure("send", status: 0, output: "the node never saw the frame")
    }

    /// The state whose rule counted, and how many packets were counted in all; zeroes.
    private func counters() throws -> (String, Int) {
        let lines = try node.shell("iptables -t mangle -nvxL PREROUTING").split(separator: "\n")
        var total = 0
        var changed = "?"
        for (index, line) in lines.dropFirst(2).enumerated() {
            let count = Int(line.split(separator: " ")[0]) ?? 0
            total += count
            if count > counted[index] { changed = Self.states[index] }
            counted[index] = count
        }
        return (changed, total)
    }
    private var counted = [0, 0, 0, 0, 0]

    /// The next IPv4 frame that the node sent to a wire, padded as received; `nil` after a second.
    func receive(on side: Side) -> [UInt8]? {
        var buffer = [UInt8](repeating: 0, count: 65_600)
        for _ in 0..<20 {
            var waiting = pollfd(fd: sockets[side.rawValue], events: Int16(POLLIN), revents: 0)
            guard poll(&waiting, 1, 1000) == 1 else { return nil }
            let count = recv(sockets[side.rawValue], &buffer, buffer.count, 0)
            if count > 34, buffer[12] == 8, buffer[13] == 0 { return Array(buffer[0..<count]) }
        }
        return nil
    }

    // MARK: Entries

    /// The kernel's entries of one protocol and client port, as `conntrack -L` shows them.
    func kernelEntries(_ filter: String) throws -> [String] {
        try node.shell("conntrack -L \(filter)").split(separator: "\n").map(String.init)
    }

    func tableEntries(_ filter: String) -> [String] {
        let words = ("-L " + filter).split(separator: " ").map(String.init)
        guard case .request(let request) = ConntrackCommand(parsing: words) else { return [filter] }
        let time = now
        let options = ConntrackTextOptions(now: time, wallClock: sluice_realtime())
        var lines: [String] = []
        _ = table.forEach(from: 0, limit: table.capacity, now: time) { record in
            if request.filter.matches(record) { lines.append(ConntrackText.line(record, options)) }
        }
        return lines
    }

    /// Equal but for the seconds that pass between the two looks. An entry about to expire is left
    /// out: a slow machine may see it on one side only.
    static func agree(_ kernel: [String], _ table: [String]) -> Bool {
        let (kernel, table) = (comparable(kernel), comparable(table))
        guard kernel.count == table.count else { return false }
        return zip(kernel, table).allSatisfy { mine, theirs in
            mine.text == theirs.text && abs(mine.timeout - theirs.timeout) <= slack
        }
    }

    /// Below the shortest of conntrack's timeouts (10 s), above what a loaded machine loses.
    private static let slack = 3

    /// In an order that a second more or less does not change. Events of the end have no timeout.
    private static func comparable(_ lines: [String]) -> [(text: String, timeout: Int)] {
        lines.map { line in
            var words = line.split(separator: " ")
            let timeout = words.count > 2 ? Int(words[2]) : nil
            if timeout != nil { words.remove(at: 2) }
            return (words.joined(separator: " "), timeout ?? .max)
        }.filter { $0.timeout > slack }.sorted { $0.text < $1.text }
    }
}
