// Virtual services with real requests. The kernel's own ip_vs is asked the same where there is one; kernels that
// are built without it leave the words of ipvsadm to the recorded sessions.

import Lab
import Testing

extension KernelTests {
    @Suite("A virtual service in a lab", .needsDaemon) struct VirtualServiceTests {
        private static let fetch = "curl -s --max-time 5 http://203.0.113.80"
        private static let colours = ["blue", "green", "red"]

        /// Brings a service up in front of the lab's three servers, and lets the client find it.
        private func balance(_ lab: RunningLab, _ options: String) throws {
            try lab.output("ip route add 203.0.113.80/32 via 192.0.2.1", in: "client")
            try lab.output(
                """
                iptables -A FORWARD -d 10.0.0.0/24 -p tcp --dport 80 -j ACCEPT
                ipvsadm -A -t 203.0.113.80:80 \(options)
                for last in 3 2 1; do ipvsadm -a -t 203.0.113.80:80 -r 10.0.0.$last -m; done
                """)
        }

        private func fetchAll(_ lab: RunningLab, _ count: Int) throws -> [String] {
            try lab.output("for i in $(seq \(count)); do \(Self.fetch); done", in: "client")
                .split(separator: "\n").map(String.init)
        }

        @Test("reaches its servers in turn, and is restored as it was saved")
        func turns() throws {
            try withLab(.sluice) { lab throws in
                try balance(lab, "-s rr")
                #expect(try fetchAll(lab, 6) == Self.colours + Self.colours)
                #expect(
                    try lab.output("ipvsadm -Sn") == """
                        -A -t 203.0.113.80:80 -s rr
                        -a -t 203.0.113.80:80 -r 10.0.0.1:80 -m -w 1
                        -a -t 203.0.113.80:80 -r 10.0.0.2:80 -m -w 1
                        -a -t 203.0.113.80:80 -r 10.0.0.3:80 -m -w 1

                        """)
                // Each server had two connections, and the client's tuple stands beside the server's.
                let stats = try lab.output("ipvsadm -Ln --stats | awk '/->.*:80/ { print $2, $3 }'")
                #expect(stats == "10.0.0.1:80 2\n10.0.0.2:80 2\n10.0.0.3:80 2\n")
                let tracked = try lab.output(
                    "conntrack -L -p tcp --orig-dst 203.0.113.80 2>/dev/null | grep -c src=10.0.0.2"
                )
                #expect(tracked == "2\n")
                #expect(try lab.output("/usr/sbin/conntrack -C") == "0\n")
                let saved = try lab.output("ipvsadm -Sn")
                let restored = try lab.output(
                    "ipvsadm -Sn >/run/netns/.saved; ipvsadm -C; ipvsadm -R </run/netns/.saved; ipvsadm -Sn"
                )
                #expect(restored == saved)
                #expect(try fetchAll(lab, 3).count == 3)
            }
        }

        /// A connection that stays open: what is appended to one file is said, what comes back stands in
        /// the other.
        private static let said = "/run/netns/.said"
        private static let heard = "/run/netns/.heard"

        private func say(_ word: String, _ lab: RunningLab) throws {
            try lab.output("echo \(word) >>\(Self.said)", in: "client")
        }

        private func waitForWords(_ words: String, _ lab: RunningLab) throws {
            let heard = try lab.poll("cat \(Self.heard)", in: "client") { $0.output == words }
            #expect(heard.output == words)
        }

        @Test(
            "drains a server: no new connections, the old one lives on; removed, it hears no more")
        func draining() throws {
            try withLab(.sluice) { lab throws in
                try balance(lab, "-s wrr")
                try lab.output(
                    """
                    iptables -A FORWARD -d 10.0.0.0/24 -p tcp --dport 7000 -j ACCEPT
                    ipvsadm -A -t 203.0.113.80:7000 -s wlc
                    ipvsadm -a -t 203.0.113.80:7000 -r 10.0.0.1 -m
                    """)
                try lab.start("socat TCP4-LISTEN:7000,fork PIPE", in: "ns-blue")
                _ = try lab.poll("ss -Htln sport = 7000", in: "ns-blue") { !$0.output.isEmpty }
                try lab.output("touch \(Self.said)", in: "client")
                try lab.start(
                    "tail -f \(Self.said) | ncat 203.0.113.80 7000 >\(Self.heard)", in: "client")
                try say("one", lab)
                try waitForWords("one\n", lab)
                let row = "ipvsadm -Ln -t 203.0.113.80:7000 | tail -1"
                #expect(
                    try lab.output(row)
                        == "  -> 10.0.0.1:7000                Masq    1      1          0         \n"
                )

                try lab.output("ipvsadm -e -t 203.0.113.80:7000 -r 10.0.0.1 -m -w 0")
                try say("two", lab)
                try waitForWords("one\ntwo\n", lab)
                // Refused at once, with port unreachable.
                let refused = try lab.run(
                    "curl -s --max-time 5 http://203.0.113.80:7000", in: "client")
                #expect(refused.status == 7)
                try lab.output("ipvsadm -e -t 203.0.113.80:80 -r 10.0.0.2 -m -w 0")
                #expect(try Set(fetchAll(lab, 4)) == ["blue", "red"])

                try lab.output("ipvsadm -d -t 203.0.113.80:7000 -r 10.0.0.1")
                try say("three", lab)
                let dropped = try lab.poll("sluice status") {
                    $0.output.contains("was removed from the virtual service")
                }
                #expect(dropped.output.contains("was removed from the virtual service"))
                #expect(try lab.output("cat \(Self.heard)", in: "client") == "one\ntwo\n")
                // Added again, it goes on: TCP has kept what was lost.
                try lab.output("ipvsadm -a -t 203.0.113.80:7000 -r 10.0.0.1 -m")
                try waitForWords("one\ntwo\nthree\n", lab)
            }
        }

        @Test(
            "keeps a client at its server, takes the node's own connections, and says what it chose"
        )
        func persistence() throws {
            try withLab(.sluice) { lab throws in
                try balance(lab, "-s rr -p 300")
                #expect(try fetchAll(lab, 3) == ["blue", "blue", "blue"])
                // The node itself is another client; it asks from the address of its route to the server.
                try lab.output("ip route add 203.0.113.80/32 via 192.0.2.10")
                #expect(try lab.output(Self.fetch) == "green\n")
                let kept = try lab.output(
                    "ipvsadm -Lnc | grep ':0 ' | awk '{ print $4, $5, $6 }' | LC_ALL=C sort")
                #expect(
                    kept == """
                        192.0.2.10:0 203.0.113.80:80 10.0.0.1:80
                        192.0.2.1:0 203.0.113.80:80 10.0.0.2:80

                        """)
                let explained = try lab.output(
                    "sluice explain --in eth0 'tcp 192.0.2.10:40000 > 203.0.113.80:80 S'")
                #expect(
                    explained.contains(
                        "  ipvs       TCP 203.0.113.80:80 rr ⇒ 10.0.0.1:80, which the client keeps\n"
                    ))
                let other = try lab.output(
                    "sluice explain --in eth0 'tcp 192.0.2.11:40000 > 203.0.113.80:80 S'")
                #expect(other.contains("  ipvs       TCP 203.0.113.80:80 rr ⇒ 10.0.0.3:80\n"))
            }
        }
    }
}
