// `sluice status`: one look at the packet thread between two rounds, then words.

import CLinux
import Dataplane
import Glibc
import Offload
import PacketIO
import Ruleset
import Wire

extension Daemon {
    func status(_ request: ControlRequest) -> ControlReply {
        let wantsJSON = request.arguments == ["--json"]
        guard wantsJSON || request.arguments.isEmpty else {
            return .done(.refused("status takes no argument but --json"))
        }
        do throws(PacketThreadFailure) {
            let report = try statusReport()
            return .done(CommandOutput(output: wantsJSON ? report.json : report.text))
        } catch {
            return .done(.refused("\(error)"))
        }
    }

    func statusReport() throws(PacketThreadFailure) -> StatusReport {
        let look = try packets.perform { node in NodeLook(node) }
        let sockets = server?.statistics ?? ControlStatistics()
        let count = rules.tables.reduce(0) { sum, table in
            sum + table.chains.reduce(0) { $0 + $1.rules.count }
        }
        return StatusReport(
            processID: getpid(), uptimeSeconds: (sluice_monotonic() - startedAt) / 1_000_000_000,
            onDeath: configuration.onDeath.rawValue, takenOver: state.savedRules != nil,
            interfaces: look.interfaces, vanished: look.vanished,
            loopbackAdopted: look.loopbackAdopted, fates: look.fates, drops: look.drops,
            connections: look.connections,
            rules: .init(
                generation: generation, rules: count, tracksConnections: look.tracks,
                chainsCompiled: compiler.statistics.chainsCompiled,
                chainsCompiledLast: compiler.lastCompiled.count),
            storedPaths: look.storedPaths, carriedConnections: look.carried,
            neighbours: look.neighbours,
            socket: .init(
                commands: sockets.commands, rubbish: sockets.rubbish + sockets.oversized,
                hungUp: sockets.hungUp + sockets.idle))
    }
}

/// What the packet thread knows, copied between two rounds.
private struct NodeLook: Sendable {
    var interfaces: [StatusReport.Interface]
    var vanished: [String]
    var loopbackAdopted: Bool
    var fates: [StatusReport.Fates]
    var drops: [StatusReport.Drop]
    var connections: StatusReport.Connections
    var tracks: Bool
    var storedPaths: StatusReport.StoredPaths
    var carried: StatusReport.CarriedConnections?
    var neighbours: Int

    init(_ node: Node) {
        interfaces =
            node.adopted.map { Self.interface($0, node.offload) }
            + (node.host.map { [Self.interface($0)] } ?? [])
        vanished = node.vanished
        loopbackAdopted = node.adopted.contains { $0.isLoopback }
        let counters = node.dataplane.counters
        fates = [
            Self.fates("from interfaces", counters.interface),
            Self.fates("from the node's sockets", counters.host),
            Self.fates("made by Sluice", counters.node),
        ]
        drops = DropReason.allCases.map { reason in
            StatusReport.Drop(
                sentence: reason.description, packets: counters.drops(reason))
        }.filter { $0.packets > 0 }
        let table = node.connections
        connections = StatusReport.Connections(
            used: table.count, capacity: table.capacity, earlyDropped: table.statistics.earlyDrop,
            collected: table.statistics.collected,
            refusedWhileFull: table.statistics.tableFull, expired: table.statistics.expired)
        let engine = node.dataplane.engine
        tracks = engine.needsTracking
        storedPaths = StatusReport.StoredPaths(
            packets: engine.storedPathUses, verified: engine.verifiedPaths,
            mismatches: engine.pathMismatches)
        carried = node.offload.map {
            StatusReport.CarriedConnections(
                used: $0.summary.connections, capacity: $0.summary.capacity,
                refused: $0.summary.refused)
        }
        neighbours = node.dataplane.neighbours.count
    }

    private static func interface(
        _ adopted: Node.Adopted, _ offload: FlowOffload?
    ) -> StatusReport.Interface {
        let claim = adopted.claim?.statistics
        var look = interface(
            adopted.name, adopted.port, claimed: claim?.claimed ?? 0, stale: claim?.stale ?? 0)
        look.offload = offload.map { Self.offload(adopted, $0) }
        return look
    }

    private static func offload(
        _ adopted: Node.Adopted, _ offload: FlowOffload
    ) -> StatusReport.Offload {
        let interface = adopted.port.interface
        let (tc, xdp) = offload.statistics(interface)
        let road = offload.roads[interface]
        let reason =
            road?.reason
            ?? (adopted.isLoopback
                ? "the node's own packets walk" : "a TAP has no ingress of the kernel's")
        return StatusReport.Offload(
            road: road?.hook.rawValue ?? "off", reason: reason,
            carried: tc.carried + (xdp?.carried ?? 0), carriedByXDP: xdp?.carried,
            handedBack: tc.handedBack, failed: tc.failed + (xdp?.failed ?? 0),
            refusesXDP: offload.roads.values.contains { $0.hook == .xdp } && road != nil
                && !offload.takers.contains(interface))
    }

    private static func interface(_ host: HostPort) -> StatusReport.Interface {
        interface(
            "\(host.name) (the node's sockets)", host, claimed: 0,
            stale: host.programStatistics.rerouted)
    }

    private static func interface(
        _ name: String, _ port: any FramePort, claimed: UInt64, stale: UInt64
    ) -> StatusReport.Interface {
        let statistics = port.statistics
        return StatusReport.Interface(
            name: name, condition: port.condition.words, port: Self.words(port),
            receivedFrames: statistics.receivedFrames, receivedBytes: statistics.receivedBytes,
            sentFrames: statistics.sentFrames, sentBytes: statistics.sentBytes,
            overruns: statistics.overruns, oversized: statistics.oversized,
            failedSends: statistics.failedSends, sendRetries: statistics.sendRetries,
            claimed: claimed, stale: stale)
    }

    private static func words(_ port: any FramePort) -> String {
        switch port {
        case let port as XDPPort:
            let queues = port.queueCount
            return "af-xdp \(port.mode)" + (queues == 1 ? "" : " by \(queues) queues")
        case is PacketPort: return "af-packet"
        default: return "tap"
        }
    }

    private static func fates(_ origin: String, _ tally: Tally) -> StatusReport.Fates {
        StatusReport.Fates(
            origin: origin, received: tally.received, forwarded: tally.forwarded,
            delivered: tally.delivered, waiting: tally.waiting, dropped: tally.drops.total)
    }
}

extension PortCondition {
    fileprivate var words: String {
        switch self {
        case .up: "up"
        case .down: "down"
        case .gone: "gone"
        case .exhausted: "at its end"
        case .failed(let number): SystemError("use it", number: number).reason
        }
    }
}
