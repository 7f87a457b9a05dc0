import CAllocationCount
import Conntrack
import Hooks
import NodeFixture
import Routing
import Ruleset
import Testing
import Wire

@testable import VirtualServer

let vip = IPv4Address(203, 0, 113, 80)
let service = ServiceKey.address(.tcp, vip, Port(80))
let servers = [IPv4Address(10, 0, 0, 1), IPv4Address(10, 0, 0, 2), IPv4Address(10, 0, 0, 3)]

/// A node with a virtual service in front of servers behind br0; ipvsadm's words change it.
struct Balanced {
    var node: Node
    var table = Table()

    init(_ lines: String..., build: (inout Node) -> Void = { _ in }) {
        node = Node(build)
        for line in lines { run(line) }
    }

    /// Service on the VIP with these servers, port 8080, the first of them first in the kernel's order.
    init(scheduler: String, weights: [Int] = [1, 1, 1], options: String = "") {
        self.init("-A -t \(vip):80 -s \(scheduler) \(options)")
        for (server, weight) in zip(servers, weights).reversed() {
            run("-a -t \(vip):80 -r \(server):8080 -m -w \(weight)")
        }
    }

    mutating func run(_ line: String) {
        let outcome = table.run(line)
        #expect(outcome == IPVSOutcome(), "\(line)")
        node.engine.director.follow(table.services, now: now)
    }

    var now: Timestamp { Timestamp(nanoseconds: node.time) }
    var connections: ConnectionTable { node.engine.connections }
    var director: Director { node.engine.director }

    /// A client's first packet.
    @discardableResult
    mutating func open(
        _ clientPort: UInt16, from source: IPv4Address = client, to address: IPv4Address = vip,
        port: UInt16 = 80, protocol: IPProtocol = .tcp, on interface: InterfaceIndex = eth0,
        dryRun: Bool = false
    ) -> Sent {
        node.handle(
            segment(source, clientPort, address, port, protocol: `protocol`), on: interface,
            dryRun: dryRun)
    }

    /// The server's SYN-ACK and the client's ACK.
    mutating func establish(_ sent: Sent) {
        let server = sent.view.destination
        let port = sent.view.sourcePort.rawValue
        node.handle(
            segment(
                server, 8080, client, port, flags: [.syn, .ack], sequence: 500,
                acknowledgement: 101), on: br0)
        acknowledge(port)
    }

    @discardableResult
    mutating func acknowledge(_ port: UInt16, flags: TCPFlags = .ack) -> Sent {
        node.handle(
            segment(client, port, vip, 80, flags: flags, sequence: 101, acknowledgement: 501),
            on: eth0)
    }

    func load(_ index: Int) -> ServerLoad {
        director.counted(
            of: RealServer(address: servers[index], port: Port(8080)), in: service
        ).load
    }
}

extension Sent {
    /// What a virtual service said of it.
    var scheduling: Scheduling? {
        for event in trace.events {
            if case .scheduled(let scheduling) = event.kind { return scheduling }
        }
        return nil
    }
}

