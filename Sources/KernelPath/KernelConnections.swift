// The kernel's connections as the lines that conntrack prints of them, and their events as they happen.
// Read from ctnetlink by this process itself: a program that listened for it would outlive it if it were
// killed, and nobody could say when it has seen the last event.

import CLinux
import Netlink

struct KernelConnections {
    private let events: NetlinkSocket
    private let requests: NetlinkSocket

    /// Opened inside the namespace, before the first packet.
    init() throws(NetlinkError) {
        // NFNLGRP_CONNTRACK_NEW, UPDATE, DESTROY.
        events = try NetlinkSocket(.netfilter, groups: [1, 2, 3], receiveBuffer: 64 << 20)
        requests = try NetlinkSocket(.netfilter)
    }

    /// The lines of `conntrack -E` since the last call.
    func takeEvents() throws(NetlinkError) -> [String] {
        var lines: [String] = []
        while let messages = try events.receive() {
            for message in messages { lines.append(Self.label(of: message) + text(message)) }
        }
        return lines
    }

    /// The lines of `conntrack -L -o extended`.
    func list() throws(NetlinkError) -> [String] {
        let request = NetlinkRequest(
            type: Netfilter.conntrack << 8 | 1, flags: 0, header: Netfilter.header(family: 2))
        return try requests.dump(request, "list the kernel's connections").map {
            "ipv4     2 " + text($0)
        }
    }

    private static func label(of message: NetlinkMessage) -> String {
        if message.type & 0xFF == 2 { return "[DESTROY] " }
        // NLM_F_CREATE: the first event of an entry.
        return message.flags & 0x400 != 0 ? "    [NEW] " : " [UPDATE] "
    }

    /// In the order of libnetfilter_conntrack's own lines (src/conntrack/snprintf_default.c).
    private func text(_ message: NetlinkMessage) -> String {
        let entry = message.attributes(after: Netfilter.headerSize)
        let original = ConnectionTuple(entry[1])
        let status = entry[3]?.bigEndian32() ?? 0
        let name = ConnectionTuple.names[original.protocolNumber] ?? "unknown"
        var words = [
            name + String(repeating: " ", count: max(0, 8 - name.utf8.count)),
            "\(original.protocolNumber)",
        ]
        if let timeout = entry[7] { words.append("\(timeout.bigEndian32())") }
        if let state = Self.state(NetlinkAttributes(entry[4])) { words.append(state) }
        words += original.words
        if let zone = original.zone { words.append("zone-orig=\(zone)") }
        // IPS_SEEN_REPLY, IPS_ASSURED.
        if status & 2 == 0 { words.append("[UNREPLIED]") }
        let reply = ConnectionTuple(entry[2])
        words += reply.words
        if let zone = reply.zone { words.append("zone-reply=\(zone)") }
        if status & 4 != 0 { words.append("[ASSURED]") }
        if let mark = entry[8] { words.append("mark=\(mark.bigEndian32())") }
        if let zone = entry[18] { words.append("zone=\(zone.bigEndian16())") }
        if let use = entry[11] { words.append("use=\(use.bigEndian32())") }
        return words.joined(separator: " ")
    }

    private static func state(_ information: NetlinkAttributes) -> String? {
        if let tcp = information[1] {
            let names = [
                "NONE", "SYN_SENT", "SYN_RECV", "ESTABLISHED", "FIN_WAIT", "CLOSE_WAIT",
                "LAST_ACK", "TIME_WAIT", "CLOSE", "SYN_SENT2",
            ]
            let state = Int(NetlinkAttributes(tcp)[1]?.u8(0) ?? 0)
            return state < names.count ? names[state] : nil
        }
        if let sctp = information[3] {
            let names = [
                "NONE", "CLOSED", "COOKIE_WAIT", "COOKIE_ECHOED", "ESTABLISHED", "SHUTDOWN_SENT",
                "SHUTDOWN_RECD", "SHUTDOWN_ACK_SENT", "HEARTBEAT_SENT", "HEARTBEAT_ACKED",
            ]
            let state = Int(NetlinkAttributes(sctp)[1]?.u8(0) ?? 0)
            return state < names.count ? names[state] : nil
        }
        return nil
    }
}

/// One direction of an entry.
private struct ConnectionTuple {
    static let names: [UInt8: String] = [
        1: "icmp", 6: "tcp", 17: "udp", 33: "dccp", 47: "gre", 132: "sctp", 136: "udplite",
    ]

    var protocolNumber: UInt8 = 0
    var words: [String] = []
    var zone: UInt16?

    init(_ attribute: NetlinkBytes?) {
        let tuple = NetlinkAttributes(attribute)
        let addresses = NetlinkAttributes(tuple[1])
        let ports = NetlinkAttributes(tuple[2])
        protocolNumber = ports[1]?.u8(0) ?? 0
        zone = tuple[3]?.bigEndian16()
        for (name, address) in [("src", addresses[1]), ("dst", addresses[2])] {
            if let address = address?.address() { words.append("\(name)=\(address)") }
        }
        switch protocolNumber {
        case 1:
            words += [("type", 5), ("code", 6)].map { "\($0.0)=\(ports[$0.1]?.u8(0) ?? 0)" }
            words.append("id=\(ports[4]?.bigEndian16() ?? 0)")
        case 47:
            words += [("srckey", 2), ("dstkey", 3)].map {
                "\($0.0)=0x\(String(ports[$0.1]?.bigEndian16() ?? 0, radix: 16))"
            }
        default:
            // Only protocols that have ports show them.
            guard Self.names[protocolNumber] != nil else { break }
            words += [("sport", 2), ("dport", 3)].map {
                "\($0.0)=\(ports[$0.1]?.bigEndian16() ?? 0)"
            }
        }
    }
}
