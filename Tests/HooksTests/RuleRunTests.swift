// Long chains of rules for one destination each: what is skipped changes nothing.

import Hooks
import NodeFixture
import Ruleset
import Testing
import Wire

@Suite("Runs of rules for one destination")
struct RuleRunTests {
    private static let chains = ["FORWARD", "A", "B"]

    /// Chains with runs of all lengths, whose rules have few destinations between them, and with other rules
    /// before, between and behind them.
    private func node(_ random: inout SeededRandom) -> Node {
        var here = Node()
        for (depth, chain) in Self.chains.enumerated() {
            if chain != "FORWARD" { here.add(.filter, chain, .none) }
            for _ in 0..<random.next() % 4 {
                for _ in 0..<random.next() % 24 {
                    let rule = (destination(&random), target(&random, depth))
                    here.add(.filter, chain, rule.1) {
                        $0.destination = AddressMatch(IPv4Network(rule.0, prefixLength: 32))
                    }
                }
                let address = IPv4Network(destination(&random), prefixLength: 32)
                let inverted = random.next() % 2 == 0
                let target = target(&random, depth)
                here.add(.filter, chain, target) {
                    if inverted { $0.destination = AddressMatch(address, inverted: true) }
                }
            }
        }
        here.install()
        return here
    }

    private func destination(_ random: inout SeededRandom) -> IPv4Address {
        IPv4Address(rawValue: blue.rawValue + UInt32(random.next() % 6))
    }

    private func target(_ random: inout SeededRandom, _ depth: Int) -> Target {
        switch random.next() % 8 {
        case 0 where depth + 1 < Self.chains.count: .jump(Self.chains[depth + 1])
        case 1 where depth + 1 < Self.chains.count: .goto(Self.chains[depth + 1])
        case 2: .return
        case 3: random.next() % 4 == 0 ? .drop : .none
        case 4: .mark(MarkTarget(value: UInt32(truncatingIfNeeded: random.next() % 16), mask: 0))
        default: .none
        }
    }

    @Test("a packet that walks in silence counts, marks and ends as one that shows every rule")
    func sameWalk() {
        let seed = UInt64.random(in: 0..<1 << 32)
        for offset in 0..<200 as Range<UInt64> {
            var random = SeededRandom(seed: seed + offset)
            var copy = random
            var silent = node(&random)
            var shown = node(&copy)
            for _ in 0..<12 {
                let frame = segment(client, 1, destination(&random), 80)
                let one = silent.handle(frame, on: eth0, traced: false)
                let other = shown.handle(frame, on: eth0, traced: true)
                guard one.disposition == other.disposition, one.packet.mark == other.packet.mark
                else {
                    Issue.record("seed \(seed + offset): \(one.disposition), \(other.disposition)")
                    return
                }
            }
            for chain in Self.chains where silent.ruleset.table(.filter).chain(chain) != nil {
                guard silent.counters(.filter, chain) == shown.counters(.filter, chain) else {
                    Issue.record("seed \(seed + offset): the counters of \(chain) differ")
                    return
                }
            }
        }
    }
}
