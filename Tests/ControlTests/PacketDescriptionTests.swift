import Testing
import Wire

@testable import Control

@Suite("A packet in words")
struct PacketDescriptionTests {
    @Test("TCP with its flags, as tcpdump writes them")
    func tcp() throws {
        let packet = try PacketDescription(parsing: "tcp 10.1.0.2:40000 > 10.1.0.1:8080 S.")
        #expect(packet.source == IPv4Address(10, 1, 0, 2))
        #expect(packet.destination == IPv4Address(10, 1, 0, 1))
        #expect(
            packet.transport
                == .tcp(
                    source: Port(40000), destination: Port(8080), flags: TCPFlags(rawValue: 18)))
    }

    @Test("UDP and ICMP with options")
    func others() throws {
        let udp = try PacketDescription(
            parsing: " udp  1.2.3.4:1 > 5.6.7.8:65535 length 100 ttl 3 mark 0xff tos 16 user 33 "
                + "group 1337")
        #expect(udp.transport == .udp(source: Port(1), destination: Port(65535)))
        #expect(
            (udp.payloadLength, udp.timeToLive, udp.mark, udp.typeOfService) == (100, 3, 255, 16))
        #expect((udp.userID, udp.groupID) == (33, 1337))
        let echo = try PacketDescription(parsing: "icmp 1.2.3.4 > 5.6.7.8 echo id 7")
        #expect(echo.transport == .icmp(type: 8, identifier: 7))
    }

    @Test(
        "what is wrong is named with its column and what was expected",
        arguments: [
            ("", "column 1: found the end, expected tcp, udp or icmp"),
            ("sctp a", "column 1: found 'sctp', expected tcp, udp or icmp"),
            (
                "tcp 1.2.3.4",
                "column 5: found '1.2.3.4', expected an address and a port such as 10.0.0.1:80"
            ),
            (
                "tcp 1.2.3.4:x > 2.2.2.2:1 S",
                "column 13: found 'x', expected a port from 0 to 65535"
            ),
            ("tcp 1.2.3.4:65536 > ", "column 13: found '65536', expected a port from 0 to 65535"),
            ("tcp 1.2.3.4:5 < 2.2.2.2:1 S", "column 15: found '<', expected '>'"),
            (
                "tcp 1.2.3.4:5 > 2.2.2.2:1",
                "column 26: found the end, expected TCP flags such as S, S., ., P. or F."
            ),
            (
                "tcp 1.2.3.4:5 > 2.2.2.2:1 SX",
                "column 28: found 'X', expected a TCP flag out of S F R P U . E W"
            ),
            (
                "udp 1.2.3.4:5 > 2.2.2.2:1 id 4",
                "column 27: found 'id', expected length, ttl, tos, mark, user, group, for icmp id,"
                    + " or the end"
            ),
            ("icmp 1.2.3.4 > 2.2.2.2 ping", "column 24: found 'ping', expected echo or echo-reply"),
            (
                "icmp 1.2.3.4 > 2.2.2.2 echo ttl 0",
                "column 33: found '0', expected a time to live from 1 to 255"
            ),
        ])
    func errors(text: String, message: String) {
        let error = #expect(throws: PacketDescriptionError.self) {
            try PacketDescription(parsing: text)
        }
        #expect(error?.description == message)
    }

    @Test(
        "its frame reads back as it was described, with right checksums",
        arguments: [
            "tcp 10.1.0.2:40000 > 10.1.0.1:8080 S", "tcp 1.1.1.1:1 > 2.2.2.2:2 P. length 11",
            "udp 10.1.0.2:53 > 10.1.0.1:5353 length 7", "icmp 10.1.0.2 > 10.1.0.1 echo id 9",
        ])
    func frame(text: String) throws {
        let packet = try PacketDescription(parsing: text)
        let frame = packet.frame()
        let bytes = unsafe frame.span.bytes
        var header = InternetChecksum()
        header.add(bytes, 14..<34)
        #expect(header.folded == 0xFFFF)
        var sum = InternetChecksum()
        if !text.hasPrefix("icmp") {
            sum.addPseudoHeader(
                source: packet.source, destination: packet.destination,
                protocol: IPProtocol(rawValue: bytes.u8(23)), length: frame.count - 34)
        }
        sum.add(bytes, 34..<frame.count)
        #expect(sum.folded == 0xFFFF)
    }
}