@Suite("A virtual service")
struct DirectorTests {
    @Test("sends new connections to its servers in turn, and translates both ways")
    func turns() {
        var here = Balanced(scheduler: "rr")
        let first = (40_000..<40_004).map { here.open(UInt16($0)) }
        #expect(first.map(\.view.destination) == servers + [servers[0]])
        #expect(first.allSatisfy { $0.view.destinationPort == Port(8080) })
        #expect(
            first[1].disposition
                == .forward(Egress(interface: br0, nextHop: servers[1], mtu: 1500)))
        // The same packet again goes where its connection went.
        #expect(here.open(40_001).view.destination == servers[1])
        let reply = here.node.handle(
            segment(
                servers[1], 8080, client, 40_001, flags: [.syn, .ack], sequence: 500,
                acknowledgement: 101), on: br0)
        #expect(reply.view.source == vip && reply.view.sourcePort == Port(80))
        #expect(here.connections.count == 4)
    }

    @Test("is named in the trace with its scheduler and the server that was chosen")
    func trace() {
        var here = Balanced(scheduler: "rr")
        let sent = here.open(40_000)
        let scheduling = sent.scheduling
        #expect(scheduling?.service == service)
        #expect(scheduling?.scheduler == "rr")
        #expect(scheduling?.outcome == .server(servers[0], Port(8080), keeps: false))
        #expect(here.open(40_000).scheduling == nil)
    }

    @Test("leaves turns, counts and clients alone in a dry run")
    func dryRun() {
        for options in ["", "-p 60"] {
            var here = Balanced(scheduler: "rr", options: options)
            for _ in 0..<3 {
                #expect(here.open(40_000, dryRun: true).view.destination == servers[0])
            }
            #expect(here.connections.count == 0)
            #expect((0..<3).allSatisfy { here.load($0).traffic == ServerTraffic() })
            #expect((0..<3).allSatisfy { !here.load($0).isInUse })
            #expect(here.open(40_000).view.destination == servers[0])
        }
    }

    @Test("stands behind the rules of the nat table: what they translate it does not see")
    func ruleFirst() {
        var here = Balanced("-A -t \(vip):80 -s rr", "-a -t \(vip):80 -r 10.0.0.2 -m") {
            $0.add(.nat, "PREROUTING", matches: [port(80)], dnat(blue, 99)) {
                $0.protocol = Invertible(.tcp)
            }
        }
        let sent = here.open(40_000)
        #expect(sent.view.destination == blue && sent.view.destinationPort == Port(99))
        #expect(sent.scheduling == nil)
    }

    @Test("stands before FORWARD: rules there see the server's address and port")
    func filterBehind() {
        var here = Balanced("-A -t \(vip):80 -s rr", "-a -t \(vip):80 -r 10.0.0.1:8080 -m") {
            $0.policy(.filter, "FORWARD", .drop)
            $0.add(.filter, "FORWARD", matches: [port(8080)], .accept) {
                $0.protocol = Invertible(.tcp)
                $0.destination = AddressMatch(IPv4Network(blue, prefixLength: 32))
            }
            $0.install()
        }
        guard case .forward = here.open(40_000).disposition else {
            Issue.record("the packet was not forwarded")
            return
        }
        #expect(here.node.counters(.filter, "FORWARD") == [1])
    }

    @Test("needs no address of the node's, nor a rule that tracks")
    func anyAddress() {
        var here = Balanced(scheduler: "wlc")
        #expect(!here.node.engine.rules.needsTracking)
        #expect(here.open(40_000).view.destination == servers[0])
        // Another port of the VIP is nobody's.
        let other = here.open(40_000, port: 81)
        #expect(other.view.destination == vip && other.scheduling == nil)
    }

    @Test("takes connections of the node's own at OUTPUT")
    func ofTheNode() {
        var here = Balanced("-A -t 10.0.0.9:80 -s rr", "-a -t 10.0.0.9:80 -r 10.0.0.1:8080 -m")
        let sent = here.open(40_000, from: inside, to: IPv4Address(10, 0, 0, 9), on: .none)
        #expect(sent.view.destination == servers[0])
        #expect(sent.disposition == .forward(Egress(interface: br0, nextHop: blue, mtu: 1500)))
    }

    @Test("answers with port unreachable where nobody takes connections, TCP too")
    func nobody() {
        var here = Balanced(scheduler: "rr", weights: [0, 0, 0])
        let sent = here.open(40_000)
        #expect(
            sent.disposition
                == .answer(.icmp(type: 3, code: 3, information: 0), .noServer))
        #expect(sent.scheduling?.outcome == .nobody)
        #expect(here.connections.count == 0)
        var empty = Balanced("-A -t \(vip):80 -s wlc")
        #expect(empty.open(1).scheduling?.outcome == .nobody)
    }

    @Test("does not take up a TCP connection in its middle, nor active FTP's data connection")
    func notNew() {
        var here = Balanced(scheduler: "rr")
        let middle = here.acknowledge(40_000)
        #expect(middle.scheduling == nil && middle.view.destination == vip)
        let data = here.open(20)
        #expect(data.scheduling == nil && data.view.destination == vip)
    }

    @Test("of a mark takes TCP and UDP to any address, and goes before an address")
    func mark() {
        var here = Balanced(
            "-A -f 7 -s rr", "-a -f 7 -r 10.0.0.1 -m", "-a -f 7 -r 10.0.0.2:99 -m",
            "-A -t \(vip):80 -s rr", "-a -t \(vip):80 -r 10.0.0.3 -m"
        ) {
            $0.add(.mangle, "PREROUTING", .mark(MarkTarget(value: 7, mask: .max))) {
                $0.destination = AddressMatch(IPv4Network(vip, prefixLength: 31))
            }
        }
        let tcp = here.open(40_000)
        #expect(tcp.view.destination == servers[1] && tcp.view.destinationPort == Port(99))
        let udp = here.open(
            40_000, to: IPv4Address(203, 0, 113, 81), port: 53, protocol: .udp)
        // No port of its own: the one asked for stays.
        #expect(udp.view.destination == servers[0] && udp.view.destinationPort == Port(53))
        #expect(here.open(40_000, to: IPv4Address(203, 0, 113, 82)).scheduling == nil)
    }

    @Test(
        "is found and scheduled without a heap allocation",
        .enabled(if: sluice_counts_allocations(), "a sanitizer owns malloc"),
        arguments: Scheduler.all.map(\.name), [nil, Persistence(timeout: Seconds(60))])
    func allocations(scheduler: String, persistence: Persistence?) throws {
        let director = Director(ConnectionTable(capacity: 64, seed: 1), clientCapacity: 1024)
        var services = VirtualServices()
        try services.add(
            VirtualService(
                key: service, scheduler: scheduler, flags: [.fallback, .port],
                persistence: persistence))
        for (weight, address) in servers.enumerated() {
            try services.add(
                RealServer(address: address, port: Port(80), weight: Int32(weight)), to: service)
        }
        let now = Timestamp(nanoseconds: 0)
        director.follow(services, now: now)
        let flows = (0..<500).map {
            NewConnection(
                protocol: .tcp, client: IPv4Address(rawValue: 0xC633_6400 + $0 / 2),
                clientPort: Port(1024), destination: vip, destinationPort: Port(80), mark: 0)
        }
        // What the runtime sets up once.
        for flow in flows { _ = director.choose(flow, now: now, counting: false) }
        let before = sluice_allocation_count()
        for index in 0..<500 { _ = director.choose(flows[index], now: now, counting: true) }
        let allocated = sluice_allocation_count() - before
        #expect(allocated == 0)
    }

    @Test("with port 0 takes every port that has no service of its own, and leaves it as it is")
    func portZero() {
        var here = Balanced(
            "-A -t \(vip):0 -s rr -p 100", "-a -t \(vip):0 -r 10.0.0.1 -m",
            "-A -t \(vip):443 -s rr", "-a -t \(vip):443 -r 10.0.0.2:8443 -m")
        let any = here.open(40_000, port: 1234)
        #expect(any.view.destination == servers[0] && any.view.destinationPort == Port(1234))
        let own = here.open(40_000, port: 443)
        #expect(own.view.destination == servers[1] && own.view.destinationPort == Port(8443))
        #expect(here.open(40_000, port: 1234, protocol: .udp).scheduling == nil)
    }
}

