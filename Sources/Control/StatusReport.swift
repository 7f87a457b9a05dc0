// What `sluice status` tells, as a value: the text and the JSON are two views of it.

import FoundationEssentials

struct StatusReport: Codable, Sendable {
    struct Interface: Codable, Sendable {
        var name: String
        var condition: String
        /// What kind of port it is, and in which mode.
        var port: String
        var receivedFrames: UInt64
        var receivedBytes: UInt64
        var sentFrames: UInt64
        var sentBytes: UInt64
        /// Losses, each of which the person would otherwise never see.
        var overruns: UInt64
        var oversized: UInt64
        var failedSends: UInt64
        var sendRetries: UInt64
        /// Frames kept from the kernel, and those it got because the sign of life was stale.
        var claimed: UInt64
        var stale: UInt64
        var offload: Offload?
    }

    /// An interface's part in the offload.
    struct Offload: Codable, Sendable {
        var road: String
        var reason: String
        var carried: UInt64
        /// Of those, before they had a socket buffer; `nil` where there is no XDP program.
        var carriedByXDP: UInt64?
        var handedBack: UInt64
        var failed: UInt64
        /// There are XDP programs, and what they carry cannot leave by this interface.
        var refusesXDP: Bool
    }

    /// Connections whose packets programs in the kernel carry.
    struct CarriedConnections: Codable, Sendable {
        var used: Int
        var capacity: Int
        var refused: UInt64
    }

    struct Fates: Codable, Sendable {
        var origin: String
        var received: UInt64
        var forwarded: UInt64
        var delivered: UInt64
        var waiting: UInt64
        var dropped: UInt64
    }

    struct Drop: Codable, Sendable {
        var sentence: String
        var packets: UInt64
    }

    struct Connections: Codable, Sendable {
        var used: Int
        var capacity: Int
        var earlyDropped: UInt64
        var collected: UInt64
        var refusedWhileFull: UInt64
        var expired: UInt64
    }

    struct Rules: Codable, Sendable {
        var generation: UInt64
        var rules: Int
        var tracksConnections: Bool
        /// By all changes together, and by the last one.
        var chainsCompiled: Int
        var chainsCompiledLast: Int
    }

    /// Packets that took the path of one before them.
    struct StoredPaths: Codable, Sendable {
        var packets: UInt64
        /// With `--verify-fast-path`: those that also walked, and those whose walk led elsewhere.
        var verified: UInt64
        var mismatches: UInt64
    }

    struct Socket: Codable, Sendable {
        var commands: UInt64
        var rubbish: UInt64
        var hungUp: UInt64
    }

    var processID: Int32
    var uptimeSeconds: UInt64
    var onDeath: String
    var takenOver: Bool
    var interfaces: [Interface]
    var vanished: [String]
    var loopbackAdopted: Bool
    var fates: [Fates]
    var drops: [Drop]
    var connections: Connections
    var rules: Rules
    var storedPaths: StoredPaths
    /// `nil` where nothing is offloaded.
    var carriedConnections: CarriedConnections?
    var neighbours: Int
    var socket: Socket

    var json: String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        // Numbers and strings only: encoding them cannot fail.
        guard let data = try? encoder.encode(self) else { return "{}\n" }
        return String(decoding: data, as: UTF8.self) + "\n"
    }
}

extension StatusReport {
    var text: String {
        var lines = [
            "sluice: running for \(uptimeSeconds) s, process \(processID),"
                + " on death \(onDeath)" + (takenOver ? ", kernel rules taken over" : "")
        ]
        lines += interfaces.flatMap(Self.lines)
        for name in vanished { lines.append("interface \(name): gone") }
        lines.append(
            "loopback: "
                + (loopbackAdopted
                    ? "adopted, a rule or a virtual service concerns it" : "left to the kernel"))
        lines.append(
            "rules: \(rules.rules), generation \(rules.generation), connections "
                + (rules.tracksConnections ? "tracked" : "not tracked: no rule needs them"))
        lines.append(
            "stored paths: \(storedPaths.packets) packets took one"
                + (storedPaths.verified == 0
                    ? "" : ", \(storedPaths.verified) verified, \(storedPaths.mismatches) differed")
        )
        if let carried = carriedConnections {
            lines.append(
                "offload: \(carried.used) connections of up to \(carried.capacity)"
                    + (carried.refused == 0
                        ? "" : ", none was free \(carried.refused) times"))
        }
        if rules.generation > 0 {
            lines.append(
                "chains compiled: \(rules.chainsCompiled), \(rules.chainsCompiledLast) by the last change"
            )
        }
        lines.append(
            "connections: \(connections.used) of \(connections.capacity), "
                + "\(connections.expired) expired, \(connections.earlyDropped) dropped early, "
                + "\(connections.collected) collected from 95 % full on, "
                + "\(connections.refusedWhileFull) packets refused while full")
        for fate in fates where fate.received > 0 {
            lines.append(
                "packets \(fate.origin): \(fate.received) in, \(fate.forwarded) sent on, "
                    + "\(fate.delivered) delivered, \(fate.dropped) dropped, \(fate.waiting) waiting"
            )
        }
        for drop in drops { lines.append("  dropped \(drop.packets): \(drop.sentence)") }
        lines.append("neighbours: \(neighbours)")
        lines.append(
            "control socket: \(socket.commands) commands, \(socket.rubbish) clients sent rubbish, "
                + "\(socket.hungUp) hung up")
        return lines.joined(separator: "\n") + "\n"
    }

    private static func lines(_ interface: Interface) -> [String] {
        var lines = [
            "interface \(interface.name): \(interface.condition), \(interface.port), "
                + "in \(interface.receivedFrames) frames \(interface.receivedBytes) bytes, "
                + "out \(interface.sentFrames) frames \(interface.sentBytes) bytes"
        ]
        if let offload = interface.offload {
            lines.append(
                "  offload: \(offload.road), \(offload.reason); \(offload.carried) frames carried, "
                    + (offload.carriedByXDP.map { "\($0) of them in XDP, " } ?? "")
                    + "\(offload.handedBack) came back"
                    + (offload.failed == 0 ? "" : ", \(offload.failed) lost for want of memory")
                    + (offload.refusesXDP
                        ? "; takes nothing from XDP, for its driver or the other end does not" : "")
            )
        }
        let losses = [
            (interface.overruns, "lost: the receive ring was full"),
            (interface.oversized, "lost: larger than a ring slot"),
            (interface.failedSends, "lost: the kernel refused to send them"),
            (interface.stale, "left to the kernel: the sign of life was stale"),
        ]
        for (count, sentence) in losses where count > 0 {
            lines.append("  \(count) \(sentence)")
        }
        return lines
    }
}
