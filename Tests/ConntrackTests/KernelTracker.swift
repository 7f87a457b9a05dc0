// The kernel as a tracker that can be asked packet by packet: a nameless network namespace with two TAP
// devices. A frame written to a TAP has been routed when write() returns, so what came of it can be
// read at once: the packet, in whose DSCP a rule has written what rules saw, and the entry, by netlink.
//
//   left  10.1.0.2 ── 10.1.0.1 node 10.2.0.1 ── 10.2.0.2  right

import CLinux
import Foundation
import Glibc
import NamespaceFixture
import Testing
import Wire

@testable import Conntrack

private let hasTools = ["ip", "nft", "iptables", "conntrack"].allSatisfy { tool in
    ["/usr/sbin/", "/sbin/", "/usr/bin/", "/bin/"].contains { access($0 + tool, X_OK) == 0 }
}
let canAskKernel = isRoot && hasTools && access("/dev/net/tun", R_OK | W_OK) == 0
let needsKernel: Testing.Comment = "needs root, /dev/net/tun, ip, nft, iptables and conntrack"

final class KernelTracker: @unchecked Sendable {
    enum Side: Int { case left, right }

    private let namespace: Int32
    private var taps: [Int32] = []
    let netlink: Int32
    private var changed: [String: String] = [:]
    private var buffer = [UInt8](repeating: 0, count: 70_000)
    var answer = [UInt8](repeating: 0, count: 1 << 16)

