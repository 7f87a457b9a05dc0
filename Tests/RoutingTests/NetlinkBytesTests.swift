import Testing
import Wire

@testable import Netlink
@testable import Routing

@Suite struct NetlinkBytesTests {
    private func message(_ request: NetlinkRequest) throws -> NetlinkMessage {
        let bytes = ContiguousArray(request.encoded(sequence: 7))
        return try #require(NetlinkMessage.all(in: NetlinkBytes(bytes)).first)
    }

    @Test("what a request says is what the parser reads, padding included")
    func roundTrip() throws {
        var request = NetlinkRequest(type: 24, flags: 5, header: [2, 16, 0, 0])
        request.append(1, IPv4Address(10, 1, 2, 3))
        request.append(3, [9])
        request.append(4, 0xAABB_CCDD)
        let read = try message(request)
        #expect(read.type == 24 && read.flags == 5 && read.sequence == 7)
        let attributes = read.attributes(after: 4)
        #expect(attributes[1]?.address() == IPv4Address(10, 1, 2, 3))
        #expect(attributes[3]?.count == 1 && attributes[3]?.u8(0) == 9)
        #expect(attributes.u32(4) == 0xAABB_CCDD)
        #expect(attributes[5] == nil)
    }

    @Test("a length that reaches past the end ends the list instead of the process")
    func impossibleLengths() {
        var bytes = ContiguousArray(
            NetlinkRequest(type: 24, flags: 0, header: [2, 0, 0, 0]).encoded(sequence: 1))
        bytes[0] = 200
        #expect(NetlinkMessage.all(in: NetlinkBytes(bytes)).isEmpty)
        bytes[0] = 15
        #expect(NetlinkMessage.all(in: NetlinkBytes(bytes)).isEmpty)
        #expect(NetlinkAttributes(NetlinkBytes([3, 0, 1, 0, 9, 9, 9, 9])).entries.isEmpty)
        #expect(NetlinkAttributes(NetlinkBytes([9, 0, 1, 0, 9, 9, 9, 9])).entries.isEmpty)
    }

    @Test("random and damaged messages are decoded or passed over, never trapped on")
    func damaged() {
        let seed = UInt64.random(in: 1...1_000_000)
        print("netlink bytes seed: \(seed)")
        var random = SeededRandom(seed: seed)
        var decoded = 0
        for _ in 0..<20_000 {
            var body = ContiguousArray(
                (0..<Int.random(in: 0...96, using: &random)).map { _ in
                    UInt8.random(in: 0...255, using: &random)
                })
            // Lengths and types that are often right get further.
            for offset in stride(from: 8, to: body.count, by: 8) {
                body[offset] = UInt8.random(in: 0...24, using: &random)
                if offset + 1 < body.count { body[offset + 1] = 0 }
                if offset + 3 < body.count { body[offset + 3] = 0 }
            }
            if !body.isEmpty { body[0] = 2 }
            let message = NetlinkMessage(
                type: 24, flags: 0, sequence: 0, body: NetlinkBytes(body))
            if Decode.route(message) != nil { decoded += 1 }
            if Decode.rule(message) != nil { decoded += 1 }
            if Decode.address(message) != nil { decoded += 1 }
            if Decode.neighbour(message) != nil { decoded += 1 }
            if Decode.link(message) != nil { decoded += 1 }
            _ = NetlinkMessage.all(in: NetlinkBytes(body))
        }
        #expect(decoded > 0, "seed \(seed)")
    }
}
