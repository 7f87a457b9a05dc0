// The check of stored paths: each packet also walks, without effect, before it takes its path; then both ends and
// the rules that counted are compared. For tests and doubts: it costs more than the path saves.

import Ruleset
import Wire

/// A packet that its stored path led elsewhere than its walk.
public struct PathMismatch: Sendable {
    public var walked: Disposition
    public var stored: Disposition
    /// Whether the bytes differ, behind the same or another disposition.
    public var bytesDiffer: Bool
    /// The rules that count it, in their order.
    public var rulesWalked: [RuleID]
    public var rulesStored: [RuleID]
}

extension PathMismatch: CustomStringConvertible {
    public var description: String {
        var parts: [String] = []
        if walked != stored { parts.append("the walk ends in \(walked), the path in \(stored)") }
        if bytesDiffer { parts.append("the headers differ") }
        if rulesWalked != rulesStored {
            parts.append(
                "\(rulesWalked.count) rules count it walking, \(rulesStored.count) others on the path"
            )
        }
        return parts.joined(separator: "; ")
    }
}

extension HookEngine {
    /// `take`, and the comparison.
    func takeAndVerify(
        _ way: Way, _ bytes: inout MutableRawSpan, _ plain: PlainPacket, _ packet: inout Packet
    ) -> Disposition? {
        var copy = unsafe bytes.withUnsafeBytes { unsafe [UInt8]($0) }
        var other = packet
        let (walked, trace) = copy.withMutableRawSpan {
            explain(&$0, &other, ofNode: false, now: now)
        }
        guard let stored = take(way, &bytes, plain, &packet) else { return nil }
        // Nothing that is stored changes what stands behind the headers.
        let headers = min(packet.view.end, packet.view.transportOffset + 60)
        let same = copy.withRawSpan { walked in
            (0..<headers).allSatisfy { walked.u8($0) == bytes.u8($0) }
        }
        let rulesWalked = trace.events.compactMap { event -> RuleID? in
            guard case .rule(let rule, .hit, _) = event.kind else { return nil }
            return rule.id
        }
        let rulesStored = rules.rules(onPath: storedPaths[way.path].number)
        verifiedPaths &+= 1
        if walked != stored || !same || rulesWalked != rulesStored {
            pathMismatches &+= 1
            onPathMismatch?(
                PathMismatch(
                    walked: walked, stored: stored, bytesDiffer: !same, rulesWalked: rulesWalked,
                    rulesStored: rulesStored))
        }
        return stored
    }
}