@Suite("A server of a virtual service")
struct ServerTests {
    @Test("counts a connection as active from SYN to FIN, as inactive to its end")
    func activeAndInactive() {
        var here = Balanced(scheduler: "rr")
        here.establish(here.open(40_000))
        #expect(here.load(0).active == 1 && here.load(0).inactive == 0)
        here.acknowledge(40_000, flags: [.fin, .ack])
        #expect(here.load(0).active == 0 && here.load(0).inactive == 1)
        here.connections.flush(now: here.now)
        #expect(!here.load(0).isInUse)
        // SYN, ACK, FIN in; SYN-ACK out; 40 bytes each.
        var traffic = ServerTraffic()
        traffic.connections = 1
        traffic.packetsIn = 3
        traffic.packetsOut = 1
        traffic.bytesIn = 120
        traffic.bytesOut = 40
        #expect(here.load(0).traffic == traffic)
        #expect(here.director.counted(of: service).traffic == traffic)
    }

    @Test("counts what no packet completed: a SYN whose connection a rule drops is gone again")
    func dropped() {
        var here = Balanced("-A -t \(vip):80 -s rr", "-a -t \(vip):80 -r 10.0.0.1:8080 -m") {
            $0.policy(.filter, "FORWARD", .drop)
            $0.install()
        }
        #expect(here.open(40_000).disposition == .drop(.policy))
        #expect(!here.load(0).isInUse)
        #expect(here.load(0).traffic.connections == 1)
    }

