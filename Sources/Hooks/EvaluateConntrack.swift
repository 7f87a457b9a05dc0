// `-m state` and `-m conntrack` (net/netfilter/xt_conntrack.c, conntrack_mt).

import Conntrack
import Routing
import Ruleset
import Wire

extension HookEngine {
    /// The packet's state as a set: one of the five, and SNAT and DNAT beside it.
    func connectionStates(_ packet: Packet) -> ConnectionStates {
        // A template is a connection that nobody has seen yet.
        if packet.template != nil { return .new }
        var states: ConnectionStates =
            switch packet.tracked.state {
            case .new: .new
            case .established: .established
            case .related: .related
            case .invalid: .invalid
            case .untracked: .untracked
            }
        guard let id = packet.tracked.connection else { return states }
        let status = connections.status(id)
        if status.contains(.sourceNAT) { states.insert(.snat) }
        if status.contains(.destinationNAT) { states.insert(.dnat) }
        return states
    }

    func evaluate(_ match: ConntrackMatch, _ packet: Packet) -> Bool {
        if let states = match.states,
            states.value.isDisjoint(with: connectionStates(packet)) != states.inverted
        {
            return false
        }
        // Without a connection only a question about the state can be answered with yes.
        guard let id = packet.tracked.connection,
            let original = connections.tuple(id, .original),
            let reply = connections.tuple(id, .reply)
        else { return match.states != nil }
        if let direction = match.direction,
            (direction == .original) != (packet.tracked.direction == .original)
        {
            return false
        }
        return holdsAddresses(match, original, reply) && holdsPorts(match, original, reply)
            && holdsStatus(match, id)
    }

    private func holdsAddresses(_ match: ConntrackMatch, _ original: Tuple, _ reply: Tuple) -> Bool
    {
        func holds(_ test: AddressMatch?, _ address: IPv4Address) -> Bool {
            test.map { $0.network.contains(address) != $0.inverted } ?? true
        }
        return holds(match.originalSource, original.source)
            && holds(match.originalDestination, original.destination)
            && holds(match.replySource, reply.source)
            && holds(match.replyDestination, reply.destination)
    }

    private func holdsPorts(_ match: ConntrackMatch, _ original: Tuple, _ reply: Tuple) -> Bool {
        func holds(_ test: Invertible<PortRange>?, _ port: Port) -> Bool {
            test.map { $0.value.contains(port) != $0.inverted } ?? true
        }
        if let test = match.protocol, (test.value == original.protocol) == test.inverted {
            return false
        }
        return holds(match.originalSourcePorts, original.sourcePort)
            && holds(match.originalDestinationPorts, original.destinationPort)
            && holds(match.replySourcePorts, reply.sourcePort)
            && holds(match.replyDestinationPorts, reply.destinationPort)
    }

    private func holdsStatus(_ match: ConntrackMatch, _ id: ConnectionID) -> Bool {
        if let test = match.statuses {
            let status = ConnectionStatuses(
                rawValue: UInt8(truncatingIfNeeded: connections.status(id).rawValue))
            if test.value.isDisjoint(with: status) != test.inverted { return false }
        }
        if let test = match.expires {
            let left = connections.timeout(id, now: now).rawValue
            if test.value.contains(left) == test.inverted { return false }
        }
        return true
    }
}
