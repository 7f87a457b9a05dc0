// Counters and per-rule state across an edit. A command reads the live counters, edits rules and has the
// result compiled; packets keep coming meanwhile. Whatever the old snapshot counted after its counters
// were read is added to the new one when it is swapped in, so that nothing is lost.

import Wire

extension CompiledRuleset {
    /// Writes the live counters into `ruleset`, which this snapshot was compiled from.
    public func handOutCounters(to ruleset: inout Ruleset) {
        settle()
        handedOutRules = rulesCounted
        handedOutPolicies = policiesCounted
        var next = order.makeIterator()
        for name in TableName.allCases {
            guard let table = ruleset.tables.firstIndex(where: { $0.name == name }) else {
                continue
            }
            for position in ruleset.tables[table].chains.indices {
                guard let slot = next.next() else {
                    preconditionFailure("a ruleset has the chains that it was compiled from")
                }
                ruleset.tables[table].chains[position].counters = policiesCounted[Int(slot)]
                let first = Int(chains[Int(slot)].firstRule)
                for offset in ruleset.tables[table].chains[position].rules.indices {
                    ruleset.tables[table].chains[position].rules[offset].counters =
                        rulesCounted[first + offset]
                }
            }
        }
    }

    /// Takes over what `old` counted since it handed its counters out, and where its `nth` rules
    /// stand. Called at the batch boundary at which this snapshot replaces `old`.
    public func adoptCounters(from old: CompiledRuleset) {
        old.settle()
        if lineage.continues(old.lineage) {
            adoptInPlace(from: old)
        } else {
            adoptByIdentity(from: old)
        }
        for table in TableName.allCases {
            for hook in BuiltinChain.allCases {
                guard let chain = baseChain(table, hook), let before = old.baseChain(table, hook)
                else { continue }
                policiesCounted[chain].add(
                    old.policiesCounted[before], since: old.handedOutPolicies[before])
            }
        }
    }

    /// The rules of `old` stand where they stood; those of chains that changed stand behind them.
    private func adoptInPlace(from old: CompiledRuleset) {
        for index in old.rulesCounted.indices {
            rulesCounted[index].add(old.rulesCounted[index], since: old.handedOutRules[index])
        }
        for index in old.nthCounters.indices { nthCounters[index] = old.nthCounters[index] }
        for (before, index) in lineage.moved { adopt(at: Int(index), from: old, at: Int(before)) }
    }

    private func adoptByIdentity(from old: CompiledRuleset) {
        var oldRules: [RuleID: Int] = [:]
        // Where a chain was compiled again its later rules are those in force.
        for (index, identity) in old.identities.enumerated() { oldRules[identity] = index }
        for (index, identity) in identities.enumerated() {
            guard let before = oldRules[identity] else { continue }
            adopt(at: index, from: old, at: before)
        }
    }

    private func adopt(at index: Int, from old: CompiledRuleset, at before: Int) {
        rulesCounted[index].add(old.rulesCounted[before], since: old.handedOutRules[before])
        adoptNth(at: index, from: old, at: before)
    }

    private func adoptNth(at index: Int, from old: CompiledRuleset, at before: Int) {
        guard let new = nthCounter(of: index), let previous = old.nthCounter(of: before) else {
            return
        }
        nthCounters[new] = old.nthCounters[previous]
    }

    private func nthCounter(of index: Int) -> Int? {
        let first = Int(rules[index].firstMatch)
        for match in matches[first..<first + Int(rules[index].matchCount)] {
            if case .nth(_, let counter, _) = match { return Int(counter) }
        }
        return nil
    }
}

extension Counters {
    fileprivate mutating func add(_ total: Counters, since base: Counters) {
        packets &+= total.packets &- base.packets
        bytes &+= total.bytes &- base.bytes
    }
}
