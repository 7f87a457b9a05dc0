// A node with ports in memory: `eth0` 10.1.0.1/24 towards the client, `eth1` 10.2.0.1/24 towards the
// server, and the host port. Its clock stands still unless told otherwise.

import Conntrack
import FrameFixture
import Hooks
import PacketIO
import Routing
import Ruleset
import Wire

@testable import Dataplane

let lo = InterfaceIndex(rawValue: 1)
let eth0 = InterfaceIndex(rawValue: 2)
let eth1 = InterfaceIndex(rawValue: 3)
let client = IPv4Address(10, 1, 0, 2)
let server = IPv4Address(10, 2, 0, 2)
let clientMAC = MACAddress(rawValue: 0x0200_0000_0002)
let serverMAC = MACAddress(rawValue: 0x0200_0000_0003)
let eth0MAC = MACAddress(rawValue: 0x0200_0000_0001)
let eth1MAC = MACAddress(rawValue: 0x0200_0000_0004)

final class WorkerNode: NeighbourResolver {
    let dataplane: Dataplane
    let left = MemoryPort(interface: eth0, name: "eth0")
    let right = MemoryPort(interface: eth1, name: "eth1")
    let host = MemoryPort(interface: InterfaceIndex(rawValue: 9), name: "sluice0")
    var probed: [IPv4Address] = []
    var now = Timestamp(nanoseconds: 1_000_000_000_000)

    init(_ rules: Ruleset = Ruleset(), mtu: Int = 1500, resolved: Bool = true) throws {
        let engine = HookEngine(
            rules: try CompiledRuleset(rules), connections: ConnectionTable(capacity: 64, seed: 1),
            routes: Self.routes(mtu: mtu), seed: 1)
        dataplane = Dataplane(engine: engine, seed: 1)
        dataplane.resolver = self
        dataplane.add(left)
        dataplane.add(right)
        dataplane.addHostPort(host)
        learn(client, eth0, clientMAC)
        if resolved { learn(server, eth1, serverMAC) }
    }

    func learn(
        _ address: IPv4Address, _ interface: InterfaceIndex, _ mac: MACAddress?,
        _ state: NeighbourState = .reachable
    ) {
        dataplane.apply(
            NeighbourUpdate(interface: interface, address: address, mac: mac, state: state),
            now: now)
    }

    func probe(_ interface: InterfaceIndex, _ address: IPv4Address) { probed.append(address) }

    static func routes(mtu: Int) -> RoutingSnapshot {
        var settings = InterfaceSettings()
        settings.forwarding = true
        let interfaces = [
            Interface(
                index: lo, name: InterfaceName("lo")!, mtu: 65536,
                flags: [.up, .loopback, .running], settings: settings),
            Interface(index: eth0, name: InterfaceName("eth0")!, mac: eth0MAC, settings: settings),
            Interface(
                index: eth1, name: InterfaceName("eth1")!, mac: eth1MAC, mtu: mtu,
                settings: settings),
        ]
        let addresses = [
            InterfaceAddress(interface: lo, local: .loopback, prefixLength: 8, scope: .host),
            InterfaceAddress(interface: eth0, local: IPv4Address(10, 1, 0, 1), prefixLength: 24),
            InterfaceAddress(interface: eth1, local: IPv4Address(10, 2, 0, 1), prefixLength: 24),
        ]
        return RoutingSnapshot(
            interfaces: interfaces, addresses: addresses,
            routes: Route.derived(interfaces: interfaces, addresses: addresses))
    }

    /// Sends frames in from the client and runs one step.
    func receive(_ frames: TestFrame..., offload: OffloadHeader = .none) {
        for frame in frames { left.inject(frame.bytes, offload: offload) }
        dataplane.step(now: now)
    }

    func later(_ seconds: UInt32) {
        now = now + Seconds(seconds)
        dataplane.step(now: now)
    }

    var received: Tally { dataplane.counters.interface }
}

/// Rulesets for the tests, by table.
struct Rules {
    var ruleset = Ruleset()

    mutating func add(
        _ table: TableName, _ chain: String, _ target: Target,
        protocol: IPProtocol? = nil, port: UInt16? = nil, matches: [Match] = []
    ) {
        if !ruleset.tables.contains(where: { $0.name == table }) {
            ruleset.tables.append(Table(name: table))
        }
        var rule = Rule(id: ruleset.makeRuleID(), matches: matches, target: target)
        if let `protocol` { rule.protocol = Invertible(`protocol`) }
        if let port {
            let range = Invertible(PortRange(Port(port)))
            rule.matches.insert(
                `protocol` == .tcp
                    ? .tcp(TCPMatch(destinationPorts: range))
                    : .udp(UDPMatch(destinationPorts: range)), at: 0)
        }
        let position = ruleset.tables.firstIndex { $0.name == table }!
        let chainPosition = ruleset.tables[position].chains.firstIndex { $0.name == chain }!
        ruleset.tables[position].chains[chainPosition].rules.append(rule)
    }

    /// Rules that track: everything to 10.1.0.1:80 goes to the server, whose clients are masqueraded.
    static var nat: Ruleset {
        var rules = Rules()
        rules.add(
            .nat, "PREROUTING",
            .dnat(NATTarget(addresses: AddressRange(server, server), ports: PortRange(Port(8080)))),
            protocol: .tcp, port: 80)
        rules.add(.nat, "POSTROUTING", .masquerade(PortMapping()))
        return rules.ruleset
    }

    /// A rule that tracks and does nothing else.
    static var tracking: Ruleset {
        var rules = Rules()
        rules.add(.filter, "FORWARD", .accept, matches: [.state(Invertible(.new))])
        return rules.ruleset
    }
}
