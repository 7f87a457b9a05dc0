import Explain
import Hooks
import NodeFixture
import Ruleset
import Testing
import Wire

@Suite("Traces in words")
struct TraceTextTests {
    func lines(_ here: Node, _ sent: Sent) -> [String] {
        TraceText(
            ruleset: here.ruleset, ruleText: { rule, chain in "\(chain) #\(rule.id.rawValue)" }
        ) {
            here.engine.routes.name(of: $0).description
        }.lines(sent.trace)
    }

    @Test("a whole journey reads from the frame to its end")
    func journey() {
        var here = Node {
            $0.add(.nat, "PREROUTING", matches: [port(443)], dnat(blue, 443))
            $0.add(.nat, "PREROUTING", matches: [port(8080)], dnat(blue, 80))
        }
        let sent = here.handle(segment(client, 40000, node, 8080), on: eth0)
        #expect(
            lines(here, sent) == [
                "tcp 192.0.2.2:40000 > 192.0.2.1:8080 S, 40 bytes, in eth0",
                "PREROUTING",
                "  conntrack  NEW, entry created, original direction",
                "  nat PREROUTING",
                "    1 PREROUTING #1",
                "        miss: dport 8080 ≠ 443",
                "    2 PREROUTING #2",
                "        hit",
                "  nat        destination bound by the rule",
                "  rewrite    destination 192.0.2.1:8080 ⇒ 10.0.0.1:80",
                "  routing    out br0, on link, MTU 1500",
                "  ttl        64 ⇒ 63",
                "FORWARD",
                "POSTROUTING",
                "  nat POSTROUTING",
                "    policy of POSTROUTING: ACCEPT",
                "  nat        source bound as it is (null binding)",
                "  conntrack  entry confirmed",
                "  forwarded  out br0, next hop 10.0.0.1",
            ])
    }

    @Test("each kind of miss says what was compared")
    func misses() {
        func miss(_ matches: [Match] = [], _ change: @escaping (inout Rule) -> Void = { _ in })
            -> String?
        {
            var here = Node {
                $0.add(.filter, "FORWARD", matches: matches, .drop, change: change)
            }
            let sent = here.handle(segment(client, 40000, blue, 80), on: eth0)
            return lines(here, sent).first { $0.contains("miss: ") }?
                .split(separator: "miss: ").last.map(String.init)
        }
        let pods = IPv4Network(IPv4Address(10, 1, 0, 0), prefixLength: 16)
        #expect(miss { $0.source = AddressMatch(pods) } == "source 192.0.2.2 ∉ 10.1.0.0/16")
        #expect(
            miss {
                $0.destination = AddressMatch(IPv4Network(blue, prefixLength: 32), inverted: true)
            }
                == "destination 10.0.0.1 ∈ 10.0.0.1")
        #expect(miss { $0.inInterface = InterfaceMatch(name: "br0") } == "in eth0 ≠ br0")
        #expect(
            miss { $0.outInterface = InterfaceMatch(name: "eth", wildcard: true) }
                == "out br0 ≠ eth+")
        #expect(miss { $0.protocol = Invertible(.udp) } == "protocol 6 ≠ 17")
        #expect(miss { $0.fragment = FragmentMatch() } == "it is not a later fragment")
        let range = TCPMatch(sourcePorts: Invertible(PortRange(Port(1), Port(9))))
        #expect(miss([.tcp(range)]) == "sport 40000 ∉ 1:9")
        let flags = TCPMatch(flags: Invertible(.syn, inverted: true))
        #expect(miss([.comment("x"), .tcp(flags)]) == "flags S = S")
        let states = Invertible<ConnectionStates>([.related, .established])
        #expect(miss([.state(states)]) == "state NEW ∉ RELATED,ESTABLISHED")
        #expect(miss([.mark(Invertible(MarkTest(value: 0x10)))]) == "mark 0x0 ≠ 0x10")
        let never = miss([.statistic(StatisticMatch(.random(probability: 0)))])
        #expect(never?.hasSuffix(" ≥ 0.0000") == true)
    }

    @Test("records name the rule, its outcome and the reason")
    func records() {
        var here = Node { $0.add(.filter, "FORWARD", matches: [port(443)], .drop) }
        let sent = here.handle(segment(client, 40000, blue, 80), on: eth0)
        let steps = TraceText(ruleset: here.ruleset, ruleText: { _, _ in "" }) { _ in "" }
            .steps(sent.trace)
        let rule = steps.first { $0.step == "rule" }
        #expect(rule?.table == "filter" && rule?.chain == "FORWARD" && rule?.rule == 1)
        #expect(rule?.outcome == "miss" && rule?.reason == "dport 80 ≠ 443")
        #expect(steps.last?.step == "end")
    }
}

