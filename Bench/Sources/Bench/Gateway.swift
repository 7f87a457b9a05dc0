// The node under measurement: two interfaces, ten rules, destination NAT and masquerading, and as many
// established TCP connections as asked for, each made by its own handshake.

import Conntrack
import Dataplane
import Hooks
import Routing
import Ruleset
import Wire

let eth0 = InterfaceIndex(rawValue: 2)
let eth1 = InterfaceIndex(rawValue: 3)
let outside = IPv4Address(10, 1, 0, 1)
let inside = IPv4Address(10, 2, 0, 1)
let server = IPv4Address(10, 2, 0, 2)
let eth0MAC = MACAddress(rawValue: 0x0200_0000_0001)
let eth1MAC = MACAddress(rawValue: 0x0200_0000_0002)
let start = Timestamp(nanoseconds: 1_000_000_000_000)

/// An Ethernet frame with a TCP segment of `payload` bytes, checksums correct.
func tcpFrame(
    _ source: IPv4Address, _ sourcePort: UInt16, _ destination: IPv4Address,
    _ destinationPort: UInt16, _ flags: TCPFlags, sequence: UInt32, acknowledgement: UInt32 = 0,
    to mac: MACAddress = eth0MAC, payload: Int = 10
) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: 54 + payload)
    var storage = bytes.mutableSpan
    var frame = storage.mutableBytes
    frame.set(mac, at: 0)
    frame.set(EtherType.ipv4.rawValue, at: 12)
    frame.set(UInt8(0x45), at: 14)
    frame.set(UInt16(40 + payload), at: 16)
    frame.set(UInt16(0x4000), at: 20)
    frame.set(UInt8(64), at: 22)
    frame.set(IPProtocol.tcp.rawValue, at: 23)
    frame.set(source.rawValue, at: 26)
    frame.set(destination.rawValue, at: 30)
    var header = InternetChecksum()
    header.add(frame.bytes, 14..<34)
    frame.set(header.complemented, at: 24)
    frame.set(sourcePort, at: 34)
    frame.set(destinationPort, at: 36)
    frame.set(sequence, at: 38)
    frame.set(acknowledgement, at: 42)
    frame.set(UInt8(0x50), at: 46)
    frame.set(flags.rawValue, at: 47)
    frame.set(UInt16(0x7000), at: 48)
    var sum = InternetChecksum()
    sum.addPseudoHeader(
        source: source, destination: destination, protocol: .tcp, length: 20 + payload)
    sum.add(frame.bytes, 34..<frame.byteCount)
    frame.set(sum.complemented, at: 50)
    return bytes
}

func parsed(_ bytes: [UInt8]) -> PacketView {
    guard case .packet(let view) = PacketView.parse(bytes.span.bytes) else {
        preconditionFailure("the benchmark's frames are well formed")
    }
    return view
}

/// Ten rules and one more for each service after the first: six that miss, two on the connection's state, and
/// those that translate.
private func rules(services: UInt16) -> Ruleset {
    var ruleset = Ruleset()
    var filter = Table(name: .filter)
    var nat = Table(name: .nat)
    func add(_ rule: Rule, _ chain: String, _ table: inout Table) {
        guard let index = table.chains.firstIndex(where: { $0.name == chain }) else {
            preconditionFailure("the tables have their base chains")
        }
        table.chains[index].rules.append(rule)
    }
    func tcp(_ port: UInt16, _ target: Target) -> Rule {
        let match = TCPMatch(destinationPorts: Invertible(PortRange(Port(port))))
        return Rule(
            id: ruleset.makeRuleID(), protocol: Invertible(.tcp), matches: [.tcp(match)],
            target: target)
    }
    for port: UInt16 in 9000..<9006 { add(tcp(port, .drop), "FORWARD", &filter) }
    for states: ConnectionStates in [.established, .new] {
        let rule = Rule(
            id: ruleset.makeRuleID(), matches: [.state(Invertible(states))], target: .accept)
        add(rule, "FORWARD", &filter)
    }
    for service in 0..<services {
        let destination = NATTarget(
            addresses: AddressRange(server, server), ports: PortRange(Port(8080 + service)))
        add(tcp(80 + service, .dnat(destination)), "PREROUTING", &nat)
    }
    add(Rule(id: ruleset.makeRuleID(), target: .masquerade(PortMapping())), "POSTROUTING", &nat)
    ruleset.tables = [filter, nat]
    return ruleset
}

func routes() -> RoutingSnapshot {
    var settings = InterfaceSettings()
    settings.forwarding = true
    func interface(_ index: InterfaceIndex, _ name: String, _ mac: MACAddress) -> Interface {
        guard let name = InterfaceName(name) else { preconditionFailure("a valid name") }
        return Interface(index: index, name: name, mac: mac, settings: settings)
    }
    let interfaces = [interface(eth0, "eth0", eth0MAC), interface(eth1, "eth1", eth1MAC)]
    let addresses = [
        InterfaceAddress(interface: eth0, local: outside, prefixLength: 16),
        InterfaceAddress(interface: eth1, local: inside, prefixLength: 16),
    ]
    return RoutingSnapshot(
        interfaces: interfaces, addresses: addresses,
        routes: Route.derived(interfaces: interfaces, addresses: addresses))
}

struct Gateway {
    let engine: HookEngine
    /// An acknowledgement of every connection, as its client sends it.
    var frames: [[UInt8]] = []

    init(connections count: Int, keepsFrames: Bool = true) {
        let table = ConnectionTable(capacity: count + count / 4, seed: 1)
        // As many as the masquerading address has ports for.
        let services = UInt16((count + Self.perService - 1) / Self.perService)
        guard let rules = try? CompiledRuleset(rules(services: services)) else {
            preconditionFailure("the benchmark's rules compile")
        }
        engine = HookEngine(rules: rules, connections: table, routes: routes(), seed: 1)
        for index in 0..<count {
            let frame = establish(
                service: UInt16(index / Self.perService), port: UInt16(index % Self.perService))
            if keepsFrames { frames.append(frame) }
        }
        // Neighbouring packets of a real load belong to different connections.
        var random = SeededRandom(seed: 2)
        frames.shuffle(using: &random)
    }

    private static let perService = 25_000

    private func establish(service: UInt16, port: UInt16) -> [UInt8] {
        let client = IPv4Address(rawValue: outside.rawValue + 256 + UInt32(service))
        let port = 10_000 + port
        var syn = tcpFrame(client, port, outside, 80 + service, .syn, sequence: 1000, payload: 0)
        let out = walk(&syn, eth0)
        var answer = tcpFrame(
            server, 8080 + service, out.view.source, out.view.sourcePort.rawValue, [.syn, .ack],
            sequence: 5000, acknowledgement: 1001, to: eth1MAC, payload: 0)
        _ = walk(&answer, eth1)
        let frame = tcpFrame(
            client, port, outside, 80 + service, .ack, sequence: 1001, acknowledgement: 5001)
        var copy = frame
        _ = walk(&copy, eth0)
        return frame
    }

    private func walk(_ bytes: inout [UInt8], _ interface: InterfaceIndex) -> Packet {
        var packet = Packet(
            view: parsed(bytes), inInterface: interface, inName: engine.routes.name(of: interface))
        var storage = bytes.mutableSpan
        var frame = storage.mutableBytes
        guard case .forward = engine.receive(&frame, &packet, now: start) else {
            preconditionFailure("the benchmark's packets are forwarded")
        }
        return packet
    }
}
