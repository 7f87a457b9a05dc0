// Taking a node over and giving it back: orderly, after SIGTERM, after kill -9, and while the daemon
// hangs. What "as before" means is a diff of everything the kernel shows about the node.

import Foundation
import Lab
import Testing

extension KernelTests {
    @Suite("A node", .needsDaemon) struct TakeoverTests {
        enum Ending: String, CaseIterable, CustomTestStringConvertible {
            case down, terminate, killThenDown
            var testDescription: String { rawValue }
        }

        @Test("is as it was before, however the daemon ends", arguments: Ending.allCases)
        func restored(_ ending: Ending) throws {
            try Self.withPlainNode { lab throws in
                let before = try Self.portrait(of: lab)
                let pid = try Self.startDaemon(in: lab)
                #expect(try Self.portrait(of: lab) != before, "the daemon has attached nothing")
                try lab.output("ping -n -q -c 2 -i 0.05 -W 2 10.0.0.1", in: "client")
                switch ending {
                case .down: try lab.output("sluice down")
                case .terminate: try lab.output("kill -TERM \(pid)")
                case .killThenDown: try lab.output("kill -KILL \(pid); sluice down")
                }
                let ended = try lab.poll("test -e /proc/\(pid)") { $0.status != 0 }
                #expect(ended.status != 0, "the daemon still runs")
                let after = try Self.portrait(of: lab)
                #expect(after == before, Comment(rawValue: Self.difference(before, after)))
                try lab.output("ping -n -q -c 2 -i 0.05 -W 2 10.0.0.1", in: "client")
                #expect(try lab.run("sluice status").status != 0, "a daemon still answers")
            }
        }

        @Test("is reachable again within two seconds when the daemon hangs")
        func hanging() throws {
            try Self.withPlainNode { lab throws in
                let pid = try Self.startDaemon(in: lab)
                try lab.output("kill -STOP \(pid)")
                let answer = try lab.poll(Self.pingNode, in: "client", milliseconds: 2000) {
                    $0.status == 0
                }
                #expect(answer.status == 0, "the node does not answer")
                try lab.output("ping -n -q -c 2 -i 0.05 -W 2 10.0.0.1", in: "client")
                try lab.output("kill -CONT \(pid); kill -KILL \(pid); sluice down")
            }
        }

        @Test("forwards nothing after a death with --on-death closed, yet answers itself")
        func closed() throws {
            try Self.withPlainNode { lab throws in
                let pid = try Self.startDaemon(in: lab, "--on-death closed")
                try lab.output("ping -n -q -c 2 -i 0.05 -W 2 10.0.0.1", in: "client")
                try lab.output("kill -KILL \(pid)")
                let answer = try lab.poll(Self.pingNode, in: "client") {
                    $0.status == 0
                }
                #expect(answer.status == 0, "the node does not answer")
                let through = try lab.run("ping -n -q -c 3 -i 0.1 -W 1 10.0.0.1", in: "client")
                #expect(through.status == 1, "the node forwards: \(through.output)")
                try lab.output("sluice down")
                try lab.output("ping -n -q -c 2 -i 0.05 -W 2 10.0.0.1", in: "client")
            }
        }

