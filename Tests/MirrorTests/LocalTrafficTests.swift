// The node's own traffic, every way there is: from each of its addresses, from pods and from outside; to a service's
// address, to a node port at each of the node's addresses and at 127.0.0.1, to pods, to the outside, to
// the node's own sockets. With rules in OUTPUT, INPUT and nat, through the kernel and through Sluice.

import Foundation
import NamespaceFixture
import Scenario
import Testing
import Wire

@testable import Mirror

@Suite("Local traffic", .enabled(if: isRoot, needsRoot))
struct LocalTrafficTests {
    /// Where `route_localnet` is 1.
    enum Localnet: String, CaseIterable {
        case nowhere, towardsPods, everywhere

        var links: Set<String> {
            switch self {
            case .nowhere: []
            case .towardsPods: ["pod0", "pod1"]
            case .everywhere: ["eth0", "pod0", "pod1"]
            }
        }
    }

    @Test("passes the same rules on both, whichever way it goes", arguments: Localnet.allCases)
    func agrees(_ localnet: Localnet) throws {
        var coverage = Coverage()
        coverage.followsRules = true
        let made = try Self.made(localnet)
        let verdict = try Mirror.run(made, coverage: &coverage)
        if let divergence = verdict.divergence { Issue.record("\(divergence.report)") }
        for fate in [Coverage.Fate.forwarded, .delivered, .dropped, .answered] {
            #expect(coverage.fates[fate] ?? 0 > 5, "\(fate)")
        }
        // What nothing hits is not compared.
        #expect(coverage.rules.entries.count == 34)
        #expect(coverage.rules.hits == coverage.rules.entries.count, "\(coverage.rules.text)")
    }

    private static func made(_ localnet: Localnet) throws -> Case {
        let file = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "Rules/local-traffic.iptables")
        var random = SeededRandom(seed: 1)
        return Case(
            title: "Local traffic, route_localnet \(localnet)", topology: topology(localnet),
            rules: try String(contentsOf: file, encoding: .utf8), seed: 1,
            packets: TrafficGenerator(world: world).packets(conversations(), then: 0, &random))
    }

    // MARK: The node

    private static let clusterAddress = IPv4Address(10, 96, 0, 10)
    private static let client = IPv4Address(192, 0, 2, 10)
    private static let pods = [IPv4Address(10, 42, 1, 23), IPv4Address(10, 42, 2, 45)]

    private static let world: World = {
        var world = World()
        let links = [
            ("eth0", IPv4Address(192, 0, 2, 1), client),
            ("pod0", IPv4Address(10, 42, 1, 1), pods[0]),
            ("pod1", IPv4Address(10, 42, 2, 1), pods[1]),
        ]
        world.links = links.enumerated().map { number, link in
            let base = 0x0200_0000_0000 | UInt64(number) << 8
            return World.Link(
                name: link.0, mac: MACAddress(rawValue: base | 1), mtu: 1500, addresses: [link.1],
                hosts: [World.Host(address: link.2, mac: MACAddress(rawValue: base | 2))],
                remotes: [])
        }
        world.services = [clusterAddress]
        return world
    }()

    private static func topology(_ localnet: Localnet) -> Topology {
        Topology(
            links: world.links.map { link in
                Topology.Link(
                    name: link.name, mac: link.mac, mtu: link.mtu,
                    addresses: link.addresses.map { LinkAddress($0, prefixLength: 24) },
                    settings: [
                        // The kernel measures out redirects by its own clock.
                        "send_redirects": "0",
                        "route_localnet": localnet.links.contains(link.name) ? "1" : "0",
                    ])
            },
            routes: ["default via \(client)"],
            neighbours: world.links.map {
                Topology.Neighbour(
                    address: $0.hosts[0].address, mac: $0.hosts[0].mac, link: $0.name)
            })
    }

    // MARK: The traffic

    private static func conversations() -> [Conversation] {
        let own = world.ownAddresses + [.loopback]
        let callers =
            own.map { Endpoint(address: $0, place: .node(mark: 0, user: 0)) }
            + [Endpoint(address: own[1], place: .node(mark: 0, user: 33))] + world.endpoints
        var targets: [(IPv4Address, UInt16)] = [(clusterAddress, 80), (client, 80)]
        for address in own { targets += [(address, 30_080), (address, 9100)] }
        for pod in pods { targets.append((pod, 8080)) }
        var port: UInt16 = 40_000
        return callers.flatMap { caller in
            targets.flatMap { target in
                port += 1
                let parties = Parties(
                    client: caller, server: world.endpoint(target.0),
                    flow: Flow(
                        source: caller.address, sourcePort: port, destination: target.0,
                        destinationPort: target.1))
                return [connection(parties), datagrams(parties)]
            }
        }
    }

    /// SYN, its answer, the first data, the answer to that.
    private static func connection(_ parties: Parties) -> Conversation {
        var conversation = Conversation()
        let asked = parties.flow
        func send(_ flags: TCPFlags, _ sequence: UInt32, _ acknowledged: UInt32, to answered: Int?)
        {
            let isAnswer = answered != nil
            let segment = Segment(
                flags: flags, sequence: sequence, acknowledgement: acknowledged,
                length: flags.contains(.psh) ? 5 : 0)
            conversation.send(
                isAnswer ? parties.server : parties.client,
                .tcp(isAnswer ? asked.reversed : asked, segment), answers: answered,
                "TCP \(asked.source) > \(asked.destination):\(asked.destinationPort)")
        }
        send(.syn, 1000, 0, to: nil)
        send([.syn, .ack], 2000, 1001, to: 0)
        send([.ack, .psh], 1001, 2001, to: nil)
        send([.ack, .psh], 2001, 1006, to: 0)
        return conversation
    }

    /// A question, an answer, another question.
    private static func datagrams(_ parties: Parties) -> Conversation {
        var conversation = Conversation()
        for answered in [nil, 0, nil] as [Int?] {
            let isAnswer = answered != nil
            conversation.send(
                isAnswer ? parties.server : parties.client,
                .udp(isAnswer ? parties.flow.reversed : parties.flow, data: Array("what".utf8)),
                answers: answered,
                "UDP \(parties.flow.source) > \(parties.flow.destination):"
                    + "\(parties.flow.destinationPort)")
        }
        return conversation
    }
}
