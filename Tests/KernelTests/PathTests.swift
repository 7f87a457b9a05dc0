// What the path says about packets: the MTU of a link in the middle, hops that a packet does not
// survive, hosts that refuse. Real senders must understand the translated errors as they understand
// them through the kernel. And datagrams larger than the path, which are cut and put together.

import Foundation
import Lab
import Testing

extension KernelTests {
    @Suite("Errors from the path", .needsLabs) struct PathTests {
        @Test(
            "teach the sender the MTU of a link in the middle, through MASQUERADE and through DNAT",
            arguments: Twin.available)
        func pathMTU(_ twin: Twin) throws {
            try withLongPath(twin) { lab throws in
                let size = 2_000_000
                let pathMTU = { (namespace: String) in
                    try lab.output("ip route get 198.51.100.9", in: namespace)
                }
                let sent = try lab.output(
                    """
                    sluice lab server x --bytes \(size) | curl -sS --max-time 60 -T - -H 'Expect:' \
                    -H 'Transfer-Encoding:' -H 'Content-Length: \(size)' http://198.51.100.9/
                    """, in: "ns-green")
                #expect(sent == "\(size) bytes, as expected\n")
                #expect(try pathMTU("ns-green").contains(" mtu 1200"))

                try exposeBlue(lab)
                let expected = try lab.output("sluice lab server x --bytes \(size) | sha256sum")
                let received = try lab.output(
                    "curl -sS --max-time 60 http://192.0.2.1:8080/bytes/\(size) | sha256sum",
                    in: "far")
                #expect(received == expected)
                #expect(try pathMTU("ns-blue").contains(" mtu 1200"))

                // A datagram and an echo request: other headers are quoted, the lesson is the same.
                let echo = try lab.run(
                    "ping -n -c 1 -W 2 -M do -s 1300 198.51.100.9", in: "ns-red")
                #expect(echo.output.contains("Frag needed and DF set (mtu = 1200)"), "\(echo)")
                #expect(try pathMTU("ns-red").contains(" mtu 1200"))
                try lab.output("ip route flush cache", in: "ns-red")
                // Sent again and again: the router in the middle limits its errors.
                let learned = try lab.poll(
                    """
                    head -c 1300 /dev/zero | socat -u - UDP4-DATAGRAM:198.51.100.9:7,mtudiscover=2
                    ip route get 198.51.100.9
                    """, in: "ns-red"
                ) { $0.output.contains(" mtu 1200") }
                #expect(learned.output.contains(" mtu 1200"))
            }
        }

