// Compiling one ruleset after the other: what stays is not compiled again, and what comes out is what
// compiling everything anew gives.

import Testing

@testable import Ruleset

@Suite("The compiler")
struct CompilerTests {
    private static func services(_ count: Int, port: (Int) -> Int = { _ in 80 }) -> String {
        var text = "*nat\n:SERVICES - [0:0]\n"
        for service in 0..<count {
            text +=
                ":SVC-\(service) - [0:0]\n-A SVC-\(service) -p tcp -m recent --set --name \(service)\n"
            text += "-A SVC-\(service) -p tcp -j DNAT --to-destination 10.9.9.9:\(port(service))\n"
            text += "-A SERVICES -d 10.0.0.\(service) -p tcp -m tcp --dport 80 -j SVC-\(service)\n"
        }
        return text + "-A PREROUTING -j SERVICES\n-A OUTPUT -j SERVICES\nCOMMIT\n"
    }

    @Test("compiles a chain that changed and no other")
    func oneChain() throws {
        var engine = Engine()
        engine.run(.restore, [], input: Self.services(100))
        var compiler = RulesetCompiler()
        _ = try compiler.compile(engine.ruleset)
        #expect(compiler.statistics.chainsCompiled == 105)
        _ = try compiler.compile(engine.ruleset)
        #expect(compiler.lastCompiled == [])
        engine.iptables("-t nat -A SVC-7 -j RETURN")
        _ = try compiler.compile(engine.ruleset)
        #expect(compiler.lastCompiled == ["SVC-7"])
        engine.iptables("-t nat -N OTHER")
        engine.iptables("-t nat -A SVC-7 -j OTHER")
        _ = try compiler.compile(engine.ruleset)
        #expect(compiler.lastCompiled.sorted() == ["OTHER", "SVC-7"])
        #expect(compiler.statistics.layouts == 1)
    }

    @Test("refuses a jump to a chain that is gone, from one that was kept, and goes on as it was")
    func refusal() throws {
        var engine = Engine()
        engine.run(.restore, [], input: Self.services(3))
        var compiler = RulesetCompiler()
        _ = try compiler.compile(engine.ruleset)
        var broken = engine.ruleset
        let table = try #require(broken.tables.firstIndex { $0.name == .nat })
        broken.tables[table].chains.removeAll { $0.name == "SVC-1" }
        #expect(throws: CompileError.noSuchChain(.nat, chain: "SERVICES", target: "SVC-1")) {
            _ = try compiler.compile(broken)
        }
        let again = try compiler.compile(engine.ruleset)
        #expect(compiler.lastCompiled == [])
        #expect(CompiledText(again) == CompiledText(try CompiledRuleset(engine.ruleset)))
    }

    @Test("lays everything out anew once a third is waste")
    func waste() throws {
        var engine = Engine()
        engine.run(.restore, [], input: Self.services(10))
        var compiler = RulesetCompiler()
        var largest = 0
        for port in 1...100 {
            engine.run(.restore, [], input: Self.services(10) { $0 == 0 ? port : 80 })
            largest = max(largest, try compiler.compile(engine.ruleset).rules.count)
        }
        #expect(compiler.statistics.layouts > 1)
        #expect(largest < 3 * 32)
    }

    @Test("carries counters and nth along, for what stays and for what is compiled again")
    func counters() throws {
        var engine = Engine()
        engine.run(.restore, [], input: Self.services(3))
        engine.iptables("-t nat -A SVC-1 -m statistic --mode nth --every 3 --packet 0 -j RETURN")
        engine.iptables("-t nat -A SVC-2 -m statistic --mode nth --every 3 --packet 0 -j RETURN")
        var compiler = RulesetCompiler()
        let first = try compiler.compile(engine.ruleset)
        for index in first.ruleCounters.indices { first.count(ruleAt: index, bytes: index) }
        first.nthCounters = [1, 2]
        engine.iptables("-t nat -I SVC-1 -j RETURN")
        let second = try compiler.compile(engine.ruleset)
        #expect(compiler.lastCompiled == ["SVC-1"])
        second.adoptCounters(from: first)
        var live = engine.ruleset
        second.handOutCounters(to: &live)
        let counts = live.table(.nat).chains.flatMap { $0.rules.map(\.counters.packets) }
        #expect(counts.count == first.rules.count + 1)
        #expect(counts.filter { $0 == 0 }.count == 1)
        #expect(live.table(.nat).chain("SVC-1")?.rules[0].counters == .zero)
        // The nth rules stand where they stood.
        var nth: [UInt32] = []
        for match in second.matches {
            if case .nth(_, let counter, _) = match { nth.append(second.nthCounters[Int(counter)]) }
        }
        #expect(nth == [1, 2, 1])
        // What was counted since is not counted twice, and zeroing holds.
        second.count(ruleAt: 0, bytes: 1)
        engine.ruleset = live
        engine.iptables("-t nat -Z SVC-0")
        engine.iptables("-t nat -D SVC-1 1")
        let third = try compiler.compile(engine.ruleset)
        third.adoptCounters(from: second)
        third.handOutCounters(to: &engine.ruleset)
        #expect(engine.ruleset.table(.nat).chain("PREROUTING")?.rules[0].counters.packets == 2)
        #expect(engine.ruleset.table(.nat).chain("SVC-0")?.rules.map(\.counters.packets) == [0, 0])
        #expect(
            engine.ruleset.table(.nat).chain("SVC-1")?.rules.map(\.counters.packets) == [1, 1, 1])
    }

    @Test(
        "after any edits gives what compiling everything gives",
        arguments: [1, 2, 3, 4] as [UInt64])
    func randomEdits(seed: UInt64) throws {
        var random = Draw(state: seed)
        var engine = Engine()
        var compiler = RulesetCompiler()
        var compiledNow = try compiler.compile(engine.ruleset)
        let bodies = [
            "-p tcp -m multiport --dports 80,443", "-m conntrack --ctstate NEW",
            "-m conntrack --ctproto 6", "-m recent --name a --set", "-m limit --limit 1/second",
            "-m length --length 1:100", "-m statistic --mode nth --every 2 --packet 1",
            "-m connmark --mark 1", "-i eth0 -p udp", "-m mark --mark 5",
        ]
        let targets = ["ACCEPT", "DROP", "LOG --log-prefix x", "RETURN", "CONNMARK --save-mark"]
        for step in 0..<150 {
            let chain = "C\(random.next(6))"
            let line =
                switch random.next(9) {
                case 0: "-N \(chain)"
                case 1: "-F \(chain)"
                case 2: "-X \(chain)"
                case 3: "-D \(chain) 1"
                case 4: "-A FORWARD -j \(chain)"
                case 5: "-E \(chain) C\(random.next(6))"
                case 6: "-A \(chain) -j C\(random.next(6))"
                default:
                    "-I \(chain) \(bodies[random.next(bodies.count)]) -j \(targets[random.next(targets.count)])"
                }
            engine.iptables(line)
            let next = try compiler.compile(engine.ruleset)
            next.adoptCounters(from: compiledNow)
            compiledNow = next
            #expect(
                CompiledText(next) == CompiledText(try CompiledRuleset(engine.ruleset)),
                "seed \(seed), step \(step): \(line)")
        }
        #expect(compiler.statistics.chainsKept > compiler.statistics.chainsCompiled)
    }
}

