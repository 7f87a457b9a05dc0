// What the comparison relies on: that everything a packet leads to is there when `inject` returns, that the
// node's sockets stay silent, and that connections read as `conntrack` prints them.

import FrameFixture
import KernelPath
import NamespaceFixture
import Scenario
import Testing
import Wire

private let client = IPv4Address(10, 0, 0, 2)
private let server = IPv4Address(10, 0, 1, 2)
private let node = IPv4Address(10, 0, 0, 1)

private let topology = Topology(
    links: [
        .init(
            name: "eth0", mac: MACAddress(rawValue: 0x0200_0000_0001),
            addresses: [LinkAddress(node, prefixLength: 24)]),
        .init(
            name: "eth1", mac: MACAddress(rawValue: 0x0200_0000_0101),
            addresses: [LinkAddress(IPv4Address(10, 0, 1, 1), prefixLength: 24)]),
    ],
    neighbours: [
        .init(address: client, mac: MACAddress(rawValue: 0x0200_0000_0002), link: "eth0"),
        .init(address: server, mac: MACAddress(rawValue: 0x0200_0000_0102), link: "eth1"),
    ])

private func frame(
    _ source: IPv4Address, _ destination: IPv4Address, _ protocol: IPProtocol, _ payload: [UInt8],
    fragmentField: UInt16 = 0, timeToLive: UInt8 = 64
) -> [UInt8] {
    var bytes = ipv4Frame(
        source, destination, `protocol`, payload, fragmentField: fragmentField,
        timeToLive: timeToLive)
    bytes.replaceSubrange(0..<12, with: [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2])
    return bytes
}

/// A datagram without a checksum, which is allowed.
private func udp(_ from: UInt16, _ to: UInt16, _ data: [UInt8] = [1, 2, 3, 4]) -> [UInt8] {
    [from, to, UInt16(8 + data.count), 0].flatMap { [UInt8($0 >> 8), UInt8($0 & 0xFF)] } + data
}

private func wire(_ bytes: [UInt8]) -> CasePacket {
    CasePacket(origin: .wire(link: "eth0"), bytes: bytes)
}

@Suite("The kernel as a peer", .enabled(if: isRoot, needsRoot))
struct KernelNodeTests {
    @Test("what a packet led to is there when the call returns, over lo too")
    func synchronous() throws {
        let kernel = try KernelNode(topology, rules: "")
        for port in 1...200 as ClosedRange<UInt16> {
            let forwarded = try kernel.inject(wire(frame(client, server, .udp, udp(port, 9))))
            #expect(forwarded.emissions.map(\.place) == [.wire(link: "eth1")])
            let packet = Array(frame(node, node, .udp, udp(port, 9))[14...])
            let looped = try kernel.inject(
                CasePacket(origin: .node(mark: 0, userID: 0), bytes: packet))
            #expect(looped.emissions.map(\.place) == [.delivered(link: "lo")])
            // A raw socket's packet without an identification is given one.
            #expect(looped.emissions.first?.bytes[12...] == packet[12...])
        }
        #expect(try kernel.finish().connections.isEmpty, "no rule tracks")
    }

    @Test("sockets and protocols are silent, whether rules track or not")
    func silent() throws {
        let tracking = """
            *filter
            :INPUT ACCEPT [0:0]
            -A INPUT -m conntrack --ctstate INVALID -j DROP
            COMMIT

            """
        let echo: [UInt8] = [8, 0, 0xF7, 0xFD, 0, 1, 0, 1]
        let unknown = IPProtocol(rawValue: 99)
        for rules in ["", tracking] {
            let kernel = try KernelNode(topology, rules: rules)
            for (number, payload) in [(IPProtocol.icmp, echo), (.udp, udp(5, 6)), (unknown, [7])] {
                let bytes = frame(client, node, number, payload)
                let outcome = try kernel.inject(wire(bytes))
                #expect(
                    outcome.emissions
                        == [Emission(.delivered(link: "eth0"), bytes: Array(bytes[14...]))])
            }
            // All that was delivered is confirmed: the entries are there.
            #expect(try kernel.finish().connections.count == (rules.isEmpty ? 0 : 3))
        }
    }

    @Test("the kernel's own ICMP errors and its refragmentation are seen")
    func answers() throws {
        let rules = """
            *nat
            -A PREROUTING -d 10.0.0.9 -j DNAT --to-destination 10.0.1.2
            COMMIT

            """
        let kernel = try KernelNode(topology, rules: rules)
        let expired = try kernel.inject(
            wire(frame(client, server, .udp, udp(1, 9), timeToLive: 1)))
        #expect(expired.emissions.map(\.place) == [.wire(link: "eth0")])
        let datagram = udp(1000, 2000, [UInt8](repeating: 0x79, count: 2992))
        let virtual = IPv4Address(10, 0, 0, 9)
        let first = try kernel.inject(
            wire(frame(client, virtual, .udp, Array(datagram[1480...]), fragmentField: 185)))
        #expect(first.emissions.isEmpty)
        let second = try kernel.inject(
            wire(frame(client, virtual, .udp, Array(datagram[..<1480]), fragmentField: 0x2000)))
        #expect(
            second.emissions.map(\.place)
                == [.wire(link: "eth1"), .wire(link: "eth1"), .wire(link: "eth1")])
    }

    @Test("connections and events read as conntrack prints them, counters as iptables-save does")
    func finalState() throws {
        let rules = """
            *nat
            -A PREROUTING -d 10.0.0.9 -j DNAT --to-destination 10.0.1.2
            -A POSTROUTING -o eth1 -j MASQUERADE
            COMMIT

            """
        let kernel = try KernelNode(topology, rules: rules)
        _ = try kernel.inject(
            wire(frame(client, IPv4Address(10, 0, 0, 9), .udp, udp(1000, 2000))))
        _ = try kernel.inject(
            wire(frame(client, server, IPProtocol(rawValue: 99), [1])))
        let listed = try kernel.run("conntrack", ["-L", "-o", "extended"])
        let state = try kernel.finish()
        // A second may pass between the two, and a moment between an entry and its event.
        #expect(
            Set(state.connections.map(withoutTimeout))
                == Set(listed.split(separator: "\n").map(String.init).map(withoutTimeout)))
        #expect(
            state.events.map(withoutTimeout)
                == [
                    "[NEW] udp 17 30 src=10.0.0.2 dst=10.0.0.9 sport=1000 dport=2000"
                        + " [UNREPLIED] src=10.0.1.2 dst=10.0.1.1 sport=2000 dport=1000",
                    "[NEW] unknown 99 600 src=10.0.0.2 dst=10.0.1.2"
                        + " [UNREPLIED] src=10.0.1.2 dst=10.0.1.1",
                ].map(withoutTimeout))
        #expect(state.rules.contains("[1:32] -A PREROUTING -d 10.0.0.9/32 -j DNAT"))
    }

    /// The entry or event without the seconds that are left: the word after the protocol's number.
    private func withoutTimeout(_ line: String) -> [Substring] {
        var words = line.split(separator: " ")
        if let number = words.firstIndex(where: { $0 == "17" || $0 == "99" }) {
            words.remove(at: number + 1)
        }
        return words
    }

    @Test("a topology that the kernel refuses is refused with its words")
    func refusal() throws {
        var wrong = topology
        wrong.routes = ["10.9.0.0/16 via 10.7.7.7"]
        let error = #expect(throws: KernelPathError.self) {
            try KernelNode(wrong, rules: "")
        }
        #expect(error?.description.contains("ip route add 10.9.0.0/16 via 10.7.7.7") == true)
    }
}
