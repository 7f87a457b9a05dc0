// Established flows that programs in the kernel carry: real sockets, partial checksums, super-frames, and a
// person who changes things meanwhile.

import Foundation
import Lab
import Testing

extension KernelTests {
    @Suite("Offload", .needsDaemon) struct OffloadTests {
        private static let size = 30_000_000

        @Test(
            "carries 30 MB each way unharmed, and what ends the connection is tracked as ever",
            arguments: [OffloadSite.tc, .xdp, .unfinished])
        func transfer(site: OffloadSite) throws {
            try site.withOffload { lab throws in
                let expected = try lab.output(
                    "sluice lab server x --bytes \(Self.size) | sha256sum")
                let down = try lab.output(
                    "curl -sS --local-port 40001 http://192.0.2.1:8080/bytes/\(Self.size) | sha256sum",
                    in: "client")
                #expect(down == expected)
                let up = try lab.output(
                    """
                    sluice lab server x --bytes \(Self.size) | curl -sS -T - -H 'Expect:' \
                    --local-port 40002 -H 'Transfer-Encoding:' -H 'Content-Length: \(Self.size)' \
                    http://192.0.2.1:8080/
                    """, in: "client")
                #expect(up == "\(Self.size) bytes, as expected\n")
                #expect(try carried(lab) > 500)
                try site.expectXDP(lab, frames: 500)
                for port in [40001, 40002] {
                    let entry = try lab.output(
                        "sluice conntrack -L -p tcp --sport \(port) 2>/dev/null")
                    #expect(entry.contains(" TIME_WAIT ") && entry.contains("ASSURED"), "\(entry)")
                    let bytes = entry.split(separator: " ").compactMap { word in
                        word.hasPrefix("bytes=") ? Int(word.dropFirst(6)) : nil
                    }
                    #expect((bytes.max() ?? 0) > Self.size, "\(entry)")
                }
                let status = try lab.output("sluice status")
                #expect(status.contains("offload: 0 connections"), "\(status)")
                #expect(!status.contains("the transport checksum is wrong"))
                // Nothing was INVALID, and each packet counted on its rule.
                let rules = try lab.output(
                    "sluice iptables-save -c | grep -e INVALID -e ESTABLISHED")
                #expect(rules.hasPrefix("[0:0] -A PREROUTING"), "\(rules)")
                let counted = try lab.output(
                    "sluice iptables -nvxL FORWARD | awk '/ESTABLISHED/ {print $2}'")
                #expect((Int(counted.dropLast()) ?? 0) > 2 * Self.size, "\(rules)")
            }
        }

        @Test(
            "counts each datagram once, on its rules and its connection",
            arguments: [OffloadSite.tc, .xdp, .unfinished])
        func datagrams(site: OffloadSite) throws {
            try site.withOffload { lab throws in
                let count = 60
                let heard = try lab.output(
                    """
                    exec 3<>/dev/udp/192.0.2.1/7007
                    for number in $(seq \(count)); do
                        echo datagram >&3
                        timeout 10 head -n 1 <&3 >/dev/null || exit 1
                        echo $number
                    done | tail -n 1
                    """, in: "client")
                #expect(heard == "\(count)\n")
                #expect(try carried(lab) > count)
                try site.expectXDP(lab, frames: count)
                let entry = try lab.output("sluice conntrack -L -p udp --dport 7007 2>/dev/null")
                let expected = "packets=\(count) bytes=\(count * 37)"
                #expect(entry.ranges(of: expected).count == 2, "\(entry)")
                // All but the one that opened it.
                let rule = try lab.output("sluice iptables-save -c | grep ESTABLISHED")
                let packets = 2 * count - 1
                #expect(rule.hasPrefix("[\(packets):\(packets * 37)] "), "\(rule)")
            }
        }

        @Test("counts each echo and its reply once", arguments: [OffloadSite.tc, .xdp])
        func echoes(site: OffloadSite) throws {
            try site.withOffload { lab throws in
                let count = 60
                try lab.output("ping -n -q -c \(count) -i 0.01 -W 10 192.0.2.1", in: "client")
                #expect(try carried(lab) > count)
                try site.expectXDP(lab, frames: count)
                let entry = try lab.output("sluice conntrack -L -p icmp 2>/dev/null")
                let expected = "packets=\(count) bytes=\(count * 84)"
                #expect(entry.ranges(of: expected).count == 2, "\(entry)")
                let rule = try lab.output("sluice iptables-save -c | grep ESTABLISHED")
                let packets = 2 * count - 1
                #expect(rule.hasPrefix("[\(packets):\(packets * 84)] "), "\(rule)")
            }
        }

