// Two clients behind MASQUERADE that speak from the same port to the same server: each gets a port of its
// own, keeps it towards other servers, and neither hears what was said to the other.

import Foundation
import Lab
import Testing

extension KernelTests {
    @Suite("Clients with the same source port", .needsLabs) struct SharedPortTests {
        private static let clients = ["ns-green", "ns-red"]

        @Test("reach one server over TCP, each with a port of its own", arguments: Twin.available)
        func connections(_ twin: Twin) throws {
            try withLab(twin) { lab throws in
                let peers = try Self.clients.map {
                    try lab.output("curl -s --local-port 40000 http://192.0.2.10/peer", in: $0)
                }
                #expect(peers[0] == "192.0.2.1:40000\n")
                let second = try #require(Int(peers[1].dropFirst("192.0.2.1:".count).dropLast()))
                #expect(second != 40000 && (1024...65535).contains(second))

                // Both at once, and every byte where it belongs.
                let size = 3_000_000
                let expected = try lab.output("sluice lab server x --bytes \(size) | sha256sum")
                for client in Self.clients {
                    try lab.start(
                        """
                        curl -s --local-port 40001 --limit-rate 2M \
                        http://192.0.2.10/bytes/\(size) | sha256sum >/run/netns/.\(client)
                        """, in: client)
                }
                for client in Self.clients {
                    let sum = try lab.poll("cat /run/netns/.\(client)") { !$0.output.isEmpty }
                    #expect(sum.output == expected, "\(twin), \(client)")
                }
            }
        }

        @Test(
            "hear their own answers over UDP and keep their port towards another server",
            arguments: Twin.available)
        func datagrams(_ twin: Twin) throws {
            try withLab(twin) { lab throws in
                try lab.start("socat UDP4-RECVFROM:8,fork PIPE", in: "client")
                _ = try lab.poll("ss -Hlun 'sport = :8'", in: "client") { !$0.output.isEmpty }
                for server in [7, 8] {
                    for client in Self.clients {
                        // socat waits half a second for more of an answer: time for a wrong one too.
                        let heard = try lab.output(
                            "echo \(client) | socat - UDP4:192.0.2.10:\(server),sourceport=40000",
                            in: client)
                        #expect(heard == client + "\n", "\(twin): port \(server)")
                    }
                }
                let ports = try ["10.0.0.2", "10.0.0.3"].map { source in
                    let entries = try lab.output(
                        "conntrack -L -p udp -s \(source) --sport 40000 2>/dev/null")
                    // The port that the servers see is where their replies go.
                    let ports = entries.split(separator: "\n").compactMap { line in
                        line.split(separator: " ").last { $0.hasPrefix("dport=") }
                    }
                    #expect(ports.count == 2 && Set(ports).count == 1, "\(twin): \(entries)")
                    return ports.first
                }
                #expect(ports[0] == "dport=40000" && ports[1] != ports[0], "\(twin): \(ports)")
            }
        }
    }
}
