// IPv4 options, packet by packet beside the kernel.

import FrameFixture
import KernelPath
import NamespaceFixture
import Scenario
import Testing
import Wire

private let client = IPv4Address(10, 0, 0, 2)
private let server = IPv4Address(10, 0, 1, 2)

/// Two links, a second address on the first, a gateway behind each, and a way that ends.
private func topology(_ settings: [String: String]) -> Topology {
    Topology(
        links: [
            .init(
                name: "eth0", mac: MACAddress(rawValue: 0x0200_0000_0001),
                addresses: ["10.0.0.1/24", "10.7.0.1/24"].compactMap { LinkAddress($0) }),
            .init(
                name: "eth1", mac: MACAddress(rawValue: 0x0200_0000_0101), mtu: 1000,
                addresses: ["10.0.1.1/24"].compactMap { LinkAddress($0) }),
        ],
        routes: [
            "10.9.0.0/16 via 10.0.1.2", "10.8.0.0/16 via 10.0.0.3", "blackhole 10.5.0.0/16",
            "blackhole 172.16.0.0/12",
        ],
        neighbours: [
            .init(address: client, mac: MACAddress(rawValue: 0x0200_0000_0002), link: "eth0"),
            .init(
                address: IPv4Address(10, 0, 0, 3), mac: MACAddress(rawValue: 0x0200_0000_0003),
                link: "eth0"),
            .init(address: server, mac: MACAddress(rawValue: 0x0200_0000_0102), link: "eth1"),
        ], settings: settings)
}

private let addresses: [IPv4Address] = [
    server, IPv4Address(10, 9, 0, 7), IPv4Address(10, 8, 0, 7), IPv4Address(10, 5, 0, 7),
    IPv4Address(10, 0, 0, 1), IPv4Address(10, 7, 0, 1), IPv4Address(10, 0, 1, 1), client,
    IPv4Address(172, 16, 0, 1), IPv4Address(10, 0, 0, 255),
]

/// An option of some kind, sound in most cases.
private func option(_ random: inout SeededRandom) -> [UInt8] {
    let kinds: [UInt8] = [7, 7, 68, 68, 131, 131, 137, 148, 1, 30, 0x9E]
    let kind = kinds.randomElement(using: &random) ?? 1
    if kind == 1 { return [1] }
    var bytes: [UInt8]
    switch kind {
    case 7, 131, 137:
        let count = Int.random(in: 0...4, using: &random)
        let pointer = 4 + 4 * Int.random(in: 0...count, using: &random)
        bytes = [kind, UInt8(3 + 4 * count), UInt8(pointer)]
        for _ in 0..<count { bytes += (addresses.randomElement(using: &random) ?? server).octets }
    case 68:
        let flags = [0, 1, 3, 3, 2].randomElement(using: &random) ?? 0
        let size = flags == 0 ? 4 : 8
        let count = Int.random(in: 0...3, using: &random)
        let pointer = 5 + size * Int.random(in: 0...count, using: &random)
        let overflow = [0, 1, 14, 15].randomElement(using: &random) ?? 0
        bytes = [68, UInt8(4 + size * count), UInt8(pointer), UInt8(overflow << 4 | flags)]
        for _ in 0..<count {
            bytes += (addresses.randomElement(using: &random) ?? server).octets
            if size == 8 { bytes += [0, 0, 0, 0] }
        }
    case 148: bytes = [148, 4, 0, 0]
    default: bytes = [kind, 4, 1, 2]
    }
    if Int.random(in: 0..<6, using: &random) == 0 {
        let place = Int.random(in: 1...3, using: &random)
        if place < bytes.count { bytes[place] = UInt8.random(in: 0...44, using: &random) }
    }
    return bytes
}

extension IPv4Address {
    fileprivate var octets: [UInt8] {
        (0..<4).map { UInt8(truncatingIfNeeded: rawValue >> UInt32(24 - 8 * $0)) }
    }
}

private func packet(_ random: inout SeededRandom) -> [UInt8] {
    var options: [UInt8] = []
    for _ in 0...Int.random(in: 0...2, using: &random) { options += option(&random) }
    if Bool.random(using: &random) { options.append(0) }
    while options.count % 4 != 0 { options.append([0, 1].randomElement(using: &random) ?? 0) }
    options = Array(options.prefix(40))
    let length = [4, 40, 1100].randomElement(using: &random) ?? 4
    let port: UInt8 = [7, 8].randomElement(using: &random) ?? 7
    let payload: [UInt8] =
        [0, 1, 0, port, UInt8((8 + length) >> 8), UInt8((8 + length) & 255), 0, 0]
        + [UInt8](repeating: 0x5A, count: length)
    var frame = ipv4Frame(
        client, addresses.randomElement(using: &random) ?? server, .udp, options + payload,
        fragmentField: Bool.random(using: &random) ? 0x4000 : 0,
        timeToLive: [1, 9].randomElement(using: &random) ?? 9)
    frame.replaceSubrange(0..<12, with: [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2])
    frame[14] = UInt8(0x45 + options.count / 4)
    frame[24] = 0
    frame[25] = 0
    let sum = frame.withRawSpan { span in
        var sum = InternetChecksum()
        sum.add(span, 14..<34 + options.count)
        return sum.complemented
    }
    frame[24] = UInt8(sum >> 8)
    frame[25] = UInt8(sum & 255)
    return frame
}

