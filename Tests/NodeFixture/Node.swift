// A small node for tests of what walks packets: `eth0` 192.0.2.1/24 outside, `br0` 10.0.0.254/24 inside, `lo`.

import Conntrack
import FrameFixture
import Hooks
import Routing
import Ruleset
import Wire

public let lo = InterfaceIndex(rawValue: 1)
public let eth0 = InterfaceIndex(rawValue: 2)
public let br0 = InterfaceIndex(rawValue: 3)
public let client = IPv4Address(192, 0, 2, 2)
public let node = IPv4Address(192, 0, 2, 1)
public let blue = IPv4Address(10, 0, 0, 1)
public let inside = IPv4Address(10, 0, 0, 254)

public struct Node {
    public var ruleset = Ruleset()
    public let engine: HookEngine
    public var time: UInt64 = 1_000_000_000

    public init(_ build: (inout Node) -> Void = { _ in }) {
        let routes = Self.routes()
        engine = HookEngine(
            rules: CompiledRuleset(), connections: ConnectionTable(capacity: 64, seed: 1),
            routes: routes, seed: 1)
        build(&self)
        install()
    }

    public static func routes(forwarding: Bool = true) -> RoutingSnapshot {
        var settings = InterfaceSettings()
        settings.forwarding = forwarding
        let interfaces = [
            Interface(
                index: lo, name: InterfaceName("lo")!, mtu: 65536,
                flags: [.up, .loopback, .running], settings: settings),
            Interface(index: eth0, name: InterfaceName("eth0")!, settings: settings),
            Interface(index: br0, name: InterfaceName("br0")!, settings: settings),
        ]
        let addresses = [
            InterfaceAddress(interface: lo, local: .loopback, prefixLength: 8, scope: .host),
            InterfaceAddress(interface: eth0, local: node, prefixLength: 24),
            InterfaceAddress(interface: br0, local: inside, prefixLength: 24),
        ]
        return RoutingSnapshot(
            interfaces: interfaces, addresses: addresses,
            routes: Route.derived(interfaces: interfaces, addresses: addresses))
    }

    public func install() {
        do { engine.rules = try CompiledRuleset(ruleset) } catch {
            preconditionFailure("a test's rules name only chains that it made: \(error)")
        }
    }

    public mutating func add(
        _ table: TableName, _ chain: String, matches: [Match] = [], _ target: Target,
        change: (inout Rule) -> Void = { _ in }
    ) {
        let position = index(of: table)
        var rule = Rule(id: ruleset.makeRuleID(), matches: matches, target: target)
        change(&rule)
        if let existing = ruleset.tables[position].chains.firstIndex(where: { $0.name == chain }) {
            ruleset.tables[position].chains[existing].rules.append(rule)
        } else {
            ruleset.tables[position].chains.append(Chain(name: chain, rules: [rule]))
        }
    }

    public mutating func policy(_ table: TableName, _ chain: String, _ policy: Policy) {
        let position = index(of: table)
        for index in ruleset.tables[position].chains.indices
        where ruleset.tables[position].chains[index].name == chain {
            ruleset.tables[position].chains[index].policy = policy
        }
    }

    private mutating func index(of table: TableName) -> Int {
        if let index = ruleset.tables.firstIndex(where: { $0.name == table }) { return index }
        ruleset.tables.append(Table(name: table))
        return ruleset.tables.count - 1
    }

    /// Counters of the rules of a chain, in order.
    public func counters(_ table: TableName, _ chain: String) -> [UInt64] {
        var copy = ruleset
        engine.rules.handOutCounters(to: &copy)
        return copy.table(table).chain(chain)!.rules.map(\.counters.packets)
    }
}

/// A frame and its view, as a port would hand it over.
public struct Sent {
    public var bytes: [UInt8]
    public var disposition: Disposition
    public var packet: Packet
    public var trace = Trace()

    public var view: PacketView { packet.view }
}

/// One TCP segment or UDP datagram without payload, checksums correct.
public func segment(
    _ source: IPv4Address, _ sourcePort: UInt16, _ destination: IPv4Address,
    _ destinationPort: UInt16, protocol: IPProtocol = .tcp, flags: TCPFlags = .syn,
    timeToLive: UInt8 = 64, sequence: UInt32 = 100, acknowledgement: UInt32 = 0, payload: Int = 0
) -> [UInt8] {
    let header = `protocol` == .tcp ? 20 : 8
    var bytes = ipv4Frame(
        source, destination, `protocol`, [UInt8](repeating: 0, count: header + payload),
        timeToLive: timeToLive)
    var span = bytes.mutableSpan
    var raw = span.mutableBytes
    raw.set(sourcePort, at: 34)
    raw.set(destinationPort, at: 36)
    if `protocol` == .tcp {
        raw.set(sequence, at: 38)
        raw.set(acknowledgement, at: 42)
        raw.set(UInt8(0x50), at: 46)
        raw.set(flags.rawValue, at: 47)
        raw.set(UInt16(0x7000), at: 48)
    } else {
        raw.set(UInt16(8 + payload), at: 38)
    }
    var transport = InternetChecksum()
    transport.addPseudoHeader(
        source: source, destination: destination, protocol: `protocol`, length: header + payload)
    transport.add(raw.bytes, 34..<raw.byteCount)
    raw.set(transport.complemented, at: `protocol` == .tcp ? 50 : 40)
    return bytes
}

extension Node {
    /// Sends a frame into the node; with `.none`, from the node itself. What is traced walks.
    @discardableResult
    public mutating func handle(
        _ frame: [UInt8], on interface: InterfaceIndex, dryRun: Bool = false, traced: Bool = true,
        mark: UInt32 = 0
    ) -> Sent {
        time += 1_000_000
        var bytes = frame
        guard case .packet(let view) = PacketView.parse(bytes.span.bytes) else {
            preconditionFailure("the test's frame does not parse")
        }
        var packet = Packet(
            view: view, inInterface: interface, inName: engine.routes.name(of: interface),
            mark: mark)
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        let now = Timestamp(nanoseconds: time)
        var trace = Trace()
        let disposition: Disposition
        if dryRun {
            (disposition, trace) = engine.explain(
                &raw, &packet, ofNode: interface == .none, now: now)
        } else if !traced {
            disposition = engine.receive(&raw, &packet, now: now)
        } else {
            disposition =
                interface == .none
                ? engine.send(&raw, &packet, now: now, trace: &trace)
                : engine.receive(&raw, &packet, now: now, trace: &trace)
            if case .answer = disposition { engine.release(packet) }
        }
        return Sent(bytes: bytes, disposition: disposition, packet: packet, trace: trace)
    }
}

public func port(_ number: UInt16) -> Match {
    .tcp(TCPMatch(destinationPorts: Invertible(PortRange(Port(number)))))
}

public func dnat(_ address: IPv4Address, _ port: UInt16) -> Target {
    .dnat(NATTarget(addresses: AddressRange(address, address), ports: PortRange(Port(port))))
}
