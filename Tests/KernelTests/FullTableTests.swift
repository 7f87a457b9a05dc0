// A connection table that is far too small for what comes: established connections keep flowing, and
// what is refused has a reason.

import Foundation
import Lab
import Testing

extension KernelTests {
    @Suite("A full table", .needsDaemon) struct FullTableTests {
        @Test("of 1,000 entries under 100,000 SYNs lets an established connection flow")
        func flood() throws {
            try withLab(.sluice) { lab throws in
                let rules = try lab.output("iptables-save")
                try lab.output("sluice down")
                try lab.output("cat >/run/netns/.rules <<'END'\n\(rules)END")
                try lab.start(
                    """
                    sluice run --interface eth0 --interface br0 --capacity 1000 \
                    --rules /run/netns/.rules
                    """)
                let ready = try lab.poll("sluice status") { $0.status == 0 }
                try #require(ready.status == 0, "\(ready.errors)")
                try exposeBlue(lab)
                // Nobody answers there: every entry stays unreplied and may be evicted.
                try lab.output("iptables -A FORWARD -d 198.51.100.0/24 -j ACCEPT")
                try lab.output("ip route add 198.51.100.0/24 via 10.0.0.1")
                try lab.output("ip route add 198.51.100.0/24 via 192.0.2.1", in: "client")

                // Ten seconds of transfer, several times what the attempts take.
                let size = 40_000_000
                let outcome = try lab.output(
                    """
                    curl -sS --limit-rate 4M -o /run/netns/.body \
                        http://192.0.2.1:8080/bytes/\(size) & transfer=$!
                    \(lab.binary) lab attempts 198.51.100.9 20000 100000
                    kill -0 $transfer || echo the transfer ended too early
                    wait $transfer && sha256sum < /run/netns/.body
                    rm -f /run/netns/.body
                    """, in: "client")
                let expected = try lab.output("sluice lab server x --bytes \(size) | sha256sum")
                #expect(outcome == "100000\n" + expected)
                let entries = try #require(Int(try lab.output("conntrack -C").dropLast()))
                #expect(entries <= 1000)
                print("after the flood:\n" + (try lab.output("sluice status")))
                let status = try Status(json: try lab.output("sluice status --json"))
                for fate in status.fates {
                    let ends = fate.forwarded + fate.delivered + fate.dropped + fate.waiting
                    #expect(fate.received == ends, "\(fate)")
                }
                let dropped = status.fates.reduce(0) { $0 + $1.dropped }
                #expect(status.drops.reduce(0) { $0 + $1.packets } == dropped)
                #expect(status.drops.allSatisfy { !$0.sentence.isEmpty })
            }
        }

        /// What `sluice status --json` says of packets.
        private struct Status: Decodable {
            struct Fate: Decodable {
                var received, forwarded, delivered, waiting, dropped: Int
            }
            struct Drop: Decodable {
                var sentence: String
                var packets: Int
            }
            var fates: [Fate]
            var drops: [Drop]

            init(json: String) throws {
                self = try JSONDecoder().decode(Self.self, from: Data(json.utf8))
            }
        }
    }
}
