// What Sluice refuses of the stateless matches and mangling targets where iptables does not, and what
// they mean for the loopback. What both say alike is in the fixture `stateless`.

import Ruleset
import Testing

@Suite("Stateless matches and mangling targets")
struct StatelessTests {
    @Test(
        "the existence of a socket is refused by name",
        arguments: ["--socket-exists", "! --socket-exists", "--uid-owner 0 --socket-exists"])
    func owner(_ words: String) {
        var engine = Engine()
        let outcome = engine.iptables("-A OUTPUT -m owner \(words) -j DROP")
        #expect(outcome.status == 2)
        #expect(outcome.ruleset == nil)
        #expect(outcome.standardError.contains("of match \"owner\" is not supported by Sluice"))
        #expect(outcome.standardError.contains("--uid-owner"))
    }

    /// The kernel would look for a route that a packet in PREROUTING or INPUT does not have.
    @Test(
        "clamping to the path's MTU is refused where a user's chain would bring it to a wrong hook")
    func clamp() {
        var engine = Engine()
        engine.iptables("-t mangle -N c")
        engine.iptables("-t mangle -A c -p tcp -j TCPMSS --clamp-mss-to-pmtu")
        #expect(engine.iptables("-t mangle -A FORWARD -j c").status == 0)
        let outcome = engine.iptables("-t mangle -A PREROUTING -j c")
        #expect(outcome.status == 4)
        #expect(
            outcome.standardError.contains(
                "TCPMSS works in FORWARD, OUTPUT, POSTROUTING only and would be reached from "
                    + "PREROUTING"))
    }

    @Test(
        "numbers that iptables would cut are refused",
        arguments: [
            "-t mangle -A FORWARD -j CLASSIFY --set-class 1ffff:1",
            "-t mangle -A FORWARD -j CLASSIFY --set-class 1:2x",
            "-A INPUT -p dccp --dport 70000", "-A INPUT -p dccp --dport 90:80",
        ])
    func cut(_ line: String) {
        var engine = Engine()
        let outcome = engine.iptables(line)
        #expect(outcome.status == 2)
        #expect(outcome.ruleset == nil)
    }

    @Test(
        "rules that say no to every packet of the loopback leave the loopback alone",
        arguments: [
            ("-t raw -A PREROUTING -m rpfilter --invert -j DROP", false),
            ("-t raw -A PREROUTING -m rpfilter -j ACCEPT", true),
            ("-A INPUT -m mac ! --mac-source 02:00:00:00:00:01 -j DROP", false),
            ("-A INPUT -m physdev --physdev-in eth0 -j DROP", false),
            ("-A INPUT -m physdev ! --physdev-in eth0 -j DROP", true),
            ("-A OUTPUT -m owner --uid-owner 1000 -j DROP", true),
            ("-A INPUT -m ttl --ttl-lt 5 -j DROP", true),
        ])
    func loopback(_ line: String, _ meets: Bool) {
        var engine = Engine()
        engine.iptables(line)
        #expect(engine.ruleset.mayMeetLoopback == meets)
    }
}