/// Places of an emission that cannot be equal: identifications the node chose, and times of day with the
/// sums over them.
private func masked(_ emission: Emission, asked: [UInt8]) -> Emission {
    var emission = emission
    let start = if case .wire = emission.place { 14 } else { 0 }
    emission.bytes.maskHeader(at: start)
    let transport = start + Int(emission.bytes[start] & 15) * 4
    if emission.bytes[start + 9] == 1, asked[14 + 9] != 1 {
        emission.bytes.blank(start + 4, 2)
        emission.bytes.blank(transport + 2, 2)
        if emission.bytes.count > transport + 28 { emission.bytes.maskHeader(at: transport + 8) }
    }
    return emission
}

extension [UInt8] {
    fileprivate mutating func blank(_ start: Int, _ length: Int) {
        for index in start..<start + length where index < count { self[index] = 0 }
    }

    /// Blanks the times in a header's timestamps, and its checksum if there was one.
    fileprivate mutating func maskHeader(at start: Int) {
        let end = Swift.min(start + Int(self[start] & 15) * 4, count)
        var offset = start + 20
        while offset + 3 < end, self[offset] != 0 {
            if self[offset] == 1 {
                offset += 1
                continue
            }
            let length = Int(self[offset + 1])
            guard length >= 2, offset + length <= end else { break }
            if self[offset] == 68 {
                // Those stamped on the way and, in an answer, once more.
                let size = self[offset + 3] & 15 == 0 ? 4 : 8
                let last = offset + Int(self[offset + 2]) - 5
                for entry in [last, last - size] where entry >= offset + 4 {
                    blank(entry, Swift.min(4, Swift.max(0, offset + length - entry)))
                }
                blank(start + 10, 2)
            }
            offset += length
        }
        // An error has another identification under its own sum.
        if self[start + 9] == 1 { blank(start + 10, 2) }
    }
}

@Suite("IPv4 options beside the kernel", .enabled(if: isRoot, needsRoot))
struct OptionTests {
    private static let rules = """
        *filter
        :FORWARD ACCEPT [0:0]
        -A FORWARD -p udp -m udp --dport 8 -j REJECT
        COMMIT

        """

    @Test(
        "leave, arrive, are answered and echoed as the kernel does it",
        arguments: [
            [:],
            ["net.ipv4.conf.all.accept_source_route": "1"],
            [
                "net.ipv4.conf.all.accept_source_route": "1",
                "net.ipv4.conf.all.rp_filter": "2",
            ],
        ], [UInt64(1), .random(in: 0 ... .max)])
    func random(settings: [String: String], seed: UInt64) throws {
        var settings = settings
        // What is limited by the kernel's own clock is left out.
        settings["net.ipv4.icmp_ratemask"] = "0"
        settings["net.ipv4.conf.all.send_redirects"] = "0"
        settings["net.ipv4.conf.default.send_redirects"] = "0"
        let node = topology(settings)
        let kernel = try KernelNode(node, rules: Self.rules)
        let offline = try OfflineNode(Case(topology: node, rules: Self.rules))
        var random = SeededRandom(seed: seed)
        var emissions = 0
        for number in 0..<1500 {
            let bytes = packet(&random)
            let subject = CasePacket(
                time: Timestamp(nanoseconds: UInt64(number) * 10_000_000_000),
                origin: .wire(link: "eth0"), bytes: bytes)
            let expected = try kernel.inject(subject).emissions
            let outcome = try offline.inject(subject)
            emissions += expected.count
            let equal =
                outcome.emissions.map { masked($0, asked: bytes) }
                == expected.map { masked($0, asked: bytes) }
            try #require(
                equal,
                """
                seed \(seed), packet \(number), \(settings)
                sent    \(hexadecimal(bytes))
                kernel  \(text(expected))
                sluice  \(text(outcome.emissions)) \(outcome.dropReason.map { "\($0)" } ?? "")
                """)
        }
        #expect(emissions > 500)
    }

    private func text(_ emissions: [Emission]) -> String {
        emissions.map { "\($0.place) \(hexadecimal($0.bytes))" }.joined(separator: "\n        ")
    }

    private func hexadecimal(_ bytes: [UInt8]) -> String {
        bytes.prefix(140).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
}

@Suite("Datagrams shorter than their header", .enabled(if: isRoot, needsRoot))
struct ShortDatagramTests {
    @Test(
        "go where the kernel lets them go",
        arguments: [
            "", "*filter\n-A FORWARD -m conntrack --ctstate INVALID -j DROP\nCOMMIT\n",
            "*filter\n-A FORWARD -m conntrack --ctstate NEW -j DROP\nCOMMIT\n",
            "*filter\n-A FORWARD -p udp -m udp --dport 7 -j DROP\nCOMMIT\n",
            "*nat\n-A POSTROUTING -p udp -j MASQUERADE\nCOMMIT\n",
        ], 0...8)
    func short(rules: String, length: Int) throws {
        let node = topology([:])
        let kernel = try KernelNode(node, rules: rules)
        let offline = try OfflineNode(Case(topology: node, rules: rules))
        var frame = ipv4Frame(
            client, server, .udp, Array([0, 1, 0, 7, 0, 8, 0, 0][..<min(length, 8)]))
        frame.replaceSubrange(0..<12, with: [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2])
        let subject = CasePacket(origin: .wire(link: "eth0"), bytes: frame)
        #expect(try offline.inject(subject).emissions == kernel.inject(subject).emissions)
        let (ours, theirs) = (offline.finish(), try kernel.finish())
        #expect(ours.connections.count == theirs.connections.count)
    }
}
