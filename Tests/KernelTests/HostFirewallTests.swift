// Rules for the node itself: INPUT and OUTPUT, for clients outside, in a pod and on the node over lo.

import Lab
import Testing

extension KernelTests {
    @Suite("The host's firewall", .needsLabs) struct HostFirewallTests {
        private static let places = [
            ("client", "192.0.2.1"), ("ns-green", "10.0.0.254"), ("node", "127.0.0.1"),
            ("node", "192.0.2.1"),
        ]

        @Test(
            "drops in INPUT what comes from outside, from a pod and over lo",
            arguments: Twin.available)
        func input(_ twin: Twin) throws {
            try withLab(twin) { lab throws in
                try lab.start("sluice lab server host --port 9000 --datagram-port 9001")
                for (namespace, address) in Self.places {
                    let open = try lab.poll(Self.fetch(address), in: namespace) { $0.status == 0 }
                    #expect(open.output == "host\n", "\(twin): \(namespace) before the rule")
                }
                try lab.output("iptables -A INPUT -p tcp --dport 9000 -j DROP")
                for (namespace, address) in Self.places {
                    let shut = try lab.run(Self.fetch(address), in: namespace)
                    #expect(shut.status == 28, "\(twin): \(namespace) to \(address)")
                }
                // One SYN each; a second one only after a second, when curl has given up.
                let packets = try Self.counter(of: "dpt:9000", in: "INPUT", lab)
                #expect((4...8).contains(packets), "\(twin): \(packets) packets dropped")
                try lab.output("iptables -D INPUT -p tcp --dport 9000 -j DROP")
                #expect(try lab.output(Self.fetch("192.0.2.1"), in: "client") == "host\n")
            }
        }

        @Test("rejects in OUTPUT what the node itself sends", arguments: Twin.available)
        func output(_ twin: Twin) throws {
            try withLab(twin) { lab throws in
                #expect(try lab.output(Self.fetch("10.0.0.1", port: 80)) == "blue\n")
                try lab.output("iptables -A OUTPUT -d 10.0.0.1 -j REJECT")
                let refused = try lab.run(Self.fetch("10.0.0.1", port: 80))
                #expect(refused.status == 7, "\(twin): curl's status for \"could not connect\"")
                #expect(try lab.output(Self.fetch("10.0.0.2", port: 80)) == "green\n")
                let packets = try Self.counter(of: "reject-with", in: "OUTPUT", lab)
                #expect(packets >= 1, "\(twin)")
            }
        }

        /// To the kernel every interface of Sluice's is one, `sluice0`: the call is refused only while none
        /// allows it.
        @Test(
            "a call from 127.0.0.1 ends nowhere unless the interface has route_localnet",
            arguments: Twin.available)
        func localSource(_ twin: Twin) throws {
            try withLab(twin) { lab throws in
                let call = "curl -sS --max-time 1 --interface 127.0.0.1 http://10.0.0.1/"
                // 7: the call itself fails, with EINVAL.
                #expect(try lab.run(call).status == 7, "\(twin)")
                try lab.output("sysctl -w net.ipv4.conf.eth0.route_localnet=1")
                if twin == .sluice {
                    let followed = try lab.poll(
                        "cat /proc/sys/net/ipv4/conf/sluice0/route_localnet"
                    ) { $0.output == "1\n" }
                    try #require(followed.output == "1\n")
                }
                #expect(try lab.run(call).status == (twin == .kernel ? 7 : 28), "\(twin)")
                let outcome = try lab.output("sysctl -w net.ipv4.conf.eth0.route_localnet=0")
                #expect(outcome.contains("= 0"))
                let back = try lab.poll(call) { $0.status == 7 }
                #expect(back.status == 7, "\(twin)")
            }
        }

        @Test("lets the node's own connections work while Sluice runs", .needsDaemon)
        func hostItself() throws {
            try withLab(.sluice) { lab throws in
                #expect(try lab.output(Self.fetch("192.0.2.10", port: 80)) == "outside\n")
                #expect(try lab.output(Self.fetch("10.0.0.3", port: 80)) == "red\n")
                let rules = try lab.output("iptables -L OUTPUT -n -v -x")
                #expect(
                    !rules.contains("policy ACCEPT 0 packets"), "OUTPUT was not passed: \(rules)")
            }
        }

        private static func fetch(_ address: String, port: Int = 9000) -> String {
            "curl -s --max-time 1 http://\(address):\(port)/"
        }

        private static func counter(
            of word: String, in chain: String, _ lab: RunningLab
        ) throws -> Int {
            let rules = try lab.output("iptables -L \(chain) -n -v -x")
            let line = try #require(rules.split(separator: "\n").first { $0.contains(word) })
            return try #require(Int(line.split(separator: " ")[0]))
        }
    }
}
