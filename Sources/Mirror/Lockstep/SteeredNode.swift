// Sluice beside a kernel that has chosen already. Where rules match at random or a free port is looked for,
// no two engines agree by themselves; what can be asked of Sluice is that it could have chosen the same.
//
// So its random sources are set, before each packet, to values with which it does what the kernel did: found
// by dry runs for rules (which of them matched is known from the kernel's counters), and computed backwards
// for ports. If there are none, Sluice keeps its own choice, and the comparison finds the difference. From
// there on both hold the same connections and marks, and everything else can be compared to the bit.

import Dataplane
import Hooks
import KernelPath
import Ruleset
import Scenario
import Wire

final class SteeredNode {
    /// What the case's rules leave to chance.
    private let choices: RandomChoices
    private let subject: Case
    private var node: OfflineNode
    private let interfaces: [String: InterfaceIndex]
    /// Where the random rules stand among the counters of the compiled rules.
    private let randomCounters: [Int]
    /// What the kernel's random rules have counted.
    private var hits: [UInt64]
    private var spare: SeededRandom
    private var past: [Step] = []
    /// What looking for the kernel's choices may still cost in this case: random numbers run backwards, and
    /// packets lived through again.
    private var searches = 20_000_000
    private var repetitions = 60_000
    /// A choice of the kernel's was not looked for to the end: a difference from there on says nothing.
    private(set) var hasGivenUp = false

    /// A packet with the random sources that it met: enough to live through it again.
    private struct Step {
        var packet: CasePacket
        var rules: SeededRandom
        var ports: SeededRandom
    }

    /// A case may take long, and the kernel's node gives no neighbour up either (KernelPath).
    private static var options: OfflineNode.Options {
        var options = OfflineNode.Options()
        options.givesUpNeighbours = false
        return options
    }

    init(_ subject: Case) throws {
        self.subject = subject
        node = try OfflineNode(subject, options: Self.options)
        choices = RandomChoices(subject.rules)
        hits = Array(repeating: 0, count: choices.randomRules.count)
        let addresses = RuleAddress.all(of: try RulesText.parse(subject.rules, name: "rules"))
        randomCounters = choices.randomRules.compactMap { addresses.firstIndex(of: $0) }
        spare = SeededRandom(seed: subject.seed)
        interfaces = Dictionary(
            node.dataplane.engine.routes.interfaces.map { ("\($0.name)", $0.index) },
            uniquingKeysWith: { first, _ in first })
    }

    /// The rules that match at random.
    var randomRules: [RuleAddress] { choices.randomRules }

    /// Injects a packet of which the kernel made `kernel`.
    ///
    /// - Parameters:
    ///   - hits: what the kernel's random rules have counted, including this packet.
    ///   - latest: when the kernel was done with it, at the latest; its own time is when it began.
    func inject(
        _ packet: CasePacket, after kernel: Outcome, hits: [UInt64], notLaterThan latest: Timestamp
    ) throws -> Outcome {
        let target = Target(
            hits: zip(hits, self.hits).map { Int($0) - Int($1) }, ports: kernel.chosenPorts)
        self.hits = hits
        if !randomRules.isEmpty || choices.drawsPorts { steer(packet, towards: target) }
        let outcome = try injectAndRemember(packet)
        if agree(node, kernel, outcome, packet) { return outcome }
        return try relived(kernel, packet, notLaterThan: latest) ?? outcome
    }

    /// The time of the last packet.
    var now: Timestamp { past.last?.packet.time ?? Timestamp(nanoseconds: 0) }

    func finish() -> FinalState { node.finish() }

    /// The last packet's way, from living through everything again.
    func traceOfLast() throws -> String {
        var options = Self.options
        options.traces = true
        let again = try OfflineNode(subject, options: options)
        var trace = ""
        for step in past { trace = try Self.repeated(step, on: again).trace }
        return trace
    }

