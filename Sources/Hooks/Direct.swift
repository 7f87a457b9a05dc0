// A new connection whose destination no rule of the nat table has bound is shown to the virtual services: where
// `statistic` would have chosen among DNAT rules, a scheduler does. From there on it is destination NAT as any other.

import Conntrack
import Ruleset
import VirtualServer
import Wire

/// What the virtual services made of a new connection.
enum DirectorVerdict {
    case noService
    /// Its destination is bound to a server.
    case bound
    case refused(Disposition)
}

extension HookEngine {
    /// What a client still sends to a server that was removed (ip_vs_in).
    func dropLost(_ id: ConnectionID, _ packet: Packet) -> Disposition? {
        guard packet.tracked.direction == .original, connections.hasLostServer(id) else {
            return nil
        }
        if director.settings.endsConnections, counting { connections.delete(id, now: now) }
        return .drop(.serverRemoved)
    }

    func direct<O: WalkObserver>(
        _ id: ConnectionID, _ packet: Packet, _ observer: inout O
    ) -> DirectorVerdict {
        guard let connection = NewConnection(packet),
            let scheduling = director.choose(connection, now: now, counting: counting)
        else { return .noService }
        observer.note(packet, .scheduled(scheduling))
        switch scheduling.outcome {
        case .server(let address, let port, _):
            if let reason = connections.bind(
                id, .destination, range: NATRange(address, ports: port...port), now: now)
            {
                return .refused(.drop(reason))
            }
            if counting, let account = scheduling.account {
                connections.charge(
                    id, to: account, client: scheduling.client, bytes: packet.view.totalLength)
            }
            return .bound
        case .nobody:
            // Port unreachable for TCP too: no socket has seen the SYN (ip_vs_leave).
            return .refused(.answer(.icmp(type: 3, code: 3, information: 0), .noServer))
        case .noRoom: return .refused(.drop(.noServer))
        }
    }
}

extension NewConnection {
    /// `nil` for a packet that no service wants: neither TCP nor UDP, or TCP in the middle of a connection
    /// (tcp_conn_schedule).
    fileprivate init?(_ packet: Packet) {
        let view = packet.view
        guard packet.tracked.state == .new else { return nil }
        switch view.transport {
        case .tcp: guard view.tcpFlags.contains(.syn) else { return nil }
        case .udp: break
        default: return nil
        }
        self.init(
            protocol: view.protocol, client: view.source, clientPort: view.sourcePort,
            destination: view.destination, destinationPort: view.destinationPort,
            mark: packet.mark)
    }
}
