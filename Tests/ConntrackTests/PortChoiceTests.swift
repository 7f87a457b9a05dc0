import Testing
import Wire

@testable import Conntrack

private let other = IPv4Address(10, 1, 0, 3)
private let masquerade = NATRange(gateway)

@Suite("Which address and port a connection gets")
struct PortChoiceTests {
    private func source(_ table: ConnectionTable, _ tracked: Tracked) -> (IPv4Address, UInt16) {
        let reply = table.tuple(tracked.connection!, .reply)!
        return (reply.destination, reply.destinationPort.rawValue)
    }

    private func open(
        _ table: ConnectionTable, from: IPv4Address, _ port: UInt16, to: IPv4Address = server,
        _ service: UInt16 = 80, snat: NATRange? = masquerade, dnat: NATRange? = nil
    ) -> Tracked {
        var frame = Frame.udp(Flow(from: (from, port), to: (to, service)))
        return table.forward(&frame, at: seconds(0), dnat: dnat, snat: snat)
    }

    @Test("the port is kept while its reply tuple is free, else another of its class is taken")
    func classes() {
        for (port, range) in [
            (UInt16(300), UInt16(1)...511), (600, 600...1023), (514, 600...1023),
            (40_000, 1024...65_535),
        ] {
            let table = ConnectionTable(capacity: 16, seed: UInt64(port))
            #expect(source(table, open(table, from: client, port)) == (gateway, port))
            let (address, chosen) = source(table, open(table, from: other, port))
            #expect(address == gateway)
            #expect(chosen != port)
            #expect(range.contains(chosen), "\(chosen)")
        }
    }

    @Test("one client socket keeps its mapping towards further destinations")
    func appropriateSource() {
        let table = ConnectionTable(capacity: 16, seed: 3)
        _ = open(table, from: client, 5000)
        let moved = source(table, open(table, from: other, 5000))
        #expect(moved.1 != 5000)
        // 5000 would be free towards this destination, yet the socket has a mapping already.
        let further = source(table, open(table, from: other, 5000, to: IPv4Address(10, 3, 0, 9)))
        #expect(further == moved)
    }

    @Test("a null binding changes a port only where two connections would collide")
    func nullBinding() {
        let table = ConnectionTable(capacity: 16, seed: 3)
        // The client speaks to a virtual address that is the server …
        let one = open(
            table, from: client, 5000, to: IPv4Address(203, 0, 113, 80), snat: nil,
            dnat: NATRange(server))
        #expect(source(table, one) == (client, 5000))
        // … and with the same socket to the server itself.
        let two = open(table, from: client, 5000, snat: nil)
        let (address, port) = source(table, two)
        #expect(address == client)
        #expect(port != 5000)
        #expect(table.status(two.connection!).contains(.sourceNAT))
    }

    @Test("--random leaves the port even where it is free")
    func random() {
        for flag in [NATRange.Flags.random, .randomFully] {
            let table = ConnectionTable(capacity: 64, seed: 9)
            let ports = (0..<20).map { number -> UInt16 in
                let range = NATRange(gateway, flags: flag)
                let tracked = open(table, from: client, UInt16(2000 + number), snat: range)
                return source(table, tracked).1
            }
            #expect(Set(ports).count == 20)
            #expect(ports.filter { (2000..<2020).contains($0) }.count < 3)
        }
    }

    @Test("a port range is honoured, and full means that the packet dies at confirm")
    func exhaustion() {
        let table = ConnectionTable(capacity: 64, seed: 4)
        let range = NATRange(gateway, ports: Port(7000)...Port(7009))
        var ports = Set<UInt16>()
        for number in 0..<10 {
            let tracked = open(table, from: client, UInt16(100 + number), snat: range)
            #expect(tracked.drop == nil)
            ports.insert(source(table, tracked).1)
        }
        #expect(ports == Set(7000...7009))
        let refused = open(table, from: client, 999, snat: range)
        #expect(refused.drop == .confirmClash)
        #expect(table.statistics.insertFailed == 1)
        #expect(table.statistics.drop == 1)
        #expect(table.count == 10)
        // Towards another destination the same ports are free.
        #expect(open(table, from: client, 999, to: other, snat: range).drop == nil)
    }

