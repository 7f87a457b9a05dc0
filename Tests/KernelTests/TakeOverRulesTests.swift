// A node that already has rules of the kernel's own: refused with a list, or taken over and given back.

import Lab
import Testing

extension KernelTests {
    @Suite("A node with rules", .needsDaemon) struct TakeOverRulesTests {
        @Test("is refused, and the reasons are listed")
        func refused() throws {
            try withLab(.kernel) { lab throws in
                let before = try lab.output("/usr/sbin/iptables-save | grep -v '^#'")
                let outcome = try lab.run(
                    "sluice run --interface eth0 --interface br0", seconds: 10)
                #expect(outcome.status == 2)
                #expect(outcome.errors.contains("--take-over"), "\(outcome.errors)")
                #expect(outcome.errors.contains("nat"), "\(outcome.errors)")
                #expect(try lab.output("/usr/sbin/iptables-save | grep -v '^#'") == before)
            }
        }

        @Test("is taken over with its rules and counters, and gets them back at the end")
        func takenOver() throws {
            try withLab(.kernel) { lab throws in
                try exposeBlue(lab)
                let fetch = "curl -s --max-time 5 http://192.0.2.1:8080"
                #expect(try lab.output(fetch, in: "client") == "blue\n")
                let rules = "/usr/sbin/iptables-save | grep '^-'"
                let before = try lab.output(rules)
                try lab.start("sluice run --interface eth0 --interface br0 --take-over")
                let ready = try lab.poll("sluice status") { $0.status == 0 }
                try #require(ready.status == 0, "\(ready.errors)")
                #expect(try lab.output("/usr/sbin/nft list ruleset") == "")
                #expect(try lab.output("sluice iptables-save | grep '^-'") == before)
                #expect(try Self.connections(lab) == 1, "the kernel's count of connections")
                #expect(try lab.output(fetch, in: "client") == "blue\n")
                #expect(try Self.connections(lab) == 2)
                try lab.output("sluice down")
                #expect(try lab.output(rules) == before)
                #expect(try lab.output(fetch, in: "client") == "blue\n")
            }
        }

        @Test("gets them back from `sluice down` after the daemon was killed")
        func killed() throws {
            try withLab(.kernel) { lab throws in
                try exposeBlue(lab)
                let rules = "/usr/sbin/iptables-save | grep '^-'"
                let before = try lab.output(rules)
                try lab.start(
                    """
                    sh -c 'echo $$ >/run/netns/.pid
                    exec sluice run --interface eth0 --interface br0 --take-over'
                    """)
                let ready = try lab.poll("sluice status") { $0.status == 0 }
                try #require(ready.status == 0, "\(ready.errors)")
                try lab.output("kill -KILL $(cat /run/netns/.pid); sluice down")
                #expect(try lab.output(rules) == before)
                let fetch = "curl -s --max-time 5 http://192.0.2.1:8080"
                #expect(try lab.output(fetch, in: "client") == "blue\n")
            }
        }

        @Test("is refused whole when one of its rules cannot be honoured, and keeps them all")
        func unsupported() throws {
            try withLab(.kernel) { lab throws in
                try lab.output("iptables -A FORWARD -m quota --quota 1000 -j ACCEPT")
                let before = try lab.output("/usr/sbin/iptables-save | grep '^-'")
                let outcome = try lab.run(
                    "sluice run --interface eth0 --interface br0 --take-over", seconds: 10)
                #expect(outcome.status == 2)
                #expect(outcome.errors.contains("quota"), "\(outcome.errors)")
                #expect(try lab.output("/usr/sbin/iptables-save | grep '^-'") == before)
            }
        }

        /// What the rule for port 8080 has counted.
        private static func connections(_ lab: RunningLab) throws -> Int {
            let list = try lab.output("sluice iptables -t nat -L PREROUTING -n -v -x")
            let line = try #require(list.split(separator: "\n").last)
            return try #require(Int(line.split(separator: " ")[0]))
        }
    }
}
