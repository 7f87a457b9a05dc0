// What a person does to a node while it carries traffic: editing rules, forgetting connections, restarting
// the daemon, taking an interface down. The same script on both twins.

import Foundation
import Lab
import Testing

extension KernelTests {
    @Suite("Under traffic", .needsLabs) struct LiveTrafficTests {
        @Test(
            "rules come and go, are zeroed and restored, and no packet is lost or counted twice",
            arguments: Twin.available)
        func ruleEdits(_ twin: Twin) throws {
            try withLab(twin) { lab throws in
                try exposeBlue(lab)
                try lab.output("ip route add 10.0.0.0/24 via 192.0.2.1", in: "client")
                try lab.output("iptables -I FORWARD -p icmp -s 192.0.2.10 -j ACCEPT")
                let size = 4_000_000
                let expected = try lab.output("sluice lab server x --bytes \(size) | sha256sum")
                let outcome = try lab.output(
                    """
                    ip netns exec client curl -s --limit-rate 2M \
                        http://192.0.2.1:8080/bytes/\(size) | sha256sum >/run/netns/.sum &
                    ip netns exec client ping -n -q -c 40 -i 0.02 -W 5 10.0.0.2 >/run/netns/.ping &
                    for round in 1 2 3 4 5 6 7 8; do
                        iptables -I FORWARD -p udp --dport 9 -j DROP
                        iptables -t nat -I PREROUTING -p udp --dport 9 -j DNAT --to 10.0.0.2
                        iptables -N ROUND-$round
                        iptables -I FORWARD -p udp --dport 10 -j ROUND-$round
                        iptables -t nat -D PREROUTING 1
                        iptables -D FORWARD 2
                    done
                    iptables-save -c >/run/netns/.rules
                    iptables-restore -n </dev/null
                    wait
                    grep -o '[0-9]* received' /run/netns/.ping
                    cat /run/netns/.sum
                    iptables -nvxL FORWARD | awk '$4 == "icmp" || $4 == "1" { print $1, $2 }'
                    """)
                #expect(outcome == "40 received\n\(expected)40 3360\n", "\(twin)")

                let again = try lab.output(
                    """
                    iptables -Z FORWARD
                    ip netns exec client ping -n -q -c 7 -i 0.02 -W 5 10.0.0.2 \
                        | grep -o '[0-9]* received'
                    iptables-save -c -t filter | grep -e '-p icmp'
                    iptables-restore -c </run/netns/.rules
                    iptables -S FORWARD | grep -c ROUND
                    """)
                #expect(
                    again
                        == "7 received\n[7:588] -A FORWARD -s 192.0.2.10/32 -p icmp -j ACCEPT\n8\n",
                    "\(twin)")
            }
        }

        @Test("conntrack -E prints the same lines for the same conversations", .needsDaemon)
        func events() throws {
            var printed: [Twin: [String]] = [:]
            for twin in Twin.available {
                printed[twin] = try withLab(twin) { lab throws in try Self.events(lab) }
            }
            #expect(printed[.sluice] == printed[.kernel])
            #expect((printed[.kernel] ?? []).count > 15, "\(printed)")
        }

        /// Events of a few conversations, one after the other, each known by a port.
        private static func events(_ lab: RunningLab) throws -> [String] {
            try exposeBlue(lab)
            let file = "/run/netns/.events"
            try lab.start("stdbuf -oL conntrack -E >\(file)")
            // Something is printed once somebody listens.
            let listening = try lab.poll("ping -q -c 1 -W 1 10.0.0.3 >&2; cat \(file)") {
                !$0.output.isEmpty
            }
            try #require(!listening.output.isEmpty)
            let lines: [(String, namespace: String)] = [
                ("curl -s --local-port 41000 http://192.0.2.10/", "ns-green"),
                ("curl -s --local-port 41001 http://192.0.2.1:8080/", "client"),
                ("echo said | socat -t 0.1 - UDP4:192.0.2.10:7,sourceport=41002", "ns-red"),
                ("! curl -s --local-port 41003 http://192.0.2.10:81/", "ns-green"),
                ("conntrack -D -p udp --sport 41002 2>/dev/null", "node"),
                ("conntrack -D -p tcp --sport 41000 2>/dev/null", "node"),
            ]
            for (line, namespace) in lines { try lab.output(line, in: namespace) }
            let all = try lab.poll("cat \(file)") { outcome in
                let lines = outcome.output.split(separator: "\n")
                return [("[DESTROY]", 41000), ("TIME_WAIT", 41001)].allSatisfy { word, port in
                    lines.contains { $0.contains(word) && $0.contains("sport=\(port)") }
                }
            }
            // In order per conversation: the end of one may come after the beginning of the next.
            let events = all.output.split(separator: "\n")
            return (41000...41003).flatMap { port in
                events.filter { $0.contains("sport=\(port)") }.compactMap(comparable)
            }
        }

