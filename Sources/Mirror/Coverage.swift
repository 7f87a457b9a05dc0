// What a run of random cases has touched, so that a person sees that agreement was not cheap: which
// matches and targets were hit, what became of packets, which states connections were in.

public import Scenario
import Wire

public struct Coverage: Hashable, Sendable {
    /// Packets that rules with this match, or this target, were hit by.
    public private(set) var matches: [String: Int] = [:]
    public private(set) var targets: [String: Int] = [:]
    public private(set) var drops: [DropReason: Int] = [:]
    /// What became of packets: one that was cut into pieces and sent counts once.
    public private(set) var fates: [Fate: Int] = [:]
    /// TCP's states, and the flags, that connections and events showed.
    public private(set) var states: [String: Int] = [:]

    /// Keep `rules`, which says something only while all cases have the same.
    public var followsRules = false
    public private(set) var rules = RuleReach()

    /// The end of one injected packet, as far as its outcome shows it.
    public enum Fate: String, Hashable, Sendable, CaseIterable {
        case forwarded, delivered, dropped
        /// Dropped, and the node had something to say about it.
        case answered
        /// Neither: it waits for its other fragments.
        case waiting
    }

    public init() {}

    /// Adds what Sluice made of one packet.
    public mutating func record(_ outcome: Outcome) {
        let wasDelivered = outcome.emissions.contains {
            if case .delivered = $0.place { true } else { false }
        }
        if let reason = outcome.dropReason {
            drops[reason, default: 0] += 1
            fates[outcome.emissions.isEmpty ? .dropped : .answered, default: 0] += 1
        } else if outcome.emissions.isEmpty {
            fates[.waiting, default: 0] += 1
        } else {
            fates[wasDelivered ? .delivered : .forwarded, default: 0] += 1
        }
    }

    /// Adds what Sluice was left with at the end of one case.
    public mutating func record(_ state: FinalState) {
        rules.record(state.rules)
        for line in state.rules.split(separator: "\n") where line.hasPrefix("[") {
            record(rule: line)
        }
        for line in state.connections + state.events {
            for word in line.split(separator: " ") where Self.isState(word) {
                states[String(word), default: 0] += 1
            }
        }
    }

    /// `[PACKETS:BYTES] -A CHAIN …`.
    private mutating func record(rule line: Substring) {
        guard let packets = Int(line.dropFirst().prefix { $0 != ":" }), packets > 0 else { return }
        let words = line.split(separator: " ")
        for (word, name) in zip(words, words.dropFirst()) {
            if word == "-m" { matches[String(name), default: 0] += packets }
            if word == "-j" || word == "-g" { targets[String(name), default: 0] += packets }
        }
    }

    /// `SYN_SENT`, `[ASSURED]`: capitals, outside or inside brackets.
    private static func isState(_ word: Substring) -> Bool {
        let letters = word.drop { $0 == "[" }.prefix { $0 != "]" }
        return letters.count > 2
            && letters.utf8.allSatisfy { 65...90 ~= $0 || $0 == UInt8(ascii: "_") || $0 == 50 }
    }

    public mutating func merge(_ other: Coverage) {
        matches.merge(other.matches, uniquingKeysWith: +)
        targets.merge(other.targets, uniquingKeysWith: +)
        drops.merge(other.drops, uniquingKeysWith: +)
        fates.merge(other.fates, uniquingKeysWith: +)
        states.merge(other.states, uniquingKeysWith: +)
        if followsRules { rules.merge(other.rules) }
    }

    /// A paragraph per kind, the most frequent first.
    public var text: String {
        [
            ("packets", Self.line(fates.map { ($0.key.rawValue, $0.value) })),
            ("matches hit", Self.line(matches.map { ($0.key, $0.value) })),
            ("targets hit", Self.line(targets.map { ($0.key, $0.value) })),
            ("drops", Self.line(drops.map { ($0.key.description, $0.value) })),
            ("connection states", Self.line(states.map { ($0.key, $0.value) })),
        ].map { "\($0): \($1)\n" }.joined()
    }

    private static func line(_ counts: [(name: String, count: Int)]) -> String {
        if counts.isEmpty { return "none" }
        return counts.sorted { ($1.count, $0.name) < ($0.count, $1.name) }
            .map { "\($0.name) \($0.count)" }.joined(separator: "; ")
    }
}
