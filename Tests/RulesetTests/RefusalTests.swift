// What is refused, and how: nothing half applied, and a second line with place and expectation.

import Ruleset
import Testing

@Suite("Refusals")
struct RefusalTests {
    @Test("an unsupported match is refused by name, with what is supported")
    func unsupportedMatch() {
        var engine = Engine()
        let text =
            "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -m set --match-set x src -j DROP\nCOMMIT\n"
        let outcome = engine.run(.restore, [], input: text)
        #expect(outcome.status == 2)
        #expect(outcome.ruleset == nil)
        let lines = outcome.standardError.split(separator: "\n")
        #expect(
            lines.first
                == "iptables-restore v1.8.9 (nf_tables): Couldn't load match `set':No such file or directory"
        )
        #expect(
            lines.last?.hasPrefix(
                "sluice: standard input, line 3, column 13: match \"set\" is not supported by "
                    + "Sluice yet; supported: addrtype, ah, comment,") == true)
    }

    @Test(
        "an unsupported target is refused by name",
        arguments: ["TPROXY", "TEE", "QUEUE"])
    func unsupportedTarget(_ name: String) {
        var engine = Engine()
        let outcome = engine.iptables("-t mangle -A PREROUTING -j \(name)")
        #expect(outcome.status == 2)
        #expect(outcome.ruleset == nil)
        #expect(outcome.standardError.contains("target \"\(name)\" is not supported by Sluice yet"))
    }

    @Test(
        "a name with white space or a quote is saved so that it loads again",
        arguments: [" ", "\t", "\"", "\r", "\u{301}", " \u{301}"],
        [
            "-i", "-o", "-m physdev --physdev-in", "-m recent --set --name",
            "-m hashlimit --hashlimit-above 1/s --hashlimit-name",
        ])
    func oddName(character: String, option: String) {
        let words = ["-A", "FORWARD"] + option.split(separator: " ").map(String.init)
        var engine = Engine()
        for name in ["a\(character)b", "a\(character)"] {
            #expect(engine.run(.iptables, words + [name], input: "").status == 0)
        }
        var again = Engine()
        #expect(again.run(.restore, [], input: engine.saved).status == 0)
        #expect(again.saved == engine.saved)
        let refused = engine.run(.iptables, words + ["a\nb"], input: "")
        #expect(refused.ruleset == nil)
        #expect(refused.standardError.contains("must not hold the end of a line"))
    }

    @Test("a chain's name has no quote", arguments: ["a\"b", "\"", "a\""])
    func quotedChain(name: String) {
        var engine = Engine()
        let outcome = engine.run(.iptables, ["-N", name], input: "")
        #expect(outcome.ruleset == nil)
        #expect(outcome.standardError.contains("Invalid chain name"))
    }

    @Test("a table is all or nothing, and the tables before it stay")
    func atomicPerTable() {
        var engine = Engine()
        engine.iptables("-A INPUT -s 10.0.0.1 -j DROP")
        let text = """
            *nat
            -A POSTROUTING -j MASQUERADE
            COMMIT
            *filter
            -A INPUT -j ACCEPT
            -A INPUT -p tcp --dport 99999 -j ACCEPT
            COMMIT

            """
        let outcome = engine.run(.restore, [], input: text)
        #expect(outcome.status == 2)
        let lines = outcome.standardError.split(separator: "\n")
        #expect(lines.contains("Error occurred at line: 6"))
        let place = "sluice: standard input, line 6, column 25: \"99999\": "
        let expectation = "expected a port from 0 to 65535 or the name of a service"
        #expect(lines.last.map(String.init) == place + expectation)
        #expect(
            engine.iptables("-S INPUT").standardOutput.hasSuffix(
                "-A INPUT -s 10.0.0.1/32 -j DROP\n"))
        #expect(engine.iptables("-t nat -S").standardOutput.hasSuffix("-j MASQUERADE\n"))
    }

    @Test("the kernel's silent Invalid argument comes with the reason")
    func reasons() {
        var engine = Engine()
        let outcome = engine.iptables("-t nat -A PREROUTING -j MASQUERADE")
        #expect(outcome.status == 4)
        #expect(
            outcome.standardError == """
                iptables v1.8.9 (nf_tables):  RULE_APPEND failed (Invalid argument): rule in chain PREROUTING
                sluice: MASQUERADE works in POSTROUTING only and would be reached from PREROUTING

                """)
        engine.iptables("-t nat -N x")
        engine.iptables("-t nat -A x -j SNAT --to-source 1.1.1.1")
        #expect(engine.iptables("-t nat -A OUTPUT -j x").status == 4)
        #expect(engine.iptables("-t nat -A POSTROUTING -j x").status == 0)
    }

    @Test("a loop that a packet could enter is refused where it is closed")
    func loops() {
        var engine = Engine()
        for name in ["a", "b"] { engine.iptables("-N \(name)") }
        engine.iptables("-A INPUT -j a")
        engine.iptables("-A a -j b")
        let outcome = engine.iptables("-A b -j a")
        #expect(outcome.status == 4)
        #expect(
            outcome.standardError.contains("RULE_APPEND failed (Too many links): rule in chain b"))
        #expect(outcome.standardError.contains("sluice: the chains would lead back"))
    }

    /// iptables 1.8.9 takes each of these and makes something else of it, or something that can
    /// never match.
    @Test(
        "values that iptables would silently change are refused",
        arguments: [
            "-A INPUT -p udp --dport 70000", "-A INPUT -p udp --dport 5:1",
            "-A INPUT -m conntrack --ctorigsrcport 65536",
            "-A INPUT -m conntrack --ctorigsrc 1.1.1.1/40",
            "-A INPUT -m conntrack --ctexpire 5:1",
            "-A INPUT -m conntrack --ctrepldst 4.4.4.4/255.0.255.0",
            "-t nat -A PREROUTING -j DNAT --to-destination 1.1.1.10-1.1.1.1",
            "-t nat -A POSTROUTING -p tcp -j SNAT --to-source 1.1.1.1:10-20/5",
            "-E INPUT other",
        ])
    func changedValues(_ line: String) {
        var engine = Engine()
        engine.iptables("-A INPUT")
        let outcome = engine.iptables(line)
        #expect(outcome.status == 1 || outcome.status == 2)
        #expect(outcome.ruleset == nil)
    }

    @Test("a quote that nobody closes is refused at its column")
    func quotes() {
        var engine = Engine()
        let text = "*filter\n-A INPUT -m comment --comment \"open -j ACCEPT\nCOMMIT\n"
        let outcome = engine.run(.restore, [], input: text)
        #expect(outcome.status == 2)
        #expect(outcome.standardError.contains("sluice: standard input, line 2, column"))
    }

    @Test("a file that cannot be read or is not text is refused")
    func files() {
        var engine = Engine()
        engine.environment.readFile = { name in
            name == "d" ? .unreadable("Is a directory") : .bytes([0x2A, 0xFF, 0x0A])
        }
        let directory = engine.run(.restore, ["d"])
        #expect(directory.status == 1)
        #expect(directory.standardError == "Can't open d: Is a directory\n")
        #expect(engine.run(.restore, ["f"]).status == 1)
    }

    @Test("whatever bytes come in, the engine answers")
    func noise() {
        let seed = UInt64.random(in: 0 ... .max)
        print("seed \(seed)")
        var random = Noise(state: seed)
        let words = [
            "*nat", "*filter", ":x", "-A", "INPUT", "-j", "!", "-p", "tcp", "--dport", "1:2",
            "\"", "\\", "-m", "multiport", "conntrack", "--ctstate", "NEW", "COMMIT", "\n", "\n",
            "[1:2]", "-s", "1.2.3.4/", "é", "x", "-D", "-R", "1", "-I", "0", "--", "-", "=", "-F",
        ]
        for _ in 0..<3000 {
            var text = "*filter\n"
            for _ in 0..<(random.next() % 30) {
                text += words[Int(random.next() % UInt64(words.count))]
                text += random.next() % 4 == 0 ? "\n" : " "
            }
            var engine = Engine()
            engine.environment.resolver = NumericResolver()
            let outcome = engine.run(.restore, ["-n"], input: text)
            #expect(outcome.status == 0 || !outcome.standardError.isEmpty, "\(seed): \(text)")
        }
    }
}

private struct Noise {
    var state: UInt64
    mutating func next() -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return state >> 33
    }
}