    @Test("counts UDP as inactive, so that lc spreads it all the same")
    func datagrams() {
        var here = Balanced("-A -u \(vip):53 -s lc")
        for server in servers.reversed() { here.run("-a -u \(vip):53 -r \(server) -m") }
        let sent = (1...6).map { here.open($0, port: 53, protocol: .udp).view.destination }
        #expect(sent == servers + servers)
    }

    @Test("with weight 0 gets no new connections, and its old ones live on")
    func draining() {
        var here = Balanced(scheduler: "rr")
        here.establish(here.open(40_000))
        here.run("-e -t \(vip):80 -r 10.0.0.1:8080 -m -w 0")
        #expect((1...4).map { here.open($0).view.destination }.allSatisfy { $0 != servers[0] })
        let old = here.acknowledge(40_000)
        #expect(old.view.destination == servers[0])
        #expect(old.disposition == .forward(Egress(interface: br0, nextHop: blue, mtu: 1500)))
    }

    @Test("that is removed gets nothing more, until it is added again and goes on")
    func removal() {
        var here = Balanced(scheduler: "rr")
        here.establish(here.open(40_000))
        here.run("-d -t \(vip):80 -r 10.0.0.1:8080")
        #expect(here.acknowledge(40_000).disposition == .drop(.serverRemoved))
        // What it still sends arrives.
        let late = here.node.handle(
            segment(
                servers[0], 8080, client, 40_000, flags: .ack, sequence: 501, acknowledgement: 101),
            on: br0)
        #expect(late.view.source == vip)
        #expect(here.open(40_001).view.destination != servers[0])
        here.run("-a -t \(vip):80 -r 10.0.0.1:8080 -m")
        #expect(here.acknowledge(40_000).view.destination == servers[0])
        #expect(here.load(0).active == 1)
    }

    @Test("that is removed is not kept alive by what is sent to it")
    func removedForGood() {
        var here = Balanced("-A -u \(vip):53 -s rr")
        for server in servers.reversed() { here.run("-a -u \(vip):53 -r \(server) -m") }
        #expect(here.open(1, port: 53, protocol: .udp).view.destination == servers[0])
        here.run("-d -u \(vip):53 -r 10.0.0.1")
        // Unreplied, it lives for 30 seconds.
        for _ in 0..<2 {
            here.node.time += 14_000_000_000
            let late = here.open(1, port: 53, protocol: .udp)
            #expect(late.disposition == .drop(.serverRemoved))
        }
        here.node.time += 14_000_000_000
        #expect(here.open(1, port: 53, protocol: .udp).view.destination == servers[1])
    }

    @Test("ends the connections of a removed server where expire_nodest_conn says so")
    func expireNoDestination() {
        var here = Balanced(scheduler: "rr")
        here.director.settings.endsConnections = true
        here.establish(here.open(40_000))
        here.run("-d -t \(vip):80 -r 10.0.0.1:8080")
        #expect(here.acknowledge(40_000).disposition == .drop(.serverRemoved))
        #expect(here.connections.count == 0)
        #expect(here.open(40_000).view.destination == servers[1])
    }

    @Test("whose service is deleted gets nothing more either, with no service left at all")
    func serviceDeleted() {
        var here = Balanced(scheduler: "rr")
        here.establish(here.open(40_000))
        here.run("-C")
        #expect(here.acknowledge(40_000).disposition == .drop(.serverRemoved))
        // Once nobody holds on to it, two minutes later, the node tracks no more than before.
        here.connections.flush(now: here.now)
        #expect(here.director.isActive)
        here.director.expire(now: here.now + Seconds(121))
        #expect(!here.director.isActive)
    }

    @Test("of which nobody made use is gone at once, and with the last service tracking ends")
    func unused() {
        var here = Balanced(scheduler: "rr")
        #expect(here.director.isActive)
        here.run("-C")
        #expect(!here.director.isActive)
    }

