import FrameFixture
import Hooks
import NodeFixture
import PacketIO
import Ruleset
import Testing
import Wire

@testable import Control

@Suite("Captures of NFLOG rules")
struct PacketLogTests {
    @Test("a copy begins at the IP header and is as long as the rule says")
    func copies() {
        var copies: [CopiedPacket] = []
        var here = Node {
            for size in [UInt32?.none, 0, 24, 999] {
                $0.add(.filter, "FORWARD", .nflog(NFLogTarget(group: 3, size: size)))
            }
        }
        here.engine.onPacketLog = { [unowned engine = here.engine] in
            copies.append(CopiedPacket($0, $1, engine.now))
        }
        here.handle(segment(client, 1, blue, 80), on: eth0)
        #expect(copies.map(\.bytes.count) == [40, 40, 24, 40])
        #expect(copies.allSatisfy { $0.bytes.first == 0x45 && $0.group == 3 })
    }
}
