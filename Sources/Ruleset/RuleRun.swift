// Runs: many rules in a row that each ask for one destination, as the chains of services have them. A packet looks
// only at those of its own destination; the others would all miss it at that question, before they ask anything
// else or count anything.

import Wire

/// A run of rules, and where in it the first of each destination stands.
struct RuleRun: Sendable {
    /// Fewer are as soon looked at one by one.
    static let leastRules = 8

    var first: Int32
    var end: Int32
    /// A range of `CompilerPools.runSlots`: open addressing, at most half full.
    var firstSlot: Int32
    var mask: Int32
}

/// A place in a run's table: a destination's first rule, or -1.
struct RunSlot: Sendable {
    var destination = IPv4Address.any
    var rule: Int32 = -1
}

extension RuleRun {
    @inline(__always)
    fileprivate func home(_ destination: IPv4Address) -> Int32 {
        let hash = UInt64(destination.rawValue) &* 0x9E37_79B9_7F4A_7C15
        return Int32(truncatingIfNeeded: hash >> 33) & mask
    }
}

extension CompiledRule {
    fileprivate var asksForOneDestination: Bool {
        destination.mask == .max && !flags.contains(.notDestination)
    }
}

extension CompilerPools {
    /// Finds the runs among rules that were just compiled.
    mutating func findRuns(_ range: Range<Int>) {
        var first = range.lowerBound
        while first < range.upperBound {
            var end = first
            while end < range.upperBound, rules[end].asksForOneDestination { end += 1 }
            if end - first >= RuleRun.leastRules { addRun(first..<end) }
            first = max(end, first + 1)
        }
    }

    private mutating func addRun(_ range: Range<Int>) {
        var size = 2
        while size < 2 * range.count { size *= 2 }
        let run = RuleRun(
            first: Int32(range.lowerBound), end: Int32(range.upperBound),
            firstSlot: Int32(runSlots.count), mask: Int32(size - 1))
        runSlots.append(contentsOf: repeatElement(RunSlot(), count: size))
        // From the last to the first, so that each knows the next of its destination.
        for index in range.reversed() {
            let destination = rules[index].destination.address
            var slot = run.home(destination)
            while runSlots[Int(run.firstSlot + slot)].rule >= 0,
                runSlots[Int(run.firstSlot + slot)].destination != destination
            {
                slot = (slot + 1) & run.mask
            }
            let place = Int(run.firstSlot + slot)
            rules[index].nextInRun = runSlots[place].rule >= 0 ? runSlots[place].rule : run.end
            rules[index].run = Int32(runs.count)
            runSlots[place] = RunSlot(destination: destination, rule: Int32(index))
        }
        runs.append(run)
    }
}

extension CompiledRuleset {
    /// The first rule at or behind `position` that may be for a packet to `destination`; where a run has none, the
    /// one behind the run, or the end of its chain.
    @inline(__always)
    public func next(from position: Int, for destination: IPv4Address) -> Int {
        let index = rules[position].run
        return index < 0 ? position : next(from: position, for: destination, in: runs[Int(index)])
    }

    private func next(from position: Int, for destination: IPv4Address, in run: RuleRun) -> Int {
        if position > Int(run.first), rules[position &- 1].destination.address == destination {
            return Int(rules[position &- 1].nextInRun)
        }
        var slot = run.home(destination)
        while true {
            let place = runSlots[Int(run.firstSlot &+ slot)]
            if place.rule < 0 { return Int(run.end) }
            if place.destination == destination { break }
            slot = (slot &+ 1) & run.mask
        }
        var rule = runSlots[Int(run.firstSlot &+ slot)].rule
        while rule < position { rule = rules[Int(rule)].nextInRun }
        return Int(rule)
    }
}
