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

                // Twenty times a part of the transfer and a part of the flood, during which the server fills
                // the client's buffers; and the rest after it.
                let size = 42_000_000
                let outcome = try lab.output(
                    """
                    curl -sS http://192.0.2.1:8080/bytes/\(size) | {
                        for part in $(seq 20); do
                            head -c 2000000
                            \(lab.binary) lab attempts 198.51.100.9 $((19000 + part * 1000)) 5000 \
                                >>/run/netns/.begun
                        done
                        cat
                    } | sha256sum
                    awk '{ begun += $1 } END { print begun }' /run/netns/.begun
                    rm -f /run/netns/.begun
                    """, in: "client")
                let expected = try lab.output("sluice lab server x --bytes \(size) | sha256sum")
                #expect(outcome == expected + "100000\n")
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
