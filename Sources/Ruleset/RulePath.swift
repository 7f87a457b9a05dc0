// Paths: the rules and policies that plain packets of a connection's direction count on, one after the other,
// from hook to hook. Where no rule on the way looked further than at what is the same for all of them,
// the next one takes the same path; who lets it counts for all of them, and the counters of the rules are made up
// for when somebody reads them (`onReading`).
//
// The same for all plain packets of a direction are the tuple, the state ESTABLISHED, the interface, the arriving
// mark, TOS, and that neither SYN, FIN, RST nor URG is set while ACK is.

import Wire

/// A rule's or a chain's place among the counters.
@frozen
public struct CounterIndex: Hashable, Sendable {
    private var value: Int32

    public static func rule(_ index: Int) -> Self { Self(value: Int32(truncatingIfNeeded: index)) }
    /// The policy of a base chain.
    public static func policy(_ chain: Int) -> Self {
        Self(value: ~Int32(truncatingIfNeeded: chain))
    }

    var rule: Int? { value >= 0 ? Int(value) : nil }
    var policy: Int { Int(~value) }
}

/// A path while a packet is on it: room for as many steps as a path may have.
public struct PathDraft: Sendable {
    public static let capacity = 64
    private(set) var steps = InlineArray<64, CounterIndex>(repeating: .rule(0))
    private(set) var count = 0

    public init() {}

    /// `false` where the path is too long to be kept.
    public mutating func append(_ step: CounterIndex) -> Bool {
        guard count < Self.capacity else { return false }
        steps[count] = step
        count += 1
        return true
    }

    public mutating func removeAll() { count = 0 }

    /// FNV-1a over the steps.
    var hash: UInt64 {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for index in 0..<count {
            hash = (hash ^ UInt64(bitPattern: Int64(steps[index].hashedValue))) &* 0x100_0000_01B3
        }
        return hash
    }
}

extension CounterIndex {
    fileprivate var hashedValue: Int32 { value }
}

/// The paths of one ruleset, each once.
struct RulePaths {
    /// Beyond that many, packets are walked: rules that split traffic so finely have no use for paths.
    private static let limit = 1 << 16
    private var paths: [Range<Int32>] = []
    private var steps: [CounterIndex] = []
    private var byHash: [UInt64: Int32] = [:]

    /// The number of the path; `nil` where there is no room for another.
    mutating func number(of draft: PathDraft) -> Int32? {
        let hash = draft.hash
        if let known = byHash[hash] { return isSame(known, draft) ? known : nil }
        guard paths.count < Self.limit else { return nil }
        let first = Int32(steps.count)
        for index in 0..<draft.count { steps.append(draft.steps[index]) }
        paths.append(first..<Int32(steps.count))
        byHash[hash] = Int32(paths.count - 1)
        return Int32(paths.count - 1)
    }

    private func isSame(_ number: Int32, _ draft: PathDraft) -> Bool {
        let range = paths[Int(number)]
        return range.count == draft.count
            && (0..<draft.count).allSatisfy { steps[Int(range.lowerBound) + $0] == draft.steps[$0] }
    }

    func steps(of number: Int32) -> [CounterIndex] {
        paths[Int(number)].map { steps[Int($0)] }
    }
}

extension CompiledRuleset {
    /// Indexed like `rules`.
    public var ruleCounters: [Counters] {
        settle()
        return rulesCounted
    }

    /// Indexed like `chains`.
    public var policyCounters: [Counters] {
        settle()
        return policiesCounted
    }

    @inline(__always)
    public func count(ruleAt index: Int, bytes: Int) { rulesCounted[index].count(bytes: bytes) }

    @inline(__always)
    public func count(policyOf chain: Int, bytes: Int) {
        policiesCounted[chain].count(bytes: bytes)
    }

    /// The number under which packets on this path are counted; `nil` where it cannot be kept.
    public func number(of path: PathDraft) -> Int32? { paths.number(of: path) }

    /// Adds what packets on a path counted to the counters of its rules.
    public func count(path: Int32, _ counted: Counters) {
        for step in paths.steps(of: path) {
            if let rule = step.rule {
                rulesCounted[rule].add(counted)
            } else {
                policiesCounted[step.policy].add(counted)
            }
        }
    }

    /// The rules that count packets on a path, in their order.
    public func rules(onPath number: Int32) -> [RuleID] {
        paths.steps(of: number).compactMap(\.rule).map { identities[$0] }
    }

    /// Lets whoever keeps count elsewhere add what is missing.
    func settle() { onReading?(self) }
}

extension Counters {
    fileprivate mutating func add(_ other: Counters) {
        packets &+= other.packets
        bytes &+= other.bytes
    }
}

extension Predicate {
    /// Whether it looks at more than what is the same for all plain packets of a direction. What is not named
    /// here does.
    var looksFurther: Bool {
        switch self {
        case .ports, .multiport, .state, .mark, .addrtype: false
        case .tcpFlags(let test):
            !test.value.mask.isSubset(of: [.syn, .ack, .fin, .rst, .urg])
        case .conntrack(let test): test.statuses != nil || test.expires != nil
        case .stateless(let match):
            switch match {
            case .iprange, .tos, .dscp: false
            default: true
            }
        default: true
        }
    }
}

extension CompiledTarget {
    /// Whether it does to each plain packet what it did to the first, and nobody sees it pass.
    public var isRepeatable: Bool {
        switch self {
        case .none, .accept, .return, .jump, .goto, .mark: true
        default: false
        }
    }
}
