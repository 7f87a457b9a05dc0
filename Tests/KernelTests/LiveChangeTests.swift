// Addresses, routes, links and neighbours that change while Sluice runs: the person uses `ip` as ever.

import Lab
import Testing

extension KernelTests {
    @Suite("While Sluice runs", .needsDaemon) struct LiveChangeTests {
        @Test(
            "a new route is on the interface the kernel would have chosen, works, and outlives it")
        func newRoute() throws {
            try withLab(.sluice) { lab throws in
                try lab.output("ip -n ns-blue addr add 198.51.100.9/32 dev lo")
                try lab.output("ip route add 198.51.100.0/24 via 10.0.0.1")
                try lab.output("iptables -A FORWARD -d 198.51.100.0/24 -j ACCEPT")
                try lab.output("ip route add 198.51.100.0/24 via 192.0.2.1", in: "client")
                let route = try lab.output("ip route show 198.51.100.0/24")
                #expect(route == "198.51.100.0/24 via 10.0.0.1 dev br0 \n")
                for namespace in ["client", "node"] {
                    let answer = try lab.poll(
                        "curl -s --max-time 1 http://198.51.100.9/", in: namespace
                    ) { $0.status == 0 }
                    #expect(answer.output == "blue\n", "from \(namespace)")
                }
                try lab.output("sluice down")
                #expect(try lab.output("ip route show 198.51.100.0/24") == route)
            }
        }

        @Test("a new address of the node answers, and an address that went away does not")
        func newAddress() throws {
            try withLab(.sluice) { lab throws in
                let ping = "ping -n -q -c 1 -W 0.3 192.0.2.77"
                try lab.output("ip addr add 192.0.2.77/24 dev eth0")
                #expect(try lab.poll(ping, in: "client") { $0.status == 0 }.status == 0)
                try lab.output("ip addr del 192.0.2.77/24 dev eth0")
                #expect(try lab.poll(ping, in: "client") { $0.status != 0 }.status == 1)
            }
        }

        @Test("a backend that comes back with another MAC address is reached again")
        func newNeighbour() throws {
            try withLab(.sluice) { lab throws in
                try exposeBlue(lab)
                let fetch = "curl -s --max-time 1 http://192.0.2.1:8080"
                #expect(try lab.output(fetch, in: "client") == "blue\n")
                try lab.output(
                    """
                    ip -n ns-blue link set veth-blue down
                    ip -n ns-blue link set veth-blue address 02:00:00:00:00:77
                    ip -n ns-blue link set veth-blue up
                    ip -n ns-blue route add default via 10.0.0.254
                    """)
                // The backend makes itself known by asking for its gateway; the kernel believes a change
                // only a second after the last (locktime), and nobody doubts an entry that is reachable.
                let answer = try lab.poll(
                    """
                    ip netns exec ns-blue ping -n -q -c 1 -W 0.3 10.0.0.254 >/dev/null
                    ip netns exec client \(fetch)
                    """
                ) { $0.status == 0 }
                #expect(answer.output == "blue\n")
            }
        }
    }
}