        @Test(
            "show the node and every hop behind it to a traceroute by UDP, ICMP and TCP",
            arguments: Twin.available)
        func traceroute(_ twin: Twin) throws {
            try withLongPath(twin) { lab throws in
                for kind in ["-U -p 33434", "-I", "-T -p 80"] {
                    let hops = try lab.output(
                        "traceroute -n -q 1 -N 1 -w 3 -m 6 \(kind) 198.51.100.9", in: "ns-green")
                    let addresses = hops.split(separator: "\n").dropFirst().map {
                        $0.split(separator: " ").dropFirst().first.map(String.init) ?? ""
                    }
                    #expect(
                        addresses == ["10.0.0.254", "192.0.2.10", "203.0.113.2", "198.51.100.9"],
                        "\(kind): \(hops)")
                }
                // Inwards, to an address that DNAT has moved behind the node.
                try lab.output(
                    """
                    iptables -t nat -A PREROUTING -i eth0 -p udp --dport 33434:33534 \
                    -j DNAT --to-destination 10.0.0.1
                    iptables -A FORWARD -d 10.0.0.1 -p udp -j ACCEPT
                    """)
                let inwards = try lab.output(
                    "traceroute -n -q 1 -N 1 -w 3 -m 6 -U -p 33434 192.0.2.1", in: "far")
                let addresses = inwards.split(separator: "\n").dropFirst().map {
                    $0.split(separator: " ").dropFirst().first.map(String.init) ?? ""
                }
                #expect(
                    addresses == ["198.51.100.1", "203.0.113.1", "192.0.2.1", "192.0.2.1"],
                    "\(inwards)")
            }
        }

        @Test(
            "end a masqueraded client's call with the reason for which the other side refuses it",
            arguments: Twin.available)
        func refusals(_ twin: Twin) throws {
            try withLongPath(twin) { lab throws in
                let kinds: [(String, String)] = [
                    ("icmp-net-unreachable", "Network is unreachable"),
                    ("icmp-host-unreachable", "No route to host"),
                    ("icmp-proto-unreachable", "Protocol not available"),
                    ("icmp-port-unreachable", "Connection refused"),
                    ("icmp-net-prohibited", "Network is unreachable"),
                    ("icmp-host-prohibited", "No route to host"),
                    ("icmp-admin-prohibited", "No route to host"),
                    ("tcp-reset", "Connection refused"),
                ]
                for (position, kind) in kinds.enumerated() {
                    let port = 7000 + position
                    try lab.output(
                        """
                        /usr/sbin/iptables -A INPUT -p tcp --dport \(port) \
                        -j REJECT --reject-with \(kind.0)
                        """, in: "far")
                    let call = try lab.run(
                        "ncat -w 20 198.51.100.9 \(port) </dev/null", in: "ns-green")
                    #expect(call.errors.contains(kind.1), "\(twin), \(kind.0): \(call.errors)")
                }
            }
        }

        @Test(
            "a datagram of 8 KB reaches the server behind DNAT and its echo returns",
            arguments: Twin.available)
        func largeDatagrams(_ twin: Twin) throws {
            try withLongPath(twin) { lab throws in
                try lab.output(
                    """
                    iptables -t nat -A PREROUTING -i eth0 -p udp --dport 7007 \
                    -j DNAT --to-destination 10.0.0.1:7
                    iptables -A FORWARD -d 10.0.0.1 -p udp --dport 7 -j ACCEPT
                    """)
                let expected = try lab.output("sluice lab server x --bytes 8000 | sha256sum")
                for namespace in ["client", "far"] {
                    let echoed = try lab.output(
                        """
                        sluice lab server x --bytes 8000 \
                        | socat -b 9000 -t 10 STDIO,ignoreeof UDP4:192.0.2.1:7007,readbytes=8000 \
                        | sha256sum
                        """, in: namespace)
                    #expect(echoed == expected, "\(twin) from \(namespace)")
                }
            }
        }

        /// Behind the client lie two more networks: `far`, 198.51.100.9, is two hops away from it, the first
        /// over a link whose MTU is 1200.
        private func withLongPath(_ twin: Twin, _ body: (RunningLab) throws -> Void) throws {
            try withLab(twin) { lab throws in
                try lab.output(
                    """
                    ip netns add mid
                    ip netns add far
                    ip -n mid link set lo up
                    ip -n far link set lo up
                    ip -n client link add toward-mid mtu 1200 type veth \
                        peer name toward-client mtu 1200 netns mid
                    ip -n mid link add toward-far type veth peer name eth0 netns far
                    ip -n client addr add 203.0.113.1/30 dev toward-mid
                    ip -n mid addr add 203.0.113.2/30 dev toward-client
                    ip -n mid addr add 198.51.100.1/24 dev toward-far
                    ip -n far addr add 198.51.100.9/24 dev eth0
                    ip -n client link set toward-mid up
                    ip -n mid link set toward-client up
                    ip -n mid link set toward-far up
                    ip -n far link set eth0 up
                    ip -n client route add 198.51.100.0/24 via 203.0.113.2
                    ip -n mid route add default via 203.0.113.1
                    ip -n far route add default via 198.51.100.1
                    ip route add 198.51.100.0/24 via 192.0.2.10
                    for host in client mid; do
                        ip netns exec $host sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
                    done
                    """)
                try lab.start("sluice lab server far", in: "far")
                let ready = try lab.poll(
                    "curl -s --max-time 2 http://198.51.100.9/", in: "ns-red"
                ) { $0.output == "far\n" }
                try #require(ready.output == "far\n", "\(ready.errors)")
                try body(lab)
            }
        }
    }
}
