// Makes a case small while something about it stays true: fewer packets, rules, matches, tables, routes
// and settings (delta debugging, Zeller and Hildebrandt 2002). It refuses to know what that something is.

public import Scenario

public struct Shrinker {
    private let holds: (Case) -> Bool
    private var current: Case
    /// How often the predicate was asked.
    private(set) var trials = 0

    /// The smallest case that was found for which `predicate` is true, beginning with `original`.
    ///
    /// Every candidate is a sound case: what is left still answers only packets that are left. A
    /// candidate for which the predicate throws (rules that are refused, say) is passed over.
    ///
    /// - Precondition: `predicate` is true of `original`.
    public static func shrink(
        _ original: Case, while predicate: @escaping (Case) throws -> Bool
    ) -> Case {
        var shrinker = Shrinker(holds: { (try? predicate($0)) == true }, current: original)
        shrinker.run()
        return shrinker.current
    }

    private init(holds: @escaping (Case) -> Bool, current: Case) {
        self.holds = holds
        self.current = current
    }

    private mutating func run() {
        var before: Case
        repeat {
            before = current
            // Packets first: every later trial is then a short one.
            removePackets()
            simplifyRules()
            simplifyTopology()
            forgetAnswers()
        } while current != before
    }

    // MARK: Trials

    /// Takes the candidate over if it is another case and the predicate holds for it.
    @discardableResult
    private mutating func attempt(_ candidate: Case) -> Bool {
        guard candidate != current else { return false }
        trials += 1
        guard holds(candidate) else { return false }
        current = candidate
        return true
    }

    /// Removes as many of the parts as it can, in halves, quarters and so on down to single ones.
    ///
    /// - Parameter count: how many parts the case has now.
    /// - Parameter without: the case without some of its parts.
    private mutating func remove(
        _ count: (Case) -> Int, without: (Case, Range<Int>) -> Case
    ) {
        var size = max(1, count(current) / 2)
        while true {
            var start = 0
            while start < count(current) {
                let range = start..<min(start + size, count(current))
                if !attempt(without(current, range)) { start += size }
            }
            if size == 1 { return }
            size = (size + 1) / 2
        }
    }

    // MARK: Packets

    private mutating func removePackets() {
        // What comes after the packet that shows it is most of a long case.
        var low = 0
        var high = current.packets.count
        while low < high {
            let middle = (low + high) / 2
            var prefix = current
            prefix.packets = Array(current.packets.prefix(middle))
            trials += 1
            if holds(prefix) { high = middle } else { low = middle + 1 }
        }
        var prefix = current
        prefix.packets = Array(current.packets.prefix(high))
        attempt(prefix)
        remove({ $0.packets.count }, without: { $0.removingPackets($1) })
    }

    /// A reply that is the same for both engines can stand as it is written.
    private mutating func forgetAnswers() {
        for index in current.packets.indices where current.packets[index].answers != nil {
            var candidate = current
            candidate.packets[index].answers = nil
            attempt(candidate)
        }
    }

    // MARK: Rules

    private mutating func simplifyRules() {
        for simplification in RuleText.simplifications {
            remove(
                { simplification.count(RuleText($0.rules)) },
                without: { candidate, range in
                    var candidate = candidate
                    var rules = RuleText(candidate.rules)
                    for index in range.reversed() { simplification.remove(&rules, index) }
                    candidate.rules = rules.text
                    return candidate
                })
        }
    }

    // MARK: Topology

    private mutating func simplifyTopology() {
        removeEach(\.topology.policyRules)
        removeEach(\.topology.routes)
        removeEach(\.topology.neighbours)
        for name in current.topology.settings.keys.sorted() {
            var candidate = current
            candidate.topology.settings[name] = nil
            attempt(candidate)
        }
        removeEach(\.topology.links)
        for index in current.topology.links.indices { simplifyLink(index) }
    }

    private mutating func simplifyLink(_ index: Int) {
        for name in current.topology.links[index].settings.keys.sorted() {
            var candidate = current
            candidate.topology.links[index].settings[name] = nil
            attempt(candidate)
        }
        var candidate = current
        candidate.topology.links[index].mtu = 1500
        attempt(candidate)
        for position in current.topology.links[index].addresses.indices.reversed() {
            var candidate = current
            candidate.topology.links[index].addresses.remove(at: position)
            attempt(candidate)
        }
    }

    private mutating func removeEach<Part>(_ parts: WritableKeyPath<Case, [Part]>) {
        remove(
            { $0[keyPath: parts].count },
            without: { candidate, range in
                var candidate = candidate
                candidate[keyPath: parts].removeSubrange(range)
                return candidate
            })
    }
}

extension Case {
    /// The case without the packets in `range` and without those that answer them, whatever the distance.
    func removingPackets(_ range: Range<Int>) -> Case {
        var left: [CasePacket] = []
        /// The new number of each packet that stays.
        var numbers: [Int?] = []
        for (index, packet) in packets.enumerated() {
            var packet = packet
            if let answered = packet.answers { packet.answers = numbers[answered] }
            let orphaned = packet.answers == nil && packets[index].answers != nil
            if range.contains(index) || orphaned {
                numbers.append(nil)
            } else {
                numbers.append(left.count)
                left.append(packet)
            }
        }
        var result = self
        result.packets = left
        return result
    }
}
