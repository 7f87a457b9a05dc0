// Rules about the user and the group of the node's own sockets: what comes with a packet through the host port
// is what the kernel's netfilter sees of the socket.

import Lab
import Testing

extension KernelTests {
    @Suite("The owner of a packet", .needsLabs) struct OwnerTests {
        @Test(
            "is the user and the group of its socket, for datagrams and connections alike",
            arguments: Twin.available)
        func ownSockets(_ twin: Twin) throws {
            try withLab(twin) { lab throws in
                try lab.output(
                    """
                    for test in '--uid-owner 1234' '--gid-owner 1337' '! --gid-owner 1337' \
                        '--uid-owner 1234 --gid-owner 1337' '! --uid-owner 0 ! --gid-owner 1337' \
                        '--gid-owner 1300-1400'; do
                        iptables -A OUTPUT -d 192.0.2.10 -m owner $test
                    done
                    """)
                for (user, group) in [(0, 0), (1234, 1337), (1234, 5), (0, 1337)] {
                    let sender = "setpriv --reuid \(user) --regid \(group) --clear-groups"
                    try lab.output(
                        """
                        # The socket stays open until its datagram is on the way.
                        \(sender) bash -c 'exec 3<>/dev/udp/192.0.2.10/7; echo x >&3; head -n 1 <&3'
                        \(sender) curl -s --max-time 10 http://192.0.2.10/
                        """)
                }
                let counted = try lab.output(
                    "iptables -nvxL OUTPUT | awk '/owner/ && !/udp/ { print ($1 > 0) }' | xargs")
                #expect(counted == "1 1 1 1 1 1\n", "\(twin)")
                // A connection that is refused because of its group, and one that is not.
                try lab.output(
                    """
                    iptables -A OUTPUT -p tcp -d 192.0.2.10 -m owner --gid-owner 1337 \
                    -j REJECT --reject-with tcp-reset
                    """)
                for (group, status) in [(1337, 7), (1338, 0)] as [(Int, Int32)] {
                    let call = try lab.run(
                        """
                        setpriv --regid \(group) --clear-groups \
                        curl -s --max-time 10 http://192.0.2.10/
                        """)
                    #expect(call.status == status, "\(twin), group \(group)")
                }
                // The answers of a server: from the first on, which the half-open connection sends.
                try lab.output("iptables -F OUTPUT; iptables -N group-1337")
                try lab.output("iptables -A OUTPUT -p tcp --sport 80 -j group-1337")
                try lab.output("iptables -A group-1337 -m owner --gid-owner 1337 -j ACCEPT")
                try lab.output("iptables -A group-1337 -p tcp --tcp-flags SYN,ACK SYN,ACK -j DROP")
                try lab.start("setpriv --regid 1337 --clear-groups sluice lab server served")
                let served = try lab.poll("curl -s --max-time 5 http://192.0.2.1/", in: "client") {
                    $0.status == 0
                }
                #expect(served.output == "served\n", "\(twin)")
            }
        }
    }
}