/// SplitMix64.
private struct Draw {
    var state: UInt64

    mutating func next(_ bound: Int) -> Int {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return Int((mixed ^ (mixed >> 31)) % UInt64(bound))
    }
}

/// A snapshot as text, in which nothing depends on where in the pools it stands.
private struct CompiledText: Equatable {
    var lines: [String] = []

    init(_ compiled: CompiledRuleset) {
        lines.append("\(compiled.needsTracking) \(compiled.hasNAT) \(compiled.mayGrowPackets)")
        let liveRecents = compiled.stateful.recents.filter { !$0.isWaste }.map { "\($0.match)" }
        lines.append("recents \(liveRecents.sorted())")
        lines.append("limits \(compiled.stateful.limits.count)")
        for table in TableName.allCases {
            for hook in BuiltinChain.allCases {
                guard let slot = compiled.baseChain(table, hook) else { continue }
                lines.append("\(table) \(hook) \(compiled.chains[slot].name)")
            }
        }
        for slot in compiled.order {
            let chain = compiled.chains[Int(slot)]
            lines.append("\(chain.name) \(chain.policy)")
            for index in Int(chain.firstRule)..<chain.endRule {
                lines.append(Self.text(index, compiled))
            }
        }
    }

    private static func text(_ index: Int, _ compiled: CompiledRuleset) -> String {
        let rule = compiled.rules[index]
        let matches = (rule.firstMatch..<rule.firstMatch + rule.matchCount).map {
            text(compiled.matches[Int($0)], compiled)
        }
        return "\(compiled.identities[index]) \(rule.source) \(rule.destination) \(rule.flags) "
            + "\(rule.protocol) \(matches) \(text(rule.target, compiled))"
    }

    private static func text(_ match: CompiledMatch, _ compiled: CompiledRuleset) -> String {
        switch match {
        case .multiport(let multiport):
            let ports = compiled.portRanges[
                Int(multiport.first)..<Int(multiport.first + multiport.count)]
            return "multiport \(Array(ports))"
        case .conntrack(let place): return "\(compiled.conntrackMatches[Int(place)])"
        case .stateless(let place): return "\(compiled.statelessMatches[Int(place)])"
        case .nth(let every, _, let inverted): return "nth \(every) \(inverted)"
        case .stateful(.recent(let place)): return "\(compiled.stateful.recents[Int(place)])"
        case .stateful(.limit(let place)): return "\(compiled.stateful.limits[Int(place)])"
        default: return "\(match)"
        }
    }

    private static func text(_ target: CompiledTarget, _ compiled: CompiledRuleset) -> String {
        switch target {
        case .jump(let slot): "jump \(compiled.chains[Int(slot)].name)"
        case .translate(_, let place): "\(compiled.translations[Int(place)])"
        case .log(let place): "\(compiled.logs[Int(place)])"
        case .connmark(let place): "\(compiled.connmarks[Int(place)])"
        default: "\(target)"
        }
    }
}