    init(nat: [String] = []) throws {
        let before = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)
        defer { close(before) }
        guard before >= 0, sluice_new_network_namespace() == 0 else {
            throw CommandFailure("unshare", status: errno, output: "")
        }
        defer {
            precondition(
                sluice_enter_network_namespace(before) == 0,
                "a thread must find back to its namespace")
        }
        namespace = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)
        for name in ["left", "right"] { taps.append(try Self.check(sluice_tap_open(name), name)) }
        netlink = try Self.check(
            socket(AF_NETLINK, Int32(SOCK_RAW.rawValue | SOCK_CLOEXEC.rawValue), 12), "netlink")
        try Self.shell(Self.setUp)
        for rule in nat { try Self.shell("iptables -t nat \(rule)") }
    }

    deinit { for file in taps + [netlink, namespace] { close(file) } }

    private static let setUp = """
        sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
        sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0
        ip link set lo up
        for link in left:1 right:2; do
            name=${link%:*} net=10.${link#*:}.0
            sysctl -qw net.ipv4.conf.$name.rp_filter=0 net.ipv4.conf.$name.send_redirects=0
            ip link set $name address 02:00:00:00:01:0${link#*:} txqueuelen 1000 up
            ip address add $net.1/24 dev $name
            ip neigh add $net.2 lladdr 02:00:00:00:00:02 dev $name nud permanent
        done
        nft 'table ip seen { chain seen { type filter hook prerouting priority mangle;
            ct state new ip dscp set 1
            ct state established ip dscp set 2
            ct state related ip dscp set 3
            ct state invalid ip dscp set 4
            ct state untracked ip dscp set 5
        }; }'
        """

    private static func check(_ result: Int32, _ what: String) throws -> Int32 {
        guard result >= 0 else { throw CommandFailure(what, status: errno, output: "") }
        return result
    }

    /// In the calling thread's namespace: `system` forks this very thread.
    private static func shell(_ lines: String) throws {
        let status = system("set -e\n\(lines)\n")
        if status != 0 { throw CommandFailure(lines, status: status, output: "") }
    }

    /// Runs `body` on this thread inside the namespace.
    func inside<R>(_ body: () throws -> R) throws -> R {
        let before = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)
        defer { close(before) }
        guard before >= 0, sluice_enter_network_namespace(namespace) == 0 else {
            throw CommandFailure("setns", status: errno, output: "")
        }
        defer {
            precondition(
                sluice_enter_network_namespace(before) == 0,
                "a thread must find back to its namespace")
        }
        return try body()
    }

    /// For `nsenter`, while this object lives.
    var namespacePath: String { "/proc/\(getpid())/fd/\(namespace)" }

    func shell(_ lines: String) throws { try inside { try Self.shell(lines) } }

    // MARK: Settings

    func set(_ name: String, _ value: String) throws {
        let path = "/proc/sys/" + name.replacing(".", with: "/")
        try inside {
            if changed[name] == nil {
                changed[name] = try String(contentsOfFile: path, encoding: .utf8)
            }
            try value.write(toFile: path, atomically: false, encoding: .utf8)
        }
    }

    /// Puts back what `set` changed.
    func resetSettings() throws {
        let before = changed
        for (name, value) in before { try set(name, value) }
        changed = [:]
    }

    // MARK: Statistics

    /// What `conntrack -S` counts, over all CPUs.
    func statistics() throws -> ConntrackStatistics {
        let text = try inside {
            try String(contentsOfFile: "/proc/thread-self/net/stat/nf_conntrack", encoding: .utf8)
        }
        let lines = text.split(separator: "\n").map { $0.split(separator: " ") }
        var sums: [Substring: UInt64] = [:]
        for line in lines.dropFirst() {
            for (name, value) in zip(lines[0], line) {
                sums[name, default: 0] += UInt64(value, radix: 16) ?? 0
            }
        }
        var statistics = ConntrackStatistics()
        statistics.found = sums["found"] ?? 0
        statistics.invalid = sums["invalid"] ?? 0
        statistics.insert = sums["insert"] ?? 0
        statistics.insertFailed = sums["insert_failed"] ?? 0
        statistics.drop = sums["drop"] ?? 0
        statistics.earlyDrop = sums["early_drop"] ?? 0
        statistics.error = sums["icmp_error"] ?? 0
        statistics.clashResolve = sums["clashres"] ?? 0
        return statistics
    }

    // MARK: Frames

    /// What came of a frame.
    struct Seen {
        /// What rules saw; `nil` where nothing was sent on.
        var state: CTState?
        /// What went out on the other side, from the IP header on, with its DSCP taken out again.
        var packet: [UInt8]?
    }

    /// TAP devices carry the virtio-net header before every frame.
    private static let offloadHeader = 10

    func send(_ frame: Frame, on side: Side) throws -> Seen {
        drain()
        var bytes = [UInt8](repeating: 0, count: Self.offloadHeader) + frame.bytes
        bytes.replaceSubrange(10..<16, with: [2, 0, 0, 0, 1, UInt8(side.rawValue) + 1])
        bytes.replaceSubrange(16..<22, with: [2, 0, 0, 0, 0, 2])
        guard write(taps[side.rawValue], bytes, bytes.count) == bytes.count else {
            throw CommandFailure("write", status: errno, output: "")
        }
        guard var packet = receive(on: side == .left ? .right : .left) else {
            return Seen(state: nil, packet: nil)
        }
        let states: [UInt8: CTState] = [
            1: .new, 2: .established, 3: .related, 4: .invalid, 5: .untracked,
        ]
        let state = states[packet[1] >> 2]
        Self.clearService(&packet)
        return Seen(state: state, packet: packet)
    }

    private static func clearService(_ packet: inout [UInt8]) {
        packet[1] = 0
        packet[10] = 0
        packet[11] = 0
        var sum = InternetChecksum()
        sum.add(packet.span.bytes, 0..<20)
        packet[10] = UInt8(sum.complemented >> 8)
        packet[11] = UInt8(sum.complemented & 255)
    }

    private func drain() {
        while receive(on: .left) != nil {}
        while receive(on: .right) != nil {}
    }

    /// The next IPv4 packet that went out on a side.
    func receive(on side: Side) -> [UInt8]? {
        while true {
            let count = read(taps[side.rawValue], &buffer, buffer.count)
            guard count > 0 else { return nil }
            if count >= 44, buffer[22] == 8, buffer[23] == 0 { return Array(buffer[24..<count]) }
        }
    }
}
