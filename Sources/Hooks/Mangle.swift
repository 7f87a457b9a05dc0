// The targets that change a packet and let the walk go on (net/netfilter/xt_HL.c, xt_DSCP.c,
// xt_CHECKSUM.c, xt_CLASSIFY.c).

import Ruleset
import Wire

extension HookEngine {
    /// Applies the target. A reason ends the walk.
    @inline(never)
    func mangle<O: WalkObserver>(
        _ target: MangleTarget, _ bytes: inout MutableRawSpan, _ packet: inout Packet,
        _ observer: inout O
    ) -> DropReason? {
        switch target {
        case .ttl(let target):
            let old = packet.view.timeToLive
            bytes.rewriteTimeToLive(to: target.applied(to: old), in: &packet.view)
            observer.note(packet, .timeToLive(from: old))
        case .tos(let target):
            let old = packet.view.typeOfService
            setTypeOfService((old & ~target.mask) ^ target.value, &bytes, &packet, &observer)
        case .dscp(let codePoint):
            let rest = packet.view.typeOfService & 3
            setTypeOfService(codePoint << 2 | rest, &bytes, &packet, &observer)
        case .checksumFill:
            // A super-frame's checksums are made with its segments.
            guard packet.offload.needsChecksum, !packet.offload.isSuperFrame,
                bytes.completeChecksum(packet.offload, end: packet.view.end)
            else { return nil }
            packet.offload = .none
            observer.note(packet, .mangled(.checksumFilled))
        case .classify(let priority):
            observer.note(packet, .mangled(.classified(priority)))
        case .tcpmss(let target):
            return limitSegmentSize(target, &bytes, &packet, &observer)
        }
        return nil
    }

    private func setTypeOfService<O: WalkObserver>(
        _ new: UInt8, _ bytes: inout MutableRawSpan, _ packet: inout Packet, _ observer: inout O
    ) {
        let old = packet.view.typeOfService
        bytes.rewriteTypeOfService(to: new, in: &packet.view)
        observer.note(packet, .mangled(.typeOfService(from: old)))
    }
}

extension TTLTarget {
    fileprivate func applied(to old: UInt8) -> UInt8 {
        switch self {
        case .set(let value): value
        case .decrement(let value): old < value ? 0 : old &- value
        case .increment(let value): value > 255 &- old ? 255 : old &+ value
        }
    }
}
