// `ipvsadm`: virtual services are edited here as plain values and swapped at a batch boundary, as rules are. What
// was counted is read between two rounds.

import CLinux
import Conntrack
import Ruleset
import VirtualServer
import Wire

extension Daemon {
    func ipvsadm(_ request: ControlRequest) -> ControlReply {
        do throws(IPVSOutcome) {
            let resolver = SystemNameResolver()
            let wanted = try IPVSCommand.parse(request.arguments, resolver: resolver)
            let answer: IPVSOutcome
            do throws(PacketThreadFailure) {
                answer = try carryOut(wanted, request, resolver)
            } catch {
                throw IPVSOutcome(error: "ipvsadm: \(error)\n", status: 2)
            }
            return .done(CommandOutput(answer))
        } catch {
            return .done(CommandOutput(error))
        }
    }

    private func carryOut(
        _ wanted: IPVSRequest, _ request: ControlRequest, _ resolver: SystemNameResolver
    ) throws(PacketThreadFailure) -> IPVSOutcome {
        switch wanted {
        case .list(let key, let format): return try list(key, format, resolver)
        case .save(let format):
            let text = IPVSText(format, isSave: true, counts: ServiceCounts(), resolver: resolver)
            return IPVSOutcome(output: text.table(virtualServices))
        case .connections(let format):
            let text = IPVSText(format, counts: ServiceCounts(), resolver: resolver)
            return IPVSOutcome(output: text.connections(try directedConnections()))
        case .timeouts:
            let settings = try packets.perform { node in node.connections.settings }
            let (tcp, fin, udp) = (
                settings.tcpTimeoutEstablished, settings.tcpTimeoutFinWait,
                settings.udpTimeoutStream
            )
            return IPVSOutcome(
                output: "Timeout (tcp tcpfin udp):"
                    + " \(tcp.rawValue) \(fin.rawValue) \(udp.rawValue)\n")
        case .daemons: return IPVSOutcome()
        case .restore:
            var changed = virtualServices
            let text = String(decoding: request.standardInput, as: UTF8.self)
            let (outcome, zeroed) = changed.restore(text, try environment(resolver))
            try install(changed, zeroing: zeroed)
            return outcome
        default:
            var changed = virtualServices
            if let refusal = changed.carryOut(wanted, try environment(resolver)) { return refusal }
            if case .zero(let key) = wanted {
                try install(changed, zeroing: [key])
            } else {
                try install(changed)
            }
            return IPVSOutcome()
        }
    }

    private func environment(
        _ resolver: SystemNameResolver
    ) throws(PacketThreadFailure) -> IPVSEnvironment {
        let routes = try packets.perform { node in node.dataplane.engine.routes }
        return IPVSEnvironment(
            resolver: resolver,
            isUnicast: { address in
                let type = routes.addressType(address, interface: nil)
                return type == .unicast || type == .local
            })
    }

    private func install(
        _ changed: VirtualServices, zeroing zeroed: [ServiceKey?] = []
    ) throws(PacketThreadFailure) {
        try packets.perform { node in
            let director = node.dataplane.engine.director
            director.follow(changed, now: Self.now())
            for key in zeroed { director.zero(key) }
        }
        virtualServices = changed
        do throws(Refusal) { try followLoopback() } catch {
            Self.say("the services stand, but the loopback is not adopted: \(error)")
        }
    }

    private func list(
        _ key: ServiceKey?, _ format: IPVSFormat, _ resolver: SystemNameResolver
    ) throws(PacketThreadFailure) -> IPVSOutcome {
        let counts = try packets.perform { node in
            node.dataplane.engine.director.expire(now: Self.now(), limit: .max)
            return ServiceCounts(node.dataplane.engine.director)
        }
        let text = IPVSText(format, counts: counts, resolver: resolver)
        guard let key else { return IPVSOutcome(output: text.table(virtualServices)) }
        guard let service = virtualServices[key] else {
            return IPVSOutcome(error: "No such service\n", status: 1)
        }
        return IPVSOutcome(output: text.table(service))
    }

    /// In slices between rounds of the packet thread, as `conntrack -L` walks the table.
    private func directedConnections() throws(PacketThreadFailure) -> [DirectedConnection] {
        var all: [DirectedConnection] = []
        var cursor: UInt32? = 0
        while let from = cursor {
            let (found, next) = try packets.perform { node in
                var found: [DirectedConnection] = []
                let next = node.connections.forEach(from: from, limit: 1024, now: Self.now()) {
                    if let line = DirectedConnection($0, node.connections) { found.append(line) }
                }
                return (found, next)
            }
            all += found
            cursor = next
        }
        return try all
            + packets.perform { node in
                node.dataplane.engine.director.keptClients(now: Self.now())
            }
    }
}

extension CommandOutput {
    init(_ outcome: IPVSOutcome) {
        self.init(
            output: outcome.output, error: outcome.error,
            status: UInt8(truncatingIfNeeded: outcome.status))
    }
}
