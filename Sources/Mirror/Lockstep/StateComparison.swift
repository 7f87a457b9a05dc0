// What both engines hold after all packets: connections, events, rules with their counters.

import Scenario

struct StateComparison {
    let kernel: FinalState
    let sluice: FinalState
    /// The case's rules.
    let rules: String
    /// Seconds by which timeouts may differ, since neither engine's list is made in no time.
    let tolerance: Int

    var divergence: Divergence? {
        difference(.connections, connections(kernel, sluice), connections(sluice, kernel))
            ?? eventDifference
            ?? difference(.rules, lines(kernel, sluice), lines(sluice, kernel))
    }

    private func difference(
        _ place: Divergence.Place, _ kernel: [String], _ sluice: [String]
    ) -> Divergence? {
        guard !kernel.isEmpty || !sluice.isEmpty else { return nil }
        return Divergence(place: place, packet: "", kernel: kernel, sluice: sluice)
    }

    // MARK: Connections

    /// Those of one engine that the other has not. An entry about to expire may be gone already.
    private func connections(_ one: FinalState, _ other: FinalState) -> [String] {
        var others = Dictionary(grouping: other.connections.map(ConnectionLine.init), by: \.words)
        return one.connections.filter { text in
            let line = ConnectionLine(text)
            if let match = others[line.words]?.firstIndex(where: { isNear($0, line) }) {
                others[line.words]?.remove(at: match)
                return false
            }
            return line.timeout.map { $0 > tolerance } ?? true
        }
    }

    private func isNear(_ a: ConnectionLine, _ b: ConnectionLine) -> Bool {
        guard let a = a.timeout, let b = b.timeout else { return a.timeout == b.timeout }
        return abs(a - b) <= tolerance
    }

    // MARK: Events

    /// The first place where the events part. Entries that expired during the run end when each engine
    /// comes across them, so with timeouts that short the ends are compared without their order.
    private var eventDifference: Divergence? {
        let there = kernel.events.map(ConnectionLine.init)
        let here = sluice.events.map(ConnectionLine.init)
        if let first = firstDifference(there, here) {
            let ends: (ConnectionLine) -> Bool = { $0.words.first == "[DESTROY]" }
            let live = { (lines: [ConnectionLine]) in lines.filter { !ends($0) } }
            let ended = { (lines: [ConnectionLine]) in
                lines.filter(ends).sorted { $0.words.lexicographicallyPrecedes($1.words) }
            }
            if expiresDuringRun, firstDifference(live(there), live(here)) == nil,
                firstDifference(ended(there), ended(here)) == nil
            {
                return nil
            }
            let part = { (events: [String]) in Array(events.dropFirst(max(0, first - 2)).prefix(5))
            }
            return Divergence(
                place: .events, packet: "", kernel: part(kernel.events),
                sluice: part(sluice.events))
        }
        return nil
    }

    private var expiresDuringRun: Bool {
        tolerance > 3 || kernel.events.contains { $0.hasPrefix("[DESTROY]") }
    }

    private func firstDifference(_ a: [ConnectionLine], _ b: [ConnectionLine]) -> Int? {
        let common = zip(a, b).enumerated().first { _, pair in
            pair.0.words != pair.1.words || !isNear(pair.0, pair.1)
        }
        return common?.offset ?? (a.count == b.count ? nil : min(a.count, b.count))
    }

    // MARK: Rules

    /// The lines of one engine's `iptables-save -c` that do not stand in their place in the other's.
    private func lines(_ one: FinalState, _ other: FinalState) -> [String] {
        let lines = comparable(one.rules)
        let others = comparable(other.rules)
        return lines.indices.filter { $0 >= others.count || lines[$0] != others[$0] }
            .map { lines[$0] }
    }

    /// 1.8.9 counts a policy only once it was set (Docs/Differences.md): the others' counters say nothing.
    private func comparable(_ text: String) -> [String] {
        let set = Set(declarations(rules).map { $0.table + " " + $0.chain })
        return declarations(text, all: true).map { line in
            guard let chain = line.policyOf, !set.contains(line.table + " " + chain) else {
                return line.text
            }
            return line.text.prefix { $0 != "[" } + "[not counted]"
        }
    }

    private struct Line {
        var table: String
        var chain: String
        var text: String
        var policyOf: String?
    }

    private func declarations(_ text: String, all: Bool = false) -> [Line] {
        var table = ""
        return text.split(separator: "\n").compactMap { line in
            if line.hasPrefix("*") { table = String(line.dropFirst()) }
            let words = line.dropFirst().split(separator: " ")
            let chain = line.hasPrefix(":") ? words.first.map(String.init) : nil
            guard all || chain != nil else { return nil }
            return Line(table: table, chain: chain ?? "", text: String(line), policyOf: chain)
        }
    }
}

/// A line of `conntrack -L` or `-E`, its timeout apart. How many hold a reference to an entry is nobody's
/// business.
struct ConnectionLine {
    var words: [Substring]
    var timeout: Int?

    init(_ text: String) {
        words = text.split(separator: " ").filter { !$0.hasPrefix("use=") }
        // Protocol name, protocol number, and then the timeout if there is one.
        var position = 2
        if words.first == "ipv4" { position += 2 }
        if words.first?.hasPrefix("[") == true { position += 1 }
        guard words.indices.contains(position), let timeout = Int(words[position]) else { return }
        self.timeout = timeout
        words.remove(at: position)
    }
}