        @Test("ends at once with a rule that stops the flow")
        func ruleChange() throws {
            try OffloadSite.tc.withOffload { lab throws in
                try lab.start(
                    "curl -s http://192.0.2.1:8080/bytes/1000000000000 >/dev/null", in: "client")
                let busy = try lab.poll("sluice status") { carried(in: $0.output) > 2000 }
                try #require(carried(in: busy.output) > 2000, "\(busy.output)")
                try lab.output("sluice iptables -I FORWARD -p tcp -j DROP")
                let before = try carried(lab)
                let dropped = try lab.poll(
                    "sluice iptables-save -c | grep -e '-j DROP' | tail -n 1"
                ) {
                    $0.output.hasSuffix("-A FORWARD -p tcp -j DROP\n")
                        && !$0.output.hasPrefix("[0:0]")
                }
                #expect(
                    !dropped.output.hasPrefix("[0:0]"), "nothing was dropped: \(dropped.output)")
                #expect(try carried(lab) == before)
                // And goes on when the rule goes.
                try lab.output("sluice iptables -D FORWARD 1")
                let again = try lab.poll("sluice status") { carried(in: $0.output) > before }
                #expect(carried(in: again.output) > before, "\(again.output)")
            }
        }

        @Test("goes on at tc when the other end of a veth takes nothing from XDP any more")
        func refusedByPeer() throws {
            let site = OffloadSite.xdp
            try site.withOffload { lab throws in
                try lab.start(
                    "curl -s http://192.0.2.1:8080/bytes/1000000000000 >/dev/null", in: "client")
                func inXDP(_ status: String) -> Int { OffloadSite.framesInXDP(status).reduce(0, +) }
                let busy = try lab.poll("sluice status") { inXDP($0.output) > 2000 }
                try #require(inXDP(busy.output) > 2000, "\(busy.output)")
                for end in ["client", "pod-a"] {
                    try lab.output("ethtool -K eth0 gro off", in: end)
                }
                let told = try lab.poll("sluice status") {
                    // Both of them.
                    $0.output.components(separatedBy: "takes nothing from XDP").count == 3
                }
                let before = (carried(in: told.output), inXDP(told.output))
                let after = try lab.poll("sluice status") {
                    carried(in: $0.output) > before.0 + 1000
                }
                #expect(carried(in: after.output) > before.0 + 1000, "\(after.output)")
                #expect(inXDP(after.output) == before.1, "\(after.output)")
            }
        }

        @Test("ends with the connection, when somebody deletes it or traces")
        func deletion() throws {
            try OffloadSite.tc.withOffload { lab throws in
                let (said, heard) = ("/run/netns/.said", "/run/netns/.heard")
                try lab.start(
                    "ncat -l 7000 -c 'while read line; do echo heard $line; done'", in: "ns-blue")
                _ = try lab.poll("ss -Hltn 'sport = :7000'", in: "ns-blue") { !$0.output.isEmpty }
                try lab.start(
                    "touch \(said); tail -f \(said) | ncat 192.0.2.1 7000 >\(heard)", in: "client")
                func exchange(_ word: String) throws {
                    try lab.output("echo \(word) >>\(said)", in: "client")
                    let answer = try lab.poll("cat \(heard)") {
                        $0.output.contains("heard \(word)\n")
                    }
                    #expect(answer.output.contains("heard \(word)\n"), "\(answer)")
                }
                for number in 1...5 { try exchange("word\(number)") }
                let before = try carried(lab)
                #expect(before > 0)
                // While somebody traces everything walks.
                try lab.start("sluice trace 'tcp port 7000' >/run/netns/.trace")
                _ = try lab.poll("ss -xa | grep -c sluice") { $0.status == 0 }
                _ = try lab.poll("cat /run/netns/.trace") { trace in
                    (try? exchange("traced")) != nil && !trace.output.isEmpty
                }
                let traced = try lab.output("grep -c PREROUTING /run/netns/.trace")
                #expect((Int(traced.dropLast()) ?? 0) > 0)
                #expect(try lab.output("sluice status").contains("offload: 1 connections"))
                try lab.output("sluice conntrack -D -p tcp --dport 7000 2>/dev/null")
                #expect(try lab.output("sluice status").contains("offload: 0 connections"))
            }
        }

        @Test("stands aside with the daemon, and goes on with it")
        func hanging() throws {
            try OffloadSite.tc.withOffload { lab throws in
                try lab.start(
                    "curl -s http://192.0.2.1:8080/bytes/1000000000000 >/dev/null", in: "client")
                let busy = try lab.poll("sluice status") { carried(in: $0.output) > 1000 }
                let before = carried(in: busy.output)
                try #require(before > 1000, "\(busy.output)")
                let pid = try lab.output("cat /run/netns/.daemon.pid").dropLast()
                try lab.output("kill -STOP \(pid)")
                let answer = try lab.poll(
                    "ping -n -q -c 1 -W 0.2 192.0.2.1", in: "client", milliseconds: 10_000
                ) { $0.status == 0 }
                #expect(answer.status == 0, "the node does not answer")
                try lab.output("kill -CONT \(pid)")
                let gone = try lab.poll("curl -s --max-time 5 http://192.0.2.1:8080/", in: "client")
                {
                    $0.output == "blue\n"
                }
                #expect(gone.output == "blue\n")
            }
        }

        private func carried(_ lab: RunningLab) throws -> Int {
            carried(in: try lab.output("sluice status"))
        }

        /// Frames on all interfaces.
        private func carried(in status: String) -> Int {
            status.split(separator: "\n").filter { $0.contains("frames carried") }
                .reduce(0) { sum, line in
                    let words = line.split(separator: " ")
                    let position = words.firstIndex(of: "frames") ?? 1
                    return sum + (Int(words[position - 1]) ?? 0)
                }
        }
    }
}
