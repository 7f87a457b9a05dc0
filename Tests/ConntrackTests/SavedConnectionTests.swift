import Testing
import Wire

@testable import Conntrack

@Suite("Connections of another table")
struct SavedConnectionTests {
    /// As conntrack 1.4.7 prints them.
    static let lines = [
        "-A -t 431999 -u SEEN_REPLY,ASSURED -s 192.0.2.10 -d 192.0.2.1 -g 10.0.0.1 -q 192.0.2.10 -p tcp "
            + "--sport 47740 --dport 5201 --reply-port-src 80 --reply-port-dst 47740 --state ESTABLISHED",
        "-A -t 29 -u UNSET -s 10.0.0.1 -d 192.0.2.10 -r 192.0.2.10 -n 192.0.2.1 -p udp "
            + "--sport 53 --dport 53 --reply-port-src 53 --reply-port-dst 1024",
        "-A -t 29 -u SEEN_REPLY -s 10.0.0.1 -d 192.0.2.10 -r 192.0.2.10 -q 10.0.0.1 -p icmp "
            + "--icmp-type 8 --icmp-code 0 --icmp-id 77",
        "-A -t 599 -u UNSET -s 10.0.0.254 -d 224.0.0.22 -r 224.0.0.22 -q 10.0.0.254 -p 2",
    ]

    @Test(
        "are entered as they were described, and described again in the same words",
        arguments: lines)
    func roundTrip(_ line: String) throws {
        let table = ConnectionTable(capacity: 4, seed: 1)
        let record = try #require(ConnectionRecord(savedLine: line))
        #expect(table.adopt(record, now: seconds(10)))
        let (id, direction) = try #require(table.find(record.reply, now: seconds(10)))
        #expect(direction == .reply)
        let entered = try #require(table.record(id, now: seconds(10)))
        #expect(ConntrackText.saved(entered) == line)
        #expect(!table.adopt(record, now: seconds(10)))
        #expect(table.count == 1)
    }

    @Test("go on where they are: translated both ways, their windows learned anew")
    func goesOn() throws {
        let table = ConnectionTable(capacity: 4, seed: 1)
        #expect(
            table.adopt(try #require(ConnectionRecord(savedLine: Self.lines[0])), now: seconds(0)))
        let flow = Flow(
            from: (IPv4Address(192, 0, 2, 10), 47740), to: (IPv4Address(192, 0, 2, 1), 5201))
        let data = table.track(.tcp(flow, .ack, seq: 5000, ack: 900), at: seconds(1))
        #expect(data.state == .established && data.direction == .original)
    }

    @Test("have a state of TCP only where they are TCP")
    func strayState() throws {
        let record = try #require(
            ConnectionRecord(savedLine: Self.lines[3] + " --state ESTABLISHED"))
        #expect(record.tcpState == nil)
    }

    @Test("are refused where a line is not whole")
    func damaged() {
        for word in [
            "-A", "-t 431999", "-p tcp", "--sport 47740", "-q 192.0.2.10", "--state ESTABLISHED",
        ] {
            let line = Self.lines[0].replacing(word, with: "")
            #expect(ConnectionRecord(savedLine: line) == nil, "without \(word)")
        }
        #expect(ConnectionRecord(savedLine: "") == nil)
    }
}
