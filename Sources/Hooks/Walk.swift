// One table's walk at one hook: the chains, rule by rule, as netfilter does it
// (net/ipv4/netfilter/ip_tables.c, ipt_do_table; net/netfilter/nf_tables_core.c, nft_do_chain).

import Conntrack
import Routing
import Ruleset
import Wire

/// What a table decided.
enum Verdict {
    case accept
    case drop(DropReason)
    case answer(Answer)
}

extension HookEngine {
    /// Walks `table`'s chain at `hook`. A ruleset without that chain accepts.
    func walk<O: WalkObserver>(
        _ table: TableName, _ hook: BuiltinChain, _ bytes: inout MutableRawSpan,
        _ packet: inout Packet,
        _ observer: inout O
    ) -> Verdict {
        // One reference for the whole walk: the snapshot is swapped between batches only.
        let rules = self.rules
        guard let base = rules.baseChain(table, hook) else { return .accept }
        observer.note(packet, .table(table, chain: rules.chains[base].name))
        // For TRACE: nothing was told of this walk yet.
        var begins = true
        var chain = base
        var position = Int(rules.chains[base].firstRule)
        // Where the walk goes on after a user chain; the compiler refuses deeper nesting.
        var callers = CallStack()
        while true {
            if position == rules.chains[chain].endRule {
                if let caller = callers.pop() {
                    (chain, position) = caller
                    observer.note(packet, .returned(toChain: rules.chains[chain].name))
                    continue
                }
                if packet.isTraced {
                    let chain = rules.chains[base]
                    let policy = RuleTrace.Kind.policy(table, chain: chain.name, chain.policy)
                    tell(policy, &begins, packet, bytes.bytes)
                }
                if packet.keepsPath { packet.keepsPath = draft.append(.policy(base)) }
                return applyPolicy(of: base, table, packet, &observer)
            }
            if !O.seesMisses {
                position = rules.next(from: position, for: packet.view.destination)
                if position == rules.chains[chain].endRule { continue }
            }
            let index = position
            let (miss, draw) = firstMiss(rules.rules[index], rules, bytes.bytes, packet)
            observer.note(
                packet,
                .rule(reference(table, chain, index), miss.outcome, draw: draw))
            if miss.isHotDrop { return .drop(.malformedTransport) }
            position &+= 1
            if packet.keepsPath { keep(index, of: rules, miss, &packet) }
            guard miss.isHit else { continue }
            count(ruleAt: index, of: rules, packet)
            if case .trace = rules.rules[index].target { packet.isTraced = true }
            if packet.isTraced {
                traced(
                    reference(table, chain, index), rules.rules[index].target, rules, &begins,
                    packet,
                    bytes.bytes)
            }
            switch rules.rules[index].target {
            case .none: break
            case .accept: return .accept
            case .drop: return .drop(.rule)
            case .return: position = Int(rules.chains[chain].endRule)
            case .jump(let target):
                callers.push(chain, position)
                chain = Int(target)
                position = Int(rules.chains[chain].firstRule)
            case .goto(let target):
                chain = Int(target)
                position = Int(rules.chains[chain].firstRule)
            case .mark(let target):
                let old = packet.mark
                packet.mark = (old & ~target.mask) ^ target.value
                observer.note(packet, .markChanged(from: old))
            case .log(let log):
                onLog?(
                    LogRecord(hook: hook, log: rules.logs[Int(log)], packet: packet), bytes.bytes)
                observer.note(packet, .logged)
            case .mangle(let target):
                if let reason = mangle(target, &bytes, &packet, &observer) { return .drop(reason) }
            case .rejectICMP(let code):
                return .answer(.icmp(type: 3, code: code, information: 0))
            case .rejectReset: return .answer(.tcpReset)
            case .trace: observer.note(packet, .logged)
            case .nflog(let index):
                onPacketLog?(
                    NFLogRecord(log: rules.packetLogs[Int(index)], packet: packet), bytes.bytes)
                observer.note(packet, .logged)
            case .connmark(let index):
                apply(rules.connmarks[Int(index)], &packet, &observer)
            case .tracking(let index): apply(tracking: Int(index), &packet, &observer)
            case .translate, .masquerade, .redirect, .netmap:
                if let verdict = applyNAT(rules.rules[index].target, hook, packet, &observer) {
                    return verdict
                }
            }
        }
    }

    /// Adds the rule to the packet's path, unless what follows may fare otherwise there.
    @inline(never)
    private func keep(
        _ index: Int, of rules: CompiledRuleset, _ miss: FirstMiss, _ packet: inout Packet
    ) {
        if miss.askedMatches, rules.rules[index].flags.contains(.looksFurther) {
            packet.keepsPath = false
        } else if miss.isHit {
            packet.keepsPath = rules.rules[index].target.isRepeatable && draft.append(.rule(index))
        }
    }

    private func reference(_ table: TableName, _ chain: Int, _ index: Int) -> RuleReference {
        RuleReference(
            table: table, chain: rules.chains[chain].name,
            number: rules.position(in: chain, of: index), id: rules.identities[index])
    }

    private func applyPolicy<O: WalkObserver>(
        of base: Int, _ table: TableName, _ packet: Packet, _ observer: inout O
    ) -> Verdict {
        let rules = self.rules
        let chain = rules.chains[base]
        count(policyOf: base, of: rules, packet)
        observer.note(packet, .policy(table, chain: chain.name, chain.policy))
        return chain.policy == .accept ? .accept : .drop(.policy)
    }

    /// The bytes counted are those of the IP packet; a super-frame counts once, as in the kernel.
    @inline(__always)
    private func count(ruleAt index: Int, of rules: CompiledRuleset, _ packet: Packet) {
        guard counting else { return }
        rules.count(ruleAt: index, bytes: packet.view.totalLength)
    }

    @inline(__always)
    private func count(policyOf chain: Int, of rules: CompiledRuleset, _ packet: Packet) {
        guard counting else { return }
        rules.count(policyOf: chain, bytes: packet.view.totalLength)
    }
}

/// Return addresses of jumps: as many as nf_tables allows (NFT_JUMP_STACK_SIZE).
struct CallStack {
    private var frames = InlineArray<16, (chain: Int32, position: Int32)>(
        repeating: (chain: 0, position: 0))
    private var depth = 0

    @inline(__always)
    mutating func push(_ chain: Int, _ position: Int) {
        frames[depth] = (Int32(truncatingIfNeeded: chain), Int32(truncatingIfNeeded: position))
        depth &+= 1
    }

    @inline(__always)
    mutating func pop() -> (Int, Int)? {
        guard depth > 0 else { return nil }
        depth &-= 1
        return (Int(frames[depth].chain), Int(frames[depth].position))
    }
}
