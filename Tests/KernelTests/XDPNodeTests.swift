// A node whose interfaces are AF_XDP ports: `eth0`, a veth, natively; `br0` and `lo` in generic mode. Real sockets,
// with every offload as the kernel sets it.

import Foundation
import Lab
import Testing

extension KernelTests {
    @Suite("A node over AF_XDP", .needsDaemon) struct XDPNodeTests {
        static func withNode(_ body: (RunningLab, Int32) throws -> Void) throws {
            try TakeoverTests.withPlainNode { lab throws in
                let pid = try TakeoverTests.startDaemon(in: lab, "--io af-xdp --verify-fast-path")
                try body(lab, pid)
                #expect(
                    try !lab.output("sluice status").contains("differed")
                        || lab.output("sluice status").contains(" 0 differed"))
                try lab.output("sluice down")
            }
        }

        @Test("carries DNAT and masquerading for TCP, UDP and ping, and says in which mode")
        func services() throws {
            try Self.withNode { lab, _ throws in
                try lab.output(
                    """
                    sluice iptables -t nat -A PREROUTING -i eth0 -p tcp --dport 8080 \
                        -j DNAT --to-destination 10.0.0.1:80
                    sluice iptables -t nat -A PREROUTING -i eth0 -p udp --dport 8080 \
                        -j DNAT --to-destination 10.0.0.1:7070
                    sluice iptables -t nat -A POSTROUTING -s 10.0.0.0/24 -o eth0 -j MASQUERADE
                    """)
                let url = "http://192.0.2.1:8080"
                #expect(try lab.output("curl -sS --max-time 10 \(url)", in: "client") == "blue\n")
                #expect(
                    try lab.output("curl -sS --max-time 10 http://192.0.2.10", in: "ns-green")
                        == "outside\n")
                try lab.output("ping -n -q -c 3 -i 0.05 -W 5 192.0.2.1", in: "client")
                try lab.output("ping -n -q -c 3 -i 0.05 -W 5 192.0.2.10", in: "ns-red")
                try lab.start("socat -T 30 UDP4-RECVFROM:7070,fork EXEC:cat", in: "ns-blue")
                let echo = try lab.poll(
                    "echo said | socat -t 0.3 - UDP4:192.0.2.1:8080", in: "client"
                ) { $0.output == "said\n" }
                #expect(echo.output == "said\n")
                #expect(
                    try lab.output("echo said | socat -t 0.3 - UDP4:192.0.2.10:7", in: "ns-green")
                        == "said\n")
                // Large answers: from a pod over the bridge, and from the outside.
                let size = 4_000_000
                let expected = try lab.output("sluice lab server x --bytes \(size) | sha256sum")
                for (place, from) in [("client", url), ("ns-red", "http://192.0.2.10")] {
                    let sum = try lab.run(
                        "curl -sS --max-time 60 \(from)/bytes/\(size) | sha256sum", in: place)
                    #expect(sum.output == expected, "\(place): \(sum.errors)")
                }
                let status = try lab.output("sluice status")
                #expect(status.contains("interface eth0: up, af-xdp native copy, "))
                #expect(status.contains("interface br0: up, af-xdp generic, "))
                #expect(!status.contains("lost:"), "\(status)")
            }
        }

        @Test("reaches its own sockets, and they the world, over lo too")
        func ownSockets() throws {
            try Self.withNode { lab, _ throws in
                try lab.output(
                    """
                    sluice iptables -t nat -A OUTPUT -d 127.0.0.1 -p tcp --dport 8080 \
                        -j DNAT --to-destination 127.0.0.1:8081
                    """)
                try lab.start(
                    "ncat -lk 8081 -c 'head -c 3000000 /dev/zero | tr \"\\0\" x; echo end'")
                _ = try lab.poll("ss -Hltn 'sport = :8081'") { !$0.output.isEmpty }
                for (place, address) in [("node", "127.0.0.1:8080"), ("client", "192.0.2.1:8081")] {
                    let port = address.replacingOccurrences(of: ":", with: " ")
                    let count = try lab.output("ncat --recv-only \(port) | wc -c", in: place)
                    #expect(count == "3000004\n", "\(place)")
                }
                #expect(
                    try lab.output("curl -sS --max-time 10 http://192.0.2.10") == "outside\n")
                #expect(try lab.output("curl -sS --max-time 10 http://10.0.0.1") == "blue\n")
                let status = try lab.output("sluice status")
                #expect(status.contains("interface lo: up, af-xdp generic, "), "\(status)")
                #expect(!status.contains("lost:"), "\(status)")
            }
        }

        @Test("tells a wrong checksum from a partial one")
        func checksums() throws {
            try Self.withNode { lab, _ throws in
                try lab.output(
                    """
                    sluice iptables -A FORWARD -p udp -m conntrack --ctstate INVALID -j DROP
                    sluice iptables -A FORWARD -p udp -m conntrack --ctstate NEW -j ACCEPT
                    """)
                try lab.output("echo said | socat -u - UDP4:10.0.0.1:9", in: "client")
                try lab.output(
                    """
                    python3 - <<'END'
                    import socket, struct
                    s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
                    s.sendto(struct.pack('!HHHH', 4000, 10, 12, 0x1234) + b'said', ('10.0.0.1', 0))
                    END
                    """, in: "client")
                let counters = try lab.poll(
                    "sluice iptables -nvxL FORWARD | awk '$4 == \"udp\" || $4 == 17 { print $1, $3 }'"
                ) { $0.output == "1 DROP\n1 ACCEPT\n" }
                #expect(counters.output == "1 DROP\n1 ACCEPT\n")
            }
        }

        @Test("is given back when the daemon hangs, and at once when it is killed")
        func givenBack() throws {
            try Self.withNode { lab, pid throws in
                let ping = "ping -n -q -c 1 -W 0.2 192.0.2.1"
                try lab.output("kill -STOP \(pid)")
                let hung = try lab.poll(ping, in: "client", milliseconds: 5000) { $0.status == 0 }
                #expect(hung.status == 0, "the node does not answer")
                try lab.output("ping -n -q -c 2 -i 0.05 -W 2 10.0.0.1", in: "client")
                try lab.output("kill -CONT \(pid)")
                _ = try lab.poll("sluice status") { $0.status == 0 }
                try lab.output("ping -n -q -c 2 -i 0.05 -W 2 10.0.0.1", in: "client")
                #expect(try lab.output("ip -d link show eth0").contains("xdp"))
                try lab.output("kill -KILL \(pid)")
                let dead = try lab.poll(ping, in: "client") { $0.status == 0 }
                #expect(dead.status == 0, "the node does not answer")
                for link in ["eth0", "br0"] {
                    #expect(try !lab.output("ip -d link show \(link)").contains("xdp"))
                }
                // For the giving back that follows.
                try lab.output("sluice down")
                _ = try TakeoverTests.startDaemon(in: lab)
            }
        }

        @Test("refuses a kind of port that there is not")
        func refusal() throws {
            try TakeoverTests.withPlainNode { lab throws in
                let outcome = try lab.run("sluice run --interface eth0 --io netmap")
                #expect(outcome.status != 0)
                #expect(outcome.errors.contains("--io netmap: expected af-packet or af-xdp"))
            }
        }
    }
}