    /// Whether the node did the same, and the same of its random rules matched: those whose targets
    /// nobody sees, too.
    private func agree(
        _ node: OfflineNode, _ kernel: Outcome, _ outcome: Outcome, _ packet: CasePacket
    ) -> Bool {
        guard OutcomeComparison.agree(kernel, outcome, injected: packet) else { return false }
        if randomCounters.isEmpty { return true }
        let counters = node.dataplane.engine.rules.ruleCounters
        return zip(randomCounters, hits).allSatisfy { counters[$0].packets == $1 }
    }

    private func injectAndRemember(_ packet: CasePacket) throws -> Outcome {
        let engine = node.dataplane.engine
        let step = Step(packet: packet, rules: engine.random, ports: engine.connections.random)
        past.append(step)
        return try node.inject(packet)
    }

    private static func repeated(_ step: Step, on node: OfflineNode) throws -> Outcome {
        node.dataplane.engine.random = step.rules
        node.dataplane.engine.connections.random = step.ports
        return try node.inject(step.packet)
    }

    // MARK: Dry runs

    /// What the kernel's choices led to, as far as a dry run shows it.
    private struct Target {
        /// Of each random rule, for this packet.
        var hits: [Int]
        var ports: ChosenPorts?
    }

    private func steer(_ packet: CasePacket, towards target: Target) {
        let engine = node.dataplane.engine
        let before = engine.random
        var draws = 0
        while prediction(packet).hits != target.hits {
            // One rule in a thousand would be found; a rule that cannot match is not looked for for long.
            guard draws < 4000 else {
                engine.random = before
                break
            }
            draws += 1
            engine.random = SeededRandom(seed: spare.next())
        }
        guard let wanted = target.ports, let found = prediction(packet).ports else { return }
        steerPorts(from: found, to: wanted) { [self] in
            prediction(packet).ports == wanted
        }
    }

    /// Sets the source of port choices so that `found` becomes `wanted`, if `agrees` says that it did.
    private func steerPorts(
        from found: ChosenPorts, to wanted: ChosenPorts, agrees: () -> Bool
    ) {
        guard choices.drawsPorts, found != wanted else { return }
        let table = node.dataplane.engine.connections
        let before = table.random
        for source in portSources(from: found, to: wanted) {
            table.random = source
            if agrees() { return }
        }
        table.random = before
    }

    /// Sources of random numbers that may lead from one choice to the other: first those that choose one end
    /// alone, since a rule may have given the other one.
    private func portSources(
        from found: ChosenPorts, to wanted: ChosenPorts
    ) -> AnySequence<SeededRandom> {
        let ends = [(found.destination, wanted.destination), (found.source, wanted.source)]
        let chosen =
            wanted.transport == .icmp
            ? [wanted.source] : ends.filter { $0.0 != $0.1 }.map(\.1)
        let offsets = chosen.map { choices.offsets(of: $0, wanted.transport) }
        let single = offsets.joined().map {
            SeededRandom(first: spare.next() & ~0xFFFF | UInt64($0))
        }
        if wanted.transport == .icmp {
            // Both ends share the identifier: where rules draw it for each, the second draw stays.
            let second = offsets.joined().lazy.compactMap {
                self.source(UInt16(truncatingIfNeeded: self.spare.next()), then: $0)
            }
            return AnySequence([AnySequence(single), AnySequence(second)].joined())
        }
        guard offsets.count > 1 else { return AnySequence(single) }
        let pairs = offsets[0].flatMap { first in offsets[1].map { (first, $0) } }
        return AnySequence(
            [AnySequence(single), AnySequence(pairs.lazy.compactMap { self.source($0, then: $1) })]
                .joined())
    }

    /// A source whose next two numbers end in these 16 bits each.
    private func source(_ first: UInt16, then second: UInt16) -> SeededRandom? {
        guard searches > 0 else {
            hasGivenUp = true
            return nil
        }
        for high in 0..<400_000 as Range<UInt64> {
            searches -= 1
            let source = SeededRandom(first: high << 16 | UInt64(first))
            var ahead = source
            _ = ahead.next()
            if UInt16(truncatingIfNeeded: ahead.next()) == second { return source }
        }
        return nil
    }

