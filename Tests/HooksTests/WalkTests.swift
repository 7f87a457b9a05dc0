import Conntrack
import Hooks
import NodeFixture
import Routing
import Ruleset
import Testing
import Wire

@Suite("Walking chains")
struct WalkTests {
    @Test("without rules a packet is forwarded with its TTL one less")
    func forwards() {
        var here = Node()
        let sent = here.handle(segment(client, 40000, blue, 80), on: eth0)
        #expect(
            sent.disposition
                == .forward(Egress(interface: br0, nextHop: blue, mtu: 1500)))
        #expect(sent.view.timeToLive == 63)
        #expect(here.engine.connections.count == 0)
    }

    @Test("a packet for the node is delivered, one without a route is answered")
    func routing() {
        var here = Node()
        #expect(here.handle(segment(client, 1, node, 22), on: eth0).disposition == .deliver)
        let lost = here.handle(segment(client, 1, IPv4Address(203, 0, 113, 9), 80), on: eth0)
        #expect(
            lost.disposition == .answer(.icmp(type: 3, code: 0, information: 0), .noRoute))
    }

    @Test("a TTL of 1 is answered with time exceeded before FORWARD")
    func timeToLive() {
        var here = Node { $0.add(.filter, "FORWARD", .accept) }
        let sent = here.handle(segment(client, 1, blue, 80, timeToLive: 1), on: eth0)
        #expect(
            sent.disposition == .answer(.icmp(type: 11, code: 0, information: 0), .timeToLive))
        #expect(here.counters(.filter, "FORWARD") == [0])
    }

    @Test("policy, rule and REJECT each say so")
    func verdicts() {
        var here = Node {
            $0.policy(.filter, "FORWARD", .drop)
            $0.add(.filter, "FORWARD", matches: [port(81)], .drop) { $0.protocol = .init(.tcp) }
            $0.add(.filter, "FORWARD", matches: [port(82)], .reject(.tcpReset)) {
                $0.protocol = .init(.tcp)
            }
            $0.add(.filter, "FORWARD", matches: [port(83)], .reject(.adminProhibited)) {
                $0.protocol = .init(.tcp)
            }
        }
        func ask(_ port: UInt16) -> Disposition {
            here.handle(segment(client, 1, blue, port), on: eth0).disposition
        }
        #expect(ask(80) == .drop(.policy))
        #expect(ask(81) == .drop(.rule))
        #expect(ask(82) == .answer(.tcpReset, .rejected))
        #expect(ask(83) == .answer(.icmp(type: 3, code: 13, information: 0), .rejected))
        #expect(here.counters(.filter, "FORWARD") == [1, 1, 1])
    }

    @Test("a policy that nobody has set counts from the beginning")
    func policyCounters() throws {
        var here = Node { $0.add(.filter, "FORWARD", .none) }
        here.handle(segment(client, 1, blue, 80), on: eth0)
        var ruleset = here.ruleset
        here.engine.rules.handOutCounters(to: &ruleset)
        let chain = try #require(ruleset.table(.filter).chain("FORWARD"))
        #expect(chain.counters.packets == 1)
    }

    @Test("a jump comes back, a goto does not, RETURN ends a user chain")
    func chains() {
        var here = Node {
            $0.add(.filter, "INNER", .none)
            $0.add(.filter, "INNER", matches: [port(80)], .return)
            $0.add(.filter, "INNER", .drop)
            $0.add(.filter, "OUTER", .goto("INNER"))
            $0.add(.filter, "OUTER", .drop)
            $0.add(.filter, "FORWARD", .jump("OUTER"))
            $0.add(.filter, "FORWARD", .accept)
        }
        let passed = here.handle(segment(client, 1, blue, 80), on: eth0)
        #expect(passed.disposition == .forward(Egress(interface: br0, nextHop: blue, mtu: 1500)))
        #expect(here.counters(.filter, "OUTER") == [1, 0])
        #expect(here.counters(.filter, "FORWARD") == [1, 1])
        #expect(
            here.handle(segment(client, 1, blue, 81), on: eth0).disposition == .drop(.rule))
        #expect(here.counters(.filter, "INNER") == [2, 1, 1])
    }

    @Test("RETURN in a base chain, and a goto from one that ends, mean the policy")
    func baseChainEnds() {
        var here = Node {
            $0.policy(.filter, "FORWARD", .drop)
            $0.add(.filter, "ELSE", .none)
            $0.add(.filter, "FORWARD", matches: [port(80)], .return)
            $0.add(.filter, "FORWARD", .goto("ELSE"))
            $0.add(.filter, "FORWARD", .accept)
        }
        for port in [UInt16(80), 81] {
            let sent = here.handle(segment(client, 1, blue, port), on: eth0)
            #expect(sent.disposition == .drop(.policy))
        }
    }

    @Test("a ruleset whose jumps run in a circle, or nest deeper than 16, is refused")
    func depth() {
        func nested(_ levels: Int, circle: Bool = false) -> Ruleset {
            var here = Node()
            for level in 1...levels {
                let next: Target =
                    level < levels ? .jump("C\(level + 1)") : circle ? .jump("C1") : .accept
                here.add(.filter, "C\(level)", next)
            }
            here.add(.filter, "INPUT", .jump("C1"))
            return here.ruleset
        }
        #expect(throws: Never.self) { try CompiledRuleset(nested(16)) }
        #expect(throws: CompileError.self) { try CompiledRuleset(nested(17)) }
        #expect(throws: CompileError.self) { try CompiledRuleset(nested(3, circle: true)) }
    }

    @Test("every inversion turns its test round")
    func inversions() {
        let sample = segment(client, 40000, blue, 80)
        func hits(_ matches: [Match] = [], _ change: @escaping (inout Rule) -> Void) -> Bool {
            var here = Node { $0.add(.filter, "FORWARD", matches: matches, .drop, change: change) }
            return here.handle(sample, on: eth0).disposition == .drop(.rule)
        }
        for inverted in [false, true] {
            let network = AddressMatch(IPv4Network(client, prefixLength: 24), inverted: inverted)
            #expect(hits { $0.source = network } != inverted)
            let pods = AddressMatch(IPv4Network(blue, prefixLength: 32), inverted: inverted)
            #expect(hits { $0.destination = pods } != inverted)
            let `in` = InterfaceMatch(name: "et", wildcard: true, inverted: inverted)
            #expect(hits { $0.inInterface = `in` } != inverted)
            let out = InterfaceMatch(name: "br0", inverted: inverted)
            #expect(hits { $0.outInterface = out } != inverted)
            #expect(hits { $0.protocol = Invertible(.tcp, inverted: inverted) } != inverted)
            #expect(hits { $0.fragment = FragmentMatch(inverted: inverted) } == inverted)
            let ports = TCPMatch(
                destinationPorts: Invertible(PortRange(Port(79), Port(81)), inverted: inverted))
            #expect(hits([.tcp(ports)]) { _ in } != inverted)
            let flags = TCPMatch(flags: Invertible(.syn, inverted: inverted))
            #expect(hits([.tcp(flags)]) { _ in } != inverted)
            let many = MultiportMatch(
                side: .either, ports: [PortRange(Port(1)), PortRange(Port(80))],
                inverted: inverted)
            #expect(hits([.multiport(many)]) { _ in } != inverted)
            let mark = Invertible(MarkTest(value: 0), inverted: inverted)
            #expect(hits([.mark(mark)]) { _ in } != inverted)
            let types = AddrtypeMatch(destination: Invertible(.unicast, inverted: inverted))
            #expect(hits([.addrtype(types)]) { _ in } != inverted)
        }
    }

    @Test("MARK changes the bits of its mask, and later tables see the mark")
    func marks() {
        var here = Node {
            $0.add(.mangle, "PREROUTING", .mark(MarkTarget(value: 0x12, mask: 0xFF)))
            $0.add(.mangle, "FORWARD", .mark(MarkTarget(value: 0x300, mask: 0xF00)))
            let test = Invertible(MarkTest(value: 0x312, mask: .max))
            $0.add(.filter, "FORWARD", matches: [.mark(test)], .drop)
        }
        #expect(here.handle(segment(client, 1, blue, 80), on: eth0).disposition == .drop(.rule))
    }

    @Test("nth matches one packet in so many, the first where it says packet 0")
    func nth() {
        var here = Node {
            let nth = StatisticMatch(.nth(every: 3, packet: 0))
            $0.add(.filter, "FORWARD", matches: [.statistic(nth)], .drop)
            let second = StatisticMatch(.nth(every: 2, packet: 1))
            $0.add(.filter, "FORWARD", matches: [.statistic(second)], .reject(.portUnreachable))
        }
        let outcomes = (0..<6).map { _ in
            here.handle(segment(client, 1, blue, 80), on: eth0).disposition
        }
        #expect(outcomes.map { $0 == .drop(.rule) } == [true, false, false, true, false, false])
        #expect(here.counters(.filter, "FORWARD") == [2, 2])
    }

    @Test("random matches with its probability")
    func random() {
        let seed = UInt64.random(in: 0 ... .max)
        var here = Node {
            let third = StatisticMatch(.random(probability: UInt32(1 << 31) / 3))
            $0.add(.filter, "FORWARD", matches: [.statistic(third)], .drop)
            $0.add(
                .filter, "FORWARD", matches: [.statistic(.init(.random(probability: 1 << 31)))],
                .none)
        }
        here.engine.random = SeededRandom(seed: seed)
        for _ in 0..<6000 { here.handle(segment(client, 1, blue, 80), on: eth0) }
        let counted = here.counters(.filter, "FORWARD")
        // Six standard deviations of a binomial with p = 1/3 are 219.
        #expect(abs(Int(counted[0]) - 2000) < 219, "seed \(seed)")
        #expect(counted[0] + counted[1] == 6000)
    }

    /// A TCP segment to port 80 of which only `length` bytes of the header are there.
    private func cutShort(_ length: Int) -> [UInt8] {
        var short = segment(client, 1, blue, 80)
        short.removeLast(20 - length)
        var span = short.mutableSpan
        var raw = span.mutableBytes
        raw.set(UInt16(20 + length), at: 16)
        raw.set(UInt16(0), at: 24)
        var sum = InternetChecksum()
        sum.add(raw.bytes, 14..<34)
        raw.set(sum.complemented, at: 24)
        return short
    }

    @Test("of a TCP header cut short, what is there is compared, and what is not never matches")
    func cutShortHeader() {
        let inverted = Match.tcp(
            TCPMatch(destinationPorts: Invertible(PortRange(Port(80)), inverted: true)))
        let several = Match.multiport(
            MultiportMatch(side: .destination, ports: [PortRange(Port(80))]))
        var here = Node {
            for match in [port(80), inverted, .tcp(TCPMatch(flags: Invertible(.syn)))] {
                $0.add(.filter, "FORWARD", matches: [match], .none) { $0.protocol = .init(.tcp) }
            }
        }
        for (length, hits) in [(14, [1, 0, 1]), (12, [2, 0, 1]), (3, [2, 0, 1])]
            as [(Int, [UInt64])]
        {
            #expect(
                here.handle(cutShort(length), on: eth0).disposition != .drop(.malformedTransport))
            #expect(here.counters(.filter, "FORWARD") == hits, "\(length) bytes")
        }
        var ports = Node { $0.add(.filter, "FORWARD", matches: [several], .none) }
        ports.handle(cutShort(4), on: eth0)
        #expect(ports.counters(.filter, "FORWARD") == [1])
        #expect(ports.handle(cutShort(3), on: eth0).disposition == .drop(.malformedTransport))
    }

    @Test("a truncated TCP header drops the packet where a rule asks for an option or for nothing")
    func hotDrop() {
        let option = TCPMatch(
            destinationPorts: Invertible(PortRange(Port(81))), option: Invertible(2))
        for match in [TCPMatch(), option] {
            var here = Node { $0.add(.filter, "FORWARD", matches: [.tcp(match)], .accept) }
            #expect(here.handle(cutShort(12), on: eth0).disposition == .drop(.malformedTransport))
        }
    }

    @Test("an edit keeps the counters of the rules it keeps, and where nth stands")
    func adoption() {
        var here = Node {
            let nth = StatisticMatch(.nth(every: 2, packet: 0))
            $0.add(.filter, "FORWARD", matches: [.statistic(nth)], .none)
            $0.add(.filter, "FORWARD", .none)
        }
        here.handle(segment(client, 1, blue, 80), on: eth0)
        let old = here.engine.rules
        old.handOutCounters(to: &here.ruleset)
        // Counted between the reading and the swap: must not be lost.
        here.handle(segment(client, 1, blue, 80), on: eth0)
        here.ruleset.tables[0].chains[1].rules.remove(at: 1)
        here.install()
        here.engine.rules.adoptCounters(from: old)
        #expect(here.counters(.filter, "FORWARD") == [1])
        here.handle(segment(client, 1, blue, 80), on: eth0)
        #expect(here.counters(.filter, "FORWARD") == [2])
    }
}