@Suite("The log line")
struct LogTextTests {
    @Test("a SYN is logged as the kernel logs it")
    func tcp() {
        var logged: [String] = []
        var here = Node {
            let log = LogTarget(prefix: "in: ", flags: .tcpSequence)
            $0.add(.filter, "FORWARD", .log(log))
        }
        here.engine.onLog = { record, bytes in logged.append(record.line(bytes)) }
        here.handle(segment(client, 40000, blue, 80), on: eth0)
        #expect(
            logged == [
                "in: IN=eth0 OUT=br0 MAC=00:00:00:00:00:00:00:00:00:00:00:00:08:00 "
                    + "SRC=192.0.2.2 DST=10.0.0.1 LEN=40 TOS=0x00 PREC=0x00 TTL=63 ID=0 DF "
                    + "PROTO=TCP SPT=40000 DPT=80 SEQ=100 ACK=0 WINDOW=28672 RES=0x00 SYN URGP=0 "
            ])
    }

    @Test("TRACE tells which rules a packet matches from there on, in the words of xtables-monitor")
    func ruleTrace() {
        var here = Node {
            $0.add(.raw, "PREROUTING", .none)
            $0.add(.raw, "PREROUTING", .trace)
            $0.add(.filter, "own", matches: [port(81)], .drop)
            $0.add(.filter, "own", .return)
            $0.add(.filter, "FORWARD", .jump("own"))
            $0.add(.filter, "FORWARD", .accept)
        }
        var text = ""
        let rules = here.ruleset
        here.engine.onRuleTrace = { trace, _ in
            text += trace.lines(identity: 0xAB) { reference in
                rules.table(reference.table).chain(reference.chain)?.rules
                    .first { $0.id == reference.id }?
                    .saved(chain: reference.chain, counters: false, resolver: NumericResolver())
            }
        }
        here.handle(segment(client, 40000, blue, 80), on: eth0)
        let head = "SRC=192.0.2.2 DST=10.0.0.1 LEN=40 TOS=0x0 TTL="
        let tail = " ID=0 DF SPORT=40000 DPORT=80 "
        #expect(
            text.split(separator: "\n").map(String.init) == [
                "PACKET: 2 000000ab IN=eth0 \(head)64\(tail)",
                " TRACE: 2 000000ab raw:PREROUTING:rule:0x2:CONTINUE  -4 -t raw -A PREROUTING -j TRACE",
                " TRACE: 2 000000ab raw:PREROUTING:policy:ACCEPT ",
                "PACKET: 2 000000ab IN=eth0 OUT=br0 \(head)63\(tail)",
                " TRACE: 2 000000ab filter:FORWARD:rule:0x1:JUMP:own  -4 -t filter -A FORWARD -j own",
                " TRACE: 2 000000ab filter:own:rule:0x2:RETURN  -4 -t filter -A own -j RETURN",
                " TRACE: 2 000000ab filter:FORWARD:rule:0x2:ACCEPT  -4 -t filter -A FORWARD -j ACCEPT",
            ])
        text = ""
        here.handle(segment(client, 40000, blue, 80), on: eth0, dryRun: true)
        #expect(text.isEmpty)
    }
}