    @Test("no more than 128 + 64 + 32 + 16 + 8 ports are probed")
    func attempts() {
        let table = ConnectionTable(capacity: 70_000, seed: 4)
        for port in UInt16(1024)...65_535 {
            _ = open(table, from: client, port)
        }
        #expect(table.count == 64_512)
        let before = table.statistics.found
        #expect(open(table, from: other, 2000).drop == .confirmClash)
        // One look at the port itself, and the probes.
        #expect(table.statistics.found - before == 1 + 128 + 64 + 32 + 16 + 8)
    }

    @Test("a destination range of ports is filled from its beginning")
    func destinationRange() {
        let table = ConnectionTable(capacity: 16, seed: 4)
        let range = NATRange(server, ports: Port(9000)...Port(9003))
        let tracked = open(table, from: client, 1, snat: nil, dnat: range)
        #expect(table.tuple(tracked.connection!, .reply)!.sourcePort == Port(9000))
        // A port inside the range is kept.
        let kept = open(table, from: client, 2, to: other, 9002, snat: nil, dnat: range)
        #expect(table.tuple(kept.connection!, .reply)!.sourcePort == Port(9002))
    }

    @Test("ports shifted from a base keep their distance")
    func shifted() {
        let table = ConnectionTable(capacity: 16, seed: 4)
        var range = NATRange(server, ports: Port(9000)...Port(9100))
        range.basePort = Port(5000)
        let tracked = open(table, from: client, 1, to: other, 5042, snat: nil, dnat: range)
        #expect(table.tuple(tracked.connection!, .reply)!.sourcePort == Port(9042))
    }

    @Test("an address range spreads clients; --persistent looks at the client alone")
    func addressRange() {
        let low = IPv4Address(192, 0, 2, 10)
        let high = IPv4Address(192, 0, 2, 13)
        func address(_ client: UInt8, _ server: UInt8, _ flags: NATRange.Flags) -> IPv4Address {
            let table = ConnectionTable(capacity: 4, seed: 1)
            let range = NATRange(addresses: low...high, flags: flags)
            return source(
                table,
                open(
                    table, from: IPv4Address(10, 1, 0, client), 1,
                    to: IPv4Address(10, 2, 0, server), snat: range)
            ).0
        }
        let clients = Set((1...60).map { address(UInt8($0), 1, []) })
        #expect(clients.count == 4)
        #expect(clients.allSatisfy { (low...high).contains($0) })
        #expect(Set((1...60).map { address(1, UInt8($0), []) }).count == 4)
        #expect(Set((1...60).map { address(1, UInt8($0), .persistent) }).count == 1)
    }

    @Test("a port held by TIME_WAIT is taken over when nothing else is left")
    func takeOver() {
        let table = ConnectionTable(capacity: 16, seed: 4)
        let range = NATRange(gateway, ports: Port(7000)...Port(7000))
        func syn(_ port: UInt16, _ seq: UInt32) -> Tracked {
            var frame = Frame.tcp(Flow(port), .syn, seq: seq)
            return table.forward(&frame, at: seconds(0), snat: range)
        }
        func send(_ flow: Flow, _ flags: TCPFlags, _ seq: UInt32, _ ack: UInt32) {
            var frame = Frame.tcp(flow, flags, seq: seq, ack: ack)
            _ = table.forward(&frame, at: seconds(0))
        }
        let old = syn(40_000, 100).connection!
        let back = Flow(from: (server, 80), to: (gateway, 7000))
        send(back, [.syn, .ack], 900, 101)
        send(Flow(40_000), .ack, 101, 901)
        #expect(syn(40_001, 5000).drop == .confirmClash, "an open connection keeps its port")
        send(Flow(40_000), [.fin, .ack], 101, 901)
        send(back, [.fin, .ack], 901, 102)
        send(Flow(40_000), .ack, 102, 902)
        #expect(table.tcpState(old) == .timeWait)
        #expect(syn(40_001, 50).drop == .confirmClash, "the sequence number is an old one")
        #expect(syn(40_001, 5000).drop == nil)
        #expect(table.status(old).contains(.dying))
        #expect(table.count == 1)
    }
}
