// What the page of dnat-load-balancing leaves out: exact counters, and a namespace added by hand.

import Foundation
import Lab
import Testing

extension KernelTests {
    @Suite("DNAT load balancing") struct DocumentTests {
        @Test(
            "counts a connection once in nat, whoever does it", .needsLabs,
            arguments: Twin.available)
        func natCounters(_ twin: Twin) throws {
            try withLab(twin) { lab throws in
                try exposeBlue(lab)
                for _ in 0..<3 {
                    try lab.output("curl -s http://192.0.2.1:8080", in: "client")
                }
                let rules = try lab.output("iptables -t nat -L PREROUTING -n -v -x --line-numbers")
                let rule = try #require(rules.split(separator: "\n").last)
                #expect(
                    rule.split(separator: " ").prefix(3) == ["1", "3", "180"], "\(twin): \(rule)")
            }
        }

        @Test(
            "its own commands add the third namespace and its ncat server", .needsLabs,
            arguments: Twin.available)
        func thirdNamespace(_ twin: Twin) throws {
            try withLab(twin) { lab throws in
                try lab.output("ip link del veth-red-br; ip netns del ns-red")
                try lab.output(
                    """
                    set -e
                    ip netns add ns-red
                    ip link add veth-red type veth peer name veth-red-br
                    ip link set veth-red netns ns-red
                    ip link set veth-red-br master br0
                    ip netns exec ns-red ip addr add 10.0.0.3/24 dev veth-red
                    ip netns exec ns-red ip link set veth-red up
                    ip link set veth-red-br up
                    """)
                // The document's previous part gave every namespace its way out.
                try lab.output("ip netns exec ns-red ip route add default via 10.0.0.254")
                try lab.start(
                    #"""
                    ip netns exec ns-red bash -c 'while true; do echo -e "HTTP/1.0 200 OK\r\n\r\nred" | ncat -l 80; done'
                    """#)
                try lab.output(
                    """
                    iptables -t nat -A PREROUTING -i eth0 -p tcp --dport 8080 \
                    -j DNAT --to-destination 10.0.0.3:80
                    iptables -A FORWARD -d 10.0.0.3 -p tcp --dport 80 -j ACCEPT
                    """)
                // ncat listens a moment after it is started, and again after every client.
                let answer = try lab.poll(
                    "curl -s --max-time 2 http://192.0.2.1:8080", in: "client"
                ) { $0.output == "red\n" }
                #expect(answer.output == "red\n", "\(twin)")
            }
        }
    }
}

/// The document's first step: one backend, allowed through.
func exposeBlue(_ lab: RunningLab) throws {
    try lab.output(
        """
        iptables -t nat -A PREROUTING -i eth0 -p tcp --dport 8080 \
        -j DNAT --to-destination 10.0.0.1:80
        iptables -A FORWARD -d 10.0.0.1 -p tcp --dport 80 -j ACCEPT
        """)
}
