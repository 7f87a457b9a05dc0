// One case through Sluice and through the kernel, in lockstep, and what must be equal: the packets that
// leave and that reach the node, in order and to the byte, and at the end connections, events and counters.

import FrameFixture
import KernelPath
import Scenario
import Testing
import Wire

enum BothEngines {
    /// Runs `subject` on both and reports every packet after which they differ.
    ///
    /// - Returns: what Sluice made of each packet.
    @discardableResult
    static func compare(
        _ subject: Case, at location: SourceLocation = #_sourceLocation
    ) throws -> [Outcome] {
        let sluice = try OfflineNode(subject)
        let kernel = try KernelNode(subject.topology, rules: subject.rules)
        let own = Set(subject.topology.links.flatMap(\.addresses).map(\.address))
        var outcomes: (sluice: [Outcome], kernel: [Outcome]) = ([], [])
        for (number, packet) in subject.packets.enumerated() {
            let ours = try sluice.inject(resolved(packet, outcomes.sluice))
            let theirs = try kernel.inject(resolved(packet, outcomes.kernel))
            outcomes.sluice.append(ours)
            outcomes.kernel.append(theirs)
            let found = ours.emissions.map { comparable($0, own) }
            let expected = theirs.emissions.map { comparable($0, own) }
            #expect(
                found == expected,
                """
                packet \(number + 1): \(packet.note)
                kernel:
                \(text(expected))
                Sluice (\(ours.dropReason.map { "\($0)" } ?? "not dropped")):
                \(text(found))
                """, sourceLocation: location)
        }
        let (ours, theirs) = (sluice.finish(), try kernel.finish())
        #expect(ours.rules == theirs.rules, sourceLocation: location)
        #expect(ours.events.map(timeless) == theirs.events.map(timeless), sourceLocation: location)
        #expect(
            ours.connections.map(timeless).sorted() == theirs.connections.map(timeless).sorted(),
            sourceLocation: location)
        return outcomes.sluice
    }

    static func resolved(_ packet: CasePacket, _ outcomes: [Outcome]) -> CasePacket {
        packet.answers.map { packet.answering(outcomes[$0]) } ?? packet
    }

    /// An ICMP error of the node's own has an identification that the kernel chooses.
    private static func comparable(_ emission: Emission, _ own: Set<IPv4Address>) -> Emission {
        guard case .wire = emission.place else { return emission }
        let view = parsed(emission.bytes)
        guard view.transport == .icmp, [3, 4, 5, 11, 12].contains(view.icmpType),
            own.contains(view.source)
        else { return emission }
        var copy = emission
        for position in [18, 19, 24, 25] { copy.bytes[position] = 0 }
        return copy
    }

    /// The kernel's clock went on a little meanwhile: the seconds that are left, the number behind the
    /// protocol's, do not count. Nor does whether a line names the family.
    private static func timeless(_ line: String) -> String {
        var words = line.split(separator: " ")
        if let family = words.firstIndex(of: "ipv4") { words.removeSubrange(family...(family + 1)) }
        if let number = words.firstIndex(where: { Int($0) != nil }), words.count > number + 1 {
            words.remove(at: number + 1)
        }
        return words.joined(separator: " ")
    }

    private static func text(_ emissions: [Emission]) -> String {
        emissions.map { emission in
            let bytes = emission.bytes.map { byte in
                (byte < 16 ? "0" : "") + String(byte, radix: 16)
            }
            return "  \(emission.place) \(bytes.joined())"
        }.joined(separator: "\n")
    }
}

/// A node between a network outside and one inside; every neighbour is known.
enum Gateway {
    static let outside = IPv4Address(192, 0, 2, 1)
    static let client = IPv4Address(192, 0, 2, 10)
    static let inside = IPv4Address(10, 0, 0, 254)
    static let server = IPv4Address(10, 0, 0, 1)
    /// Somewhere behind the router outside.
    static let far = IPv4Address(198, 51, 100, 9)
    static let router = IPv4Address(192, 0, 2, 254)

    static let eth0 = MACAddress(rawValue: 0x0200_0000_0001)
    static let eth1 = MACAddress(rawValue: 0x0200_0000_0002)

    static func topology(insideMTU: Int = 1500, settings: [String: String] = [:]) -> Topology {
        Topology(
            links: [
                .init(
                    name: "eth0", mac: eth0, addresses: [LinkAddress(outside, prefixLength: 24)]),
                .init(
                    name: "eth1", mac: eth1, mtu: insideMTU,
                    addresses: [LinkAddress(inside, prefixLength: 24)]),
            ],
            routes: ["default via 192.0.2.254 dev eth0"],
            neighbours: [
                .init(
                    address: client, mac: MACAddress(rawValue: 0x0200_0000_0010), link: "eth0"),
                .init(
                    address: router, mac: MACAddress(rawValue: 0x0200_0000_00FE), link: "eth0"),
                .init(
                    address: server, mac: MACAddress(rawValue: 0x0200_0000_0020), link: "eth1"),
            ],
            settings: settings.merging(unlimited) { given, _ in given })
    }

    /// Every packet draws its error.
    private static let unlimited = [
        "net.ipv4.icmp_ratelimit": "0", "net.ipv4.icmp_msgs_per_sec": "1000000",
        "net.ipv4.icmp_msgs_burst": "1000000",
    ]

    static let rules = """
        *nat
        :PREROUTING ACCEPT [0:0]
        :INPUT ACCEPT [0:0]
        :OUTPUT ACCEPT [0:0]
        :POSTROUTING ACCEPT [0:0]
        -A PREROUTING -d 192.0.2.1/32 -i eth0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.0.0.1:80
        -A PREROUTING -d 192.0.2.1/32 -i eth0 -p udp -m udp --dport 5353 -j DNAT --to-destination 10.0.0.1:53
        -A PREROUTING -d 192.0.2.1/32 -i eth0 -p icmp -m icmp --icmp-type 8 -j DNAT --to-destination 10.0.0.1
        -A PREROUTING -d 192.0.2.1/32 -i eth0 -p 99 -j DNAT --to-destination 10.0.0.1
        -A POSTROUTING -s 10.0.0.0/24 -o eth0 -j MASQUERADE
        COMMIT
        *filter
        :INPUT ACCEPT [0:0]
        :FORWARD ACCEPT [0:0]
        :OUTPUT ACCEPT [0:0]
        -A INPUT -m conntrack --ctstate RELATED
        -A FORWARD -m conntrack --ctstate INVALID
        -A FORWARD -m conntrack --ctstate RELATED
        -A OUTPUT -m conntrack --ctstate RELATED
        COMMIT

        """

    /// A frame from the outside network to the node.
    static func fromOutside(_ frame: TestFrame) -> CasePacket {
        var frame = frame
        frame.targetMAC = eth0
        return CasePacket(origin: .wire(link: "eth0"), bytes: frame.bytes)
    }

    static func fromInside(_ frame: TestFrame) -> CasePacket {
        var frame = frame
        frame.targetMAC = eth1
        return CasePacket(origin: .wire(link: "eth1"), bytes: frame.bytes)
    }
}
