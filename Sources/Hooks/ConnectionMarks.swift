// What rules say to connection tracking: marks (net/netfilter/xt_connmark.c) and, before it looks at the
// packet, zones, events and NOTRACK (net/netfilter/xt_CT.c).

import Conntrack
import Ruleset
import Wire

extension HookEngine {
    /// The mark of the packet's connection; `nil` where it has none. A packet that waits for tracking
    /// with a template has the template's, which is 0.
    func connectionMark(_ packet: Packet) -> UInt32? {
        guard let id = packet.tracked.connection else { return packet.template == nil ? nil : 0 }
        return packet.triedMark ?? connections.mark(id)
    }

    func evaluate(_ test: Invertible<MarkTest>, ofConnection packet: Packet) -> Bool {
        // Without a connection neither the test nor its opposite holds.
        guard let mark = connectionMark(packet) else { return false }
        return (mark & test.value.mask == test.value.value) != test.inverted
    }

    func apply<O: WalkObserver>(
        _ target: ConnmarkTarget, _ packet: inout Packet, _ observer: inout O
    ) {
        guard let old = connectionMark(packet) else { return }
        switch target.mode {
        case .set(let value):
            let mark = target.shifted((old & ~target.connectionMask) ^ value)
            setConnectionMark(mark, from: old, &packet, &observer)
        case .save:
            let saved = target.shifted(packet.mark & target.packetMask)
            setConnectionMark(
                (old & ~target.connectionMask) ^ saved, from: old, &packet, &observer)
        case .restore:
            let before = packet.mark
            let restored = target.shifted(old & target.connectionMask)
            packet.mark = (before & ~target.packetMask) ^ restored
            observer.note(packet, .markChanged(from: before))
        }
    }

    private func setConnectionMark<O: WalkObserver>(
        _ mark: UInt32, from old: UInt32, _ packet: inout Packet, _ observer: inout O
    ) {
        guard let id = packet.tracked.connection else { return }
        if counting {
            connections.setMark(id, mark)
        } else {
            // A dry run sees its own mark and leaves the connection's as it is.
            packet.triedMark = mark
        }
        observer.note(packet, .connectionMarkChanged(from: old, to: mark))
    }

    /// The first CT rule that a packet meets counts; none does for one that tracking has placed already:
    /// it came back over the loopback and was not INVALID, or it answers a tracked one.
    func apply<O: WalkObserver>(
        tracking index: Int, _ packet: inout Packet, _ observer: inout O
    ) {
        guard packet.template == nil, packet.tracked.state != .untracked,
            packet.answers?.state != .untracked,
            packet.tracked.connection == nil
        else { return }
        let target = rules.trackingTargets[index]
        if target.notrack {
            packet.tracked = .untracked
        } else {
            packet.template = Int32(truncatingIfNeeded: index)
        }
        observer.note(packet, .template(target))
    }

    /// What the packet's CT rule says of the connection it opens.
    func trackingTemplate(_ packet: Packet) -> TrackingTemplate {
        guard let index = packet.template else { return .none }
        let target = rules.trackingTargets[Int(index)]
        let number: UInt16 =
            switch target.zone {
            case .number(let number): number
            case .mark: UInt16(truncatingIfNeeded: packet.mark)
            }
        return TrackingTemplate(
            zone: Zone(
                original: target.directions.contains(.original) ? number : 0,
                reply: target.directions.contains(.reply) ? number : 0),
            events: target.events.isEmpty ? .max : target.events.rawValue)
    }
}

extension ConnmarkTarget {
    fileprivate func shifted(_ mark: UInt32) -> UInt32 {
        // Swift's shifts, like the option's range, go to 32; what is shifted out is gone.
        shift >= 0 ? mark << UInt32(shift) : mark >> UInt32(-Int32(shift))
    }
}