    /// What would become of the packet with the random sources as they are.
    private func prediction(_ packet: CasePacket) -> Target {
        let record: TraceRecord
        var frame = packet.bytes
        let dataplane = node.dataplane
        // A dry run gives the rules' source back as it was, but not the ports'.
        let ports = dataplane.engine.connections.random
        defer { dataplane.engine.connections.random = ports }
        switch packet.origin {
        case .wire(let link):
            record = frame.withMutableRawSpan {
                dataplane.explain(&$0, ingress: interfaces[link] ?? .none, now: packet.time)
            }
        case .node(let mark, let userID, let groupID):
            frame = [UInt8](repeating: 0, count: 12) + [8, 0] + frame
            record = frame.withMutableRawSpan {
                dataplane.explain(
                    &$0, ingress: .none, mark: mark, userID: userID, groupID: groupID,
                    now: packet.time)
            }
        }
        var counts = Array(repeating: 0, count: randomRules.count)
        for event in record.trace.events {
            guard case .rule(let rule, .hit, _) = event.kind else { continue }
            let address = RuleAddress(
                table: rule.table.rawValue, chain: rule.chain, number: rule.number)
            if let index = randomRules.firstIndex(of: address) { counts[index] += 1 }
        }
        return Target(hits: counts, ports: (record.trace.events.last?.view).map(ChosenPorts.init))
    }

    // MARK: Living through it again

    /// For packets that a dry run does not foresee, the last fragment of a datagram above all, and for
    /// limits that hang on the moment: everything is lived through again with another end. `nil` where
    /// none agrees.
    private func relived(
        _ kernel: Outcome, _ packet: CasePacket, notLaterThan latest: Timestamp
    ) throws -> Outcome? {
        guard let last = past.popLast() else { return nil }
        for candidate in candidates(last, kernel, packet, notLaterThan: latest) {
            guard repetitions > 0 else {
                hasGivenUp = true
                break
            }
            repetitions -= past.count + 1
            let again = try OfflineNode(subject, options: Self.options)
            for step in past { _ = try Self.repeated(step, on: again) }
            let outcome = try Self.repeated(candidate, on: again)
            guard agree(again, kernel, outcome, packet) else { continue }
            node = again
            past.append(candidate)
            return outcome
        }
        past.append(last)
        return nil
    }

    /// What to try in place of a packet's step; a search that takes its time comes last, and only where
    /// it is needed.
    private func candidates(
        _ last: Step, _ kernel: Outcome, _ packet: CasePacket, notLaterThan latest: Timestamp
    ) -> some Sequence<Step> {
        var candidates = moments(of: last, notLaterThan: latest)
        if !randomRules.isEmpty {
            candidates += (0..<40).map { _ in
                Step(
                    packet: last.packet, rules: SeededRandom(seed: spare.next()),
                    ports: last.ports)
            }
        }
        var sources = AnySequence<SeededRandom>([])
        if let wanted = kernel.chosenPorts {
            let found = packet.view.map(ChosenPorts.init) ?? wanted
            sources = portSources(from: found, to: wanted)
        }
        let steps = sources.lazy.map {
            Step(packet: last.packet, rules: last.rules, ports: $0)
        }
        return [AnySequence(candidates), AnySequence(steps)].joined()
    }

    /// When the kernel may have looked at its clock, which moves by ticks of up to 10 ms.
    private func moments(of step: Step, notLaterThan latest: Timestamp) -> [Step] {
        let tick: UInt64 = 10_000_000
        let began = step.packet.time.nanoseconds
        let early = max(now.nanoseconds, began - min(began, tick))
        return [latest.nanoseconds, early, latest.nanoseconds + tick].map {
            var other = step
            other.packet.time = Timestamp(nanoseconds: $0)
            return other
        }
    }
}
