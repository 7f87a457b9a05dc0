// The matches whose outcome depends on the packets before.

import Conntrack
import Ruleset
import Wire

extension HookEngine {
    func evaluate(_ test: StatefulTest, _ packet: Packet) -> MatchResult {
        switch test {
        case .limit(let index):
            return MatchResult(state.limit(Int(index), now: now, counting: counting))
        }
    }
}