        @Test("keeps a translated connection alive through a take-over and the giving back")
        func takenOverConnection() throws {
            try withLab(.kernel) { lab throws in
                try lab.output(
                    """
                    iptables -t nat -A PREROUTING -i eth0 -p tcp --dport 7000 \
                    -j DNAT --to-destination 10.0.0.1:7000
                    iptables -A FORWARD -d 10.0.0.1 -p tcp --dport 7000 -j ACCEPT
                    """)
                try lab.start(
                    "ncat -l 7000 -c 'while read line; do echo heard $line; done'", in: "ns-blue")
                _ = try lab.poll("ss -Hltn 'sport = :7000'", in: "ns-blue") { !$0.output.isEmpty }
                let (said, heard) = ("/run/netns/.said", "/run/netns/.heard")
                try lab.start(
                    "touch \(said); tail -f \(said) | ncat 192.0.2.1 7000 >\(heard)", in: "client")
                func exchange(_ word: String) throws {
                    try lab.output("echo \(word) >>\(said)", in: "client")
                    let answer = try lab.poll("cat \(heard)", in: "client") {
                        $0.output.contains("heard \(word)")
                    }
                    #expect(answer.output.contains("heard \(word)"), "no answer to \(word)")
                }
                _ = try lab.poll("test -e \(said)", in: "client") { $0.status == 0 }
                try exchange("kernel")
                let pid = try Self.startDaemon(in: lab, "--take-over")
                #expect(try lab.output("/usr/sbin/nft list ruleset").isEmpty)
                try exchange("sluice")
                let table = try lab.output("sluice conntrack -L -p tcp --dport 7000 2>/dev/null")
                #expect(table.contains("src=10.0.0.1"))
                try lab.output("kill -TERM \(pid)")
                _ = try lab.poll("test -e /proc/\(pid)") { $0.status != 0 }
                try exchange("again")
                let back = try lab.output("/usr/sbin/conntrack -L -p tcp --dport 7000 2>/dev/null")
                #expect(back.contains("src=10.0.0.1"))
            }
        }

        private static let pingNode = "ping -n -q -c 1 -W 0.2 192.0.2.1"

        /// A node that forwards without any netfilter rule, and a client that knows the way in.
        static func withPlainNode(_ body: (RunningLab) throws -> Void) throws {
            try withLab(.kernel) { lab throws in
                try lab.output("nft flush ruleset; conntrack -F 2>/dev/null; true")
                try lab.output("ip route add 10.0.0.0/24 via 192.0.2.1", in: "client")
                try body(lab)
            }
        }

        static func startDaemon(
            in lab: RunningLab, _ options: String = "", interfaces: [String] = ["eth0", "br0"]
        ) throws -> Int32 {
            let log = "/run/netns/.daemon.log"
            let named = interfaces.map { "--interface \($0)" }.joined(separator: " ")
            try lab.output(
                """
                setsid sluice run \(named) \(options) \
                </dev/null >\(log) 2>&1 & echo $! >/run/netns/.daemon.pid
                """)
            let ready = try lab.poll("cat \(log)") {
                $0.output.contains("sluice: ready") || $0.output.contains("rror")
            }
            try #require(ready.output.contains("sluice: ready"), "\(ready.output)")
            let pid = try lab.output("cat /run/netns/.daemon.pid")
            return try #require(Int32(pid.dropLast()))
        }

        /// Interfaces, addresses, routes, policy rules, queueing disciplines with their filters, taps,
        /// rules of the kernel's own, and every readable setting of the network.
        private static func portrait(of lab: RunningLab) throws -> String {
            try lab.output(
                """
                ip -d link | sed -E 's/_timer +[0-9.]+/_timer/g'
                ip addr; ip rule; ip route show table all
                tc qdisc
                for link in $(ls /sys/class/net); do
                    echo "$link"; tc filter show dev $link ingress 2>/dev/null
                    tc filter show dev $link egress 2>/dev/null
                done
                /usr/sbin/nft list ruleset
                # Packet sockets by protocol and interface.
                awk 'NR > 1 { print "packet socket", $4, $5 }' /proc/net/packet
                find /proc/sys/net -type f -readable ! -name '*secret*' | sort | \
                    xargs grep -s . | grep -vE 'nf_conntrack_count|/route/'
                true
                """)
        }

        private static func difference(_ before: String, _ after: String) -> String {
            let old = before.split(separator: "\n")
            let new = after.split(separator: "\n")
            let gone = Set(old).subtracting(new).sorted().map { "- \($0)" }
            let come = Set(new).subtracting(old).sorted().map { "+ \($0)" }
            return (gone + come).joined(separator: "\n")
        }
    }
}
