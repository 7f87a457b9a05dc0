// Why a stateless match did not hold, in the words of the comparison that failed.

import Hooks
import Ruleset
import Wire

extension MissText {
    func reason(_ match: StatelessMatch) -> String {
        let view = event.view
        switch match {
        case .iprange(let test): return reason(test)
        case .length(let test): return compare("length", UInt16(view.totalLength), test)
        case .ttl(let test): return reason(test)
        case .tos(let test):
            let seen = hex(view.typeOfService & test.value.mask)
            return "tos \(seen) \(sign(test.inverted)) \(hex(test.value.value))"
        case .dscp(let test):
            return "dscp \(hex(view.typeOfService >> 2)) \(sign(test.inverted)) \(hex(test.value))"
        case .mac(let test): return "the sender's MAC address \(sign(test.inverted)) \(test.value)"
        case .owner(let test): return reason(test)
        case .physdev: return "it is not bridged"
        case .pkttype(let test):
            return "the frame's type \(sign(test.inverted)) \(test.value.rawValue)"
        case .rpfilter(let options):
            return options.contains(.inverted)
                ? "the way back leads out of \(event.inName)"
                : "the way back does not lead out of \(event.inName)"
        case .sctp: return "ports or chunks are not as asked"
        case .dccp: return "ports, type or options are not as asked"
        case .esp, .ah: return "the security parameter index is not as asked"
        }
    }

    private func reason(_ match: IPRangeMatch) -> String {
        let view = event.view
        if let source = match.source, source.value.contains(view.source) == source.inverted {
            return compare("source", view.source, source)
        }
        return match.destination.map { compare("destination", view.destination, $0) } ?? "addresses"
    }

    private func reason(_ match: OwnerMatch) -> String {
        if match.includesSupplementaryGroups, event.userID == nil {
            return "no socket, so no supplementary groups"
        }
        if let users = match.users {
            let holds = event.userID.map { users.value.contains($0) } ?? false
            if holds == users.inverted { return compare("user", event.userID, users) }
        }
        return match.groups.map { compare("group", event.groupID, $0) } ?? "user and group"
    }

    private func reason(_ match: TTLMatch) -> String {
        let relation =
            switch match.comparison {
            case .equal: "≠"
            case .notEqual: "="
            case .less: "≥"
            case .greater: "≤"
            }
        return "ttl \(event.view.timeToLive) \(relation) \(match.value)"
    }

    private func compare<Value>(
        _ name: String, _ actual: Value?, _ test: Invertible<Interval<Value>>
    ) -> String {
        let seen = actual.map { "\($0)" } ?? "(none)"
        let range = test.value
        if range.first == range.last {
            return "\(name) \(seen) \(sign(test.inverted)) \(range.first)"
        }
        return "\(name) \(seen) \(test.inverted ? "∈" : "∉") \(range.first)-\(range.last)"
    }

    private func hex(_ value: UInt8) -> String { "0x" + String(value, radix: 16) }
}

extension TraceText {
    func text(of change: Mangling, _ event: TraceEvent) -> String {
        switch change {
        case .typeOfService(let old):
            "tos        0x\(String(old, radix: 16)) ⇒ 0x\(String(event.view.typeOfService, radix: 16))"
        case .checksumFilled: "checksum   computed"
        case .classified(let priority):
            "class      \(String(priority >> 16, radix: 16)):\(String(priority & 0xFFFF, radix: 16))"
        case .segmentSize(let old?, let new): "mss        \(old) ⇒ \(new)"
        case .segmentSize(nil, let new): "mss        option put in: \(new)"
        }
    }
}