    @Test("at its upper threshold takes nobody until it is below the lower one")
    func thresholds() {
        var here = Balanced("-A -t \(vip):80 -s rr")
        here.run("-a -t \(vip):80 -r 10.0.0.1:8080 -m -x 2 -y 2")
        let first = here.open(1)
        here.open(2)
        #expect(here.load(0).isOverloaded)
        #expect(here.open(3).scheduling?.outcome == .nobody)
        if let id = first.packet.tracked.connection { here.connections.delete(id, now: here.now) }
        #expect(!here.load(0).isOverloaded)
        #expect(here.open(3).view.destination == servers[0])
        // Without a lower threshold three quarters of the upper one.
        here.run("-e -t \(vip):80 -r 10.0.0.1:8080 -m -x 4")
        #expect(here.open(4).view.destination == servers[0])
        #expect(here.open(5).view.destination == servers[0])
        #expect(here.load(0).isOverloaded)
        // A higher threshold lifts it at once.
        here.run("-e -t \(vip):80 -r 10.0.0.1:8080 -m -x 5")
        #expect(!here.load(0).isOverloaded)
    }

    @Test("keeps its counters while it is edited, and -Z sets them to nothing")
    func zeroing() {
        var here = Balanced(scheduler: "rr")
        here.open(40_000)
        here.run("-e -t \(vip):80 -r 10.0.0.1:8080 -m -w 5")
        #expect(here.load(0).traffic.packetsIn == 1)
        here.director.zero(service)
        #expect(here.load(0).traffic == ServerTraffic())
        #expect(here.load(0).active == 1)
        here.open(40_000)
        #expect(here.load(0).traffic.packetsIn == 1)
        #expect(here.load(0).traffic.connections == 0)
    }

    @Test("that is deleted with its service and made again begins at nothing")
    func madeAgain() {
        var here = Balanced(scheduler: "rr")
        here.open(40_000)
        here.run("-D -t \(vip):80")
        here.run("-A -t \(vip):80 -s rr")
        here.run("-a -t \(vip):80 -r 10.0.0.1:8080 -m")
        #expect(here.load(0).traffic == ServerTraffic())
        #expect(here.director.counted(of: service).traffic == ServerTraffic())
        #expect(here.load(0).active == 1)
    }

    @Test("has rates that follow what it gets, a quarter of the way every two seconds")
    func rates() {
        var here = Balanced(scheduler: "rr", weights: [1, 0, 0])
        here.director.expire(now: here.now)
        for port in UInt16(1)...80 { here.open(port % 40 + 100) }
        here.node.time += 2_000_000_000
        here.director.expire(now: here.now)
        let (_, rates) = here.director.counted(
            of: RealServer(address: servers[0], port: Port(8080)), in: service)
        // 40 connections and 80 packets in two seconds: 20 and 40 a second, of which a quarter.
        #expect(rates.connections == 5 && rates.packetsIn == 10)
        #expect(rates.bytesIn == 400)
        #expect(here.director.counted(of: service).rates == rates)
    }
}

@Suite("A persistent virtual service")
struct PersistenceTests {
    private let other = IPv4Address(192, 0, 2, 77)

