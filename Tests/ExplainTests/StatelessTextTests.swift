import Explain
import Hooks
import NodeFixture
import Ruleset
import Testing
import Wire

@Suite("Stateless matches and mangling in words")
struct StatelessTextTests {
    private func lines(_ here: Node, _ sent: Sent) -> [String] {
        TraceText(ruleset: here.ruleset, ruleText: { _, _ in "" }) { _ in "" }.lines(sent.trace)
    }

    private func miss(_ match: StatelessMatch) -> String? {
        var here = Node { $0.add(.filter, "FORWARD", matches: [.stateless(match)], .drop) }
        let sent = here.handle(segment(client, 40000, blue, 80), on: eth0)
        return lines(here, sent).first { $0.contains("miss: ") }?
            .split(separator: "miss: ").last.map(String.init)
    }

    @Test("each kind of miss says what was compared")
    func misses() {
        let range = Interval(client, client)
        #expect(
            miss(.iprange(IPRangeMatch(source: Invertible(range, inverted: true))))
                == "source 192.0.2.2 = 192.0.2.2")
        #expect(
            miss(.iprange(IPRangeMatch(destination: Invertible(Interval(client, node)))))
                == "destination 10.0.0.1 ∉ 192.0.2.2-192.0.2.1")
        #expect(miss(.length(Invertible(Interval(50, 60)))) == "length 40 ∉ 50-60")
        #expect(miss(.ttl(TTLMatch(.less, 10))) == "ttl 63 ≥ 10")
        #expect(miss(.tos(Invertible(TOSTest(value: 16, mask: 255)))) == "tos 0x0 ≠ 0x10")
        #expect(miss(.dscp(Invertible(0, inverted: true))) == "dscp 0x0 = 0x0")
        #expect(
            miss(.mac(Invertible(MACAddress(rawValue: 0x0200_0000_0001))))
                == "the sender's MAC address ≠ 02:00:00:00:00:01")
        #expect(
            miss(.owner(OwnerMatch(users: Invertible(Interval(7, 7))))) == "user (none) ≠ 7")
        #expect(
            miss(.owner(OwnerMatch(groups: Invertible(Interval(7, 7))))) == "group (none) ≠ 7")
        var supplementary = OwnerMatch(groups: Invertible(Interval(7, 7), inverted: true))
        supplementary.includesSupplementaryGroups = true
        #expect(miss(.owner(supplementary)) == "no socket, so no supplementary groups")
        #expect(
            miss(.pkttype(Invertible(.broadcast))) == "the frame's type ≠ broadcast")
        #expect(
            miss(.rpfilter(.inverted)) == "the way back leads out of eth0")
        var bridged = PhysdevMatch()
        bridged.isBridged = .isThere
        #expect(miss(.physdev(bridged)) == "it is not bridged")
    }

    @Test("each change says what it was before and what it is now")
    func changes() {
        var here = Node {
            $0.add(.mangle, "PREROUTING", .mangle(.ttl(.set(9))))
            $0.add(.mangle, "PREROUTING", .mangle(.dscp(0x2E)))
            $0.add(.mangle, "FORWARD", .mangle(.classify(0x1_0010)))
        }
        let steps = lines(here, here.handle(segment(client, 1, blue, 80), on: eth0))
        for step in ["ttl        64 ⇒ 9", "tos        0x0 ⇒ 0xb8", "class      1:10"] {
            #expect(steps.contains("  " + step))
        }
    }
}