        /// Without what is a matter of time, and without the socket of the command that deleted it.
        private static func comparable(_ event: Substring) -> String? {
            // Whether an end acknowledges the other's FIN before it sends its own.
            if event.contains("CLOSE_WAIT") { return nil }
            guard event.hasPrefix("[DESTROY]") else { return String(event) }
            // `[DESTROY] tcp 6 119 …`: what was left of its time, to the second.
            let words = event.split(separator: " ").prefix { $0 != "[USERSPACE]" }
            return (words[..<3] + words[4...]).joined(separator: " ")
        }

        @Test(
            "a masqueraded connection goes on after its entry was flushed",
            arguments: Twin.available)
        func flushed(_ twin: Twin) throws {
            try withLab(twin) { lab throws in
                let conversation = try Conversation(lab)
                try conversation.exchange("before")
                try lab.output("conntrack -F")
                #expect(try !conversation.isTracked())
                try conversation.exchange("after")
                #expect(try conversation.isTracked())
            }
        }

        @Test("a masqueraded connection goes on after the daemon was started anew", .needsDaemon)
        func restarted() throws {
            try withLab(.sluice) { lab throws in
                let conversation = try Conversation(lab)
                try conversation.exchange("before")
                let rules = try lab.output("iptables-save")
                try lab.output("sluice down; cat >/run/netns/.rules <<'END'\n\(rules)END")
                try lab.start(
                    "sluice run --interface eth0 --interface br0 --rules /run/netns/.rules")
                let ready = try lab.poll("sluice status") { $0.status == 0 }
                try #require(ready.status == 0, "\(ready.errors)")
                #expect(try !conversation.isTracked())
                try conversation.exchange("after")
                #expect(try conversation.isTracked())
            }
        }

        @Test(
            "masqueraded connections die with their interface and start over when it is back",
            arguments: Twin.available)
        func interfaceDown(_ twin: Twin) throws {
            try withLab(twin) { lab throws in
                let conversation = try Conversation(lab)
                try conversation.exchange("before")
                try exposeBlue(lab)
                // Not masqueraded: this entry stays.
                try lab.output("curl -s --local-port 40002 http://192.0.2.1:8080/", in: "client")
                try lab.output("ip link set eth0 down")
                let gone = try lab.poll("conntrack -L -p tcp --dport 7000 2>/dev/null") {
                    $0.output.isEmpty
                }
                #expect(gone.output.isEmpty, "\(twin)")
                let other = try lab.output("conntrack -L -p tcp --sport 40002 2>/dev/null")
                #expect(other.contains("src=10.0.0.1"), "\(twin)")
                let cut = try lab.run("ping -n -q -c 1 -W 0.3 192.0.2.10", in: "ns-red")
                #expect(cut.status == 1, "\(twin): \(cut.output)")
                try lab.output("ip link set eth0 up")
                let back = try lab.poll("ping -n -q -c 1 -W 0.3 192.0.2.10", in: "ns-red") {
                    $0.status == 0
                }
                #expect(back.status == 0, "\(twin)")
                try conversation.exchange("after")
                #expect(
                    try lab.output("curl -s http://192.0.2.1:8080/", in: "client") == "blue\n")
            }
        }
    }

    /// A TCP connection from `ns-green`, port 40000, through MASQUERADE to a server on the client that repeats
    /// each line. It lives as long as the lab.
    private struct Conversation {
        let lab: RunningLab

        init(_ lab: RunningLab) throws {
            self.lab = lab
            try lab.start(
                "ncat -l 7000 -c 'while read line; do echo heard $line; done'", in: "client")
            _ = try lab.poll("ss -Hltn 'sport = :7000'", in: "client") { !$0.output.isEmpty }
            try lab.start(
                """
                touch /run/netns/.said
                tail -f /run/netns/.said | ncat -p 40000 192.0.2.10 7000 >/run/netns/.heard
                """, in: "ns-green")
            _ = try lab.poll("test -e /run/netns/.said") { $0.status == 0 }
        }

        /// The client behind the node speaks first.
        func exchange(_ word: String) throws {
            try lab.output("echo \(word) >>/run/netns/.said")
            let answer = try lab.poll("cat /run/netns/.heard") {
                $0.output.contains("heard \(word)")
            }
            #expect(answer.output.contains("heard \(word)"), "\(lab.twin): no answer to \(word)")
        }

        func isTracked() throws -> Bool {
            try !lab.output("conntrack -L -p tcp --dport 7000 2>/dev/null").isEmpty
        }
    }
}