    @Test("sends a client where it went before, and others in turn")
    func keeps() {
        var here = Balanced(scheduler: "rr", options: "-p 60")
        #expect(
            (1...4).map { here.open($0).view.destination }
                == [IPv4Address](repeating: servers[0], count: 4))
        #expect(here.open(1, from: other).view.destination == servers[1])
        #expect(here.open(9).scheduling?.outcome == .server(servers[0], Port(8080), keeps: true))
        #expect(here.load(0).clients == 1 && here.load(1).clients == 1)
    }

    @Test("takes clients of one network for one, where -M says so")
    func networks() {
        var here = Balanced(scheduler: "rr", options: "-p 60 -M 255.255.255.0")
        #expect(here.open(1).view.destination == servers[0])
        #expect(here.open(1, from: other).view.destination == servers[0])
        #expect(here.open(1, from: IPv4Address(198, 51, 100, 1)).view.destination == servers[1])
    }

    @Test("forgets a client after the timeout, but not while it has connections")
    func timeout() {
        var here = Balanced(scheduler: "rr", options: "-p 60")
        here.open(1)
        here.node.time += 61_000_000_000
        // The connection is there still (a SYN lives for 120 s).
        #expect(here.open(2).view.destination == servers[0])
        here.connections.flush(now: here.now)
        here.node.time += 59_000_000_000
        #expect(here.open(3).view.destination == servers[0])
        here.connections.flush(now: here.now)
        here.node.time += 60_000_000_000
        #expect(here.open(4).view.destination == servers[1])
        #expect(here.load(0).clients == 0 && here.load(1).clients == 1)
    }

    @Test("keeps a client at a server of weight 0, but not at one that is removed")
    func unavailable() {
        var here = Balanced(scheduler: "rr", options: "-p 60")
        here.open(1)
        here.run("-e -t \(vip):80 -r 10.0.0.1:8080 -m -w 0")
        #expect(here.open(2).view.destination == servers[0])
        here.run("-d -t \(vip):80 -r 10.0.0.1:8080")
        #expect(here.open(3).view.destination != servers[0])
    }

    @Test("lets a client go from a server of weight 0 where expire_quiescent_template says so")
    func expireQuiescent() {
        var here = Balanced(scheduler: "rr", options: "-p 60")
        here.director.settings.forgetsClients = true
        here.open(1)
        here.run("-e -t \(vip):80 -r 10.0.0.1:8080 -m -w 0")
        #expect(here.open(2).view.destination == servers[1])
        #expect(here.open(3).view.destination == servers[1])
        #expect(here.load(0).clients == 0 && here.load(1).clients == 1)
    }

    @Test("of a mark keeps a client's server over ports and protocols")
    func mark() {
        var here = Balanced("-A -f 7 -s rr -p", "-a -f 7 -r 10.0.0.2 -m", "-a -f 7 -r 10.0.0.1 -m")
        {
            $0.add(.mangle, "PREROUTING", .mark(MarkTarget(value: 7, mask: .max)))
        }
        #expect(here.open(1).view.destination == servers[0])
        #expect(here.open(2, port: 443).view.destination == servers[0])
        #expect(here.open(3, port: 53, protocol: .udp).view.destination == servers[0])
    }

    @Test("drops a new client where there is no room to remember it, and goes on with the others")
    func full() throws {
        let connections = ConnectionTable(capacity: 64, seed: 1)
        let director = Director(connections, clientCapacity: 2)
        var table = Table()
        _ = table.run("-A -t \(vip):80 -s rr -p 60")
        _ = table.run("-a -t \(vip):80 -r 10.0.0.1 -m")
        director.follow(table.services, now: Timestamp(nanoseconds: 0))
        func choose(_ last: UInt8, at seconds: UInt64) -> Scheduling.Outcome? {
            director.choose(
                NewConnection(
                    protocol: .tcp, client: IPv4Address(192, 0, 2, last), clientPort: Port(1),
                    destination: vip, destinationPort: Port(80), mark: 0),
                now: Timestamp(nanoseconds: seconds * 1_000_000_000), counting: true)?.outcome
        }
        #expect(choose(1, at: 1) == .server(servers[0], Port(80), keeps: false))
        #expect(choose(2, at: 2) == .server(servers[0], Port(80), keeps: false))
        #expect(choose(3, at: 3) == .noRoom)
        #expect(choose(1, at: 4) == .server(servers[0], Port(80), keeps: true))
        // The second one's time is over.
        #expect(choose(3, at: 62) == .server(servers[0], Port(80), keeps: false))
    }

    @Test("lists the clients it remembers beside the connections")
    func listed() {
        var here = Balanced(scheduler: "rr", options: "-p 60")
        here.establish(here.open(40_000))
        var lines: [DirectedConnection] = []
        _ = here.connections.forEach(from: 0, limit: 64, now: here.now) {
            if let line = DirectedConnection($0, here.connections) { lines.append(line) }
        }
        lines += here.director.keptClients(now: here.now)
        var format = IPVSFormat()
        format.isNumeric = true
        let text = IPVSText(format, counts: ServiceCounts(), resolver: FewNames())
        // In the columns of ipvsadm 1.31's print_conn.
        #expect(
            text.connections(lines) == """
                IPVS connection entries
                pro expire state       source             virtual            destination
                TCP 7200:00 ESTABLISHED 192.0.2.2:40000    203.0.113.80:80    10.0.0.1:8080
                TCP 00:59  ASSURED     192.0.2.2:0        203.0.113.80:80    10.0.0.1:8080

                """)
    }
}
