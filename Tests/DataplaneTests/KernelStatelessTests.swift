// The same packets through the kernel and through the data plane, over rules with every stateless match
// and every mangling target: what leaves must be equal to the byte, and the counters of every rule too.

import FrameFixture
import KernelPath
import NamespaceFixture
import Scenario
import Testing
import Wire

/// Both sides of one comparison, fed in step.
private final class Pair {
    private let kernel: KernelNode
    private let node: OfflineNode

    /// One packet a second: errors of the node's own are then within their rate.
    private var seconds: UInt64 = 0

    /// - Parameter routes: more of them, as words of `ip route add`.
    init(_ rules: String, mtu: Int = 1500, routes: [String] = []) throws {
        let topology = Topology(
            links: [
                .init(
                    name: "eth0", mac: eth0MAC,
                    addresses: [LinkAddress(IPv4Address(10, 1, 0, 1), prefixLength: 24)]),
                .init(
                    name: "eth1", mac: eth1MAC, mtu: mtu,
                    addresses: [LinkAddress(IPv4Address(10, 2, 0, 1), prefixLength: 24)]),
            ],
            routes: routes,
            neighbours: [
                .init(address: client, mac: clientMAC, link: "eth0"),
                .init(address: server, mac: clientMAC, link: "eth0"),
                .init(address: server, mac: serverMAC, link: "eth1"),
            ],
            // Every packet draws its error.
            settings: [
                "net.ipv4.icmp_ratelimit": "0", "net.ipv4.icmp_msgs_per_sec": "1000000",
                "net.ipv4.icmp_msgs_burst": "1000000",
            ])
        kernel = try KernelNode(topology, rules: rules)
        node = try OfflineNode(Case(topology: topology, rules: rules))
    }

    /// One frame from the client through both.
    func compare(_ bytes: [UInt8], _ what: String) throws {
        try compare(.wire(link: "eth0"), bytes, what)
    }

    /// One packet of the node's own through both; `user` and `group` own the socket.
    func send(_ frame: TestFrame, user: UInt32 = 0, group: UInt32 = 0) throws {
        try compare(
            .node(mark: 0, userID: user, groupID: group), Array(frame.bytes[14...]),
            "user \(user), group \(group)")
    }

    private func compare(
        _ origin: CasePacket.Origin, _ bytes: [UInt8], _ what: String
    ) throws {
        seconds += 1
        let packet = CasePacket(
            time: Timestamp(nanoseconds: seconds * 1_000_000_000), origin: origin, bytes: bytes)
        let expected = try kernel.inject(packet).emissions.map(\.withoutIdentification)
        let found = try node.inject(packet).emissions.map(\.withoutIdentification)
        #expect(found == expected, "\(what)")
    }

    /// Compares the counters of all rules, line by line.
    func finish() throws {
        func rules(_ state: FinalState) -> [Substring] {
            state.rules.split(separator: "\n").filter { $0.contains("-A ") }
        }
        let expected = rules(try kernel.finish())
        #expect(rules(node.finish()) == expected)
        #expect(!expected.isEmpty)
    }
}

extension Emission {
    /// An ICMP error of the node's own has an identification that each side draws for itself.
    fileprivate var withoutIdentification: Emission {
        guard case .wire = place, parsed(bytes).source == IPv4Address(10, 1, 0, 1), bytes[23] == 1
        else { return self }
        var copy = self
        for place in [18, 19, 24, 25] { copy.bytes[place] = 0 }
        return copy
    }
}

/// A DCCP header with `options` behind what its type demands, or with a length of its own.
private func dccp(_ type: UInt8, options: [UInt8] = [], length: Int? = nil) -> [UInt8] {
    let fixed = [16, 12][type == 2 ? 1 : 0] + (type > 2 ? 4 : 0)
    let total = fixed + options.count
    var header = words([1000, 2000]) + [UInt8((length ?? total) / 4), 0, 0, 0, type << 1]
    header += [UInt8](repeating: 0, count: fixed - header.count) + options
    return header
}

private func sctp(_ chunks: [(type: UInt8, flags: UInt8, length: Int)]) -> [UInt8] {
    words([1000, 2000, 0, 1, 0, 0])
        + chunks.flatMap { chunk in
            [chunk.type, chunk.flags] + words([UInt16(chunk.length)])
                + [UInt8](repeating: 0, count: max(0, (chunk.length + 3) & ~3 - 4))
        }
}

@Suite("Stateless matches and mangling, beside the kernel", .enabled(if: isRoot, needsRoot))
struct KernelStatelessTests {
    /// Frames of many kinds, each with a word for it.
    private static var frames: [(String, TestFrame)] {
        var frames: [(String, TestFrame)] = []
        for tos: UInt8 in [0, 2, 4, 8, 0x10, 0x28, 0xB8, 0xB9, 0xFF] {
            frames.append(("tos \(tos)", TestFrame(typeOfService: tos).udp(1, 2)))
        }
        for ttl: UInt8 in [2, 5, 6, 64, 128, 255] {
            frames.append(("ttl \(ttl)", TestFrame(timeToLive: ttl).udp(1, 2)))
        }
        for length in [0, 1, 72, 73, 472, 1472] {
            frames.append(("\(length) bytes", TestFrame().udp(1, 2, pattern(length))))
        }
        for mac: UInt64 in [0x0200_0000_0002, 0x0200_0000_0003] {
            frames.append(("mac", TestFrame(sourceMAC: MACAddress(rawValue: mac)).udp(1, 2)))
        }
        for last: UInt8 in [1, 2, 77, 254] {
            let source = IPv4Address(10, 1, 0, last)
            frames.append(("from \(source)", TestFrame(source: source).udp(1, 2)))
        }
        for source in [
            IPv4Address(10, 2, 0, 9), IPv4Address(10, 9, 9, 9), IPv4Address(10, 2, 0, 1),
        ] {
            frames.append(("from \(source)", TestFrame(source: source).udp(1, 2)))
        }
        frames.append(("echo", TestFrame().icmp(8)))
        frames.append(("bare", TestFrame(protocol: IPProtocol(rawValue: 99))))
        frames += transports
        return frames
    }

    private static var transports: [(String, TestFrame)] {
        func frame(_ number: UInt8, _ payload: [UInt8]) -> TestFrame {
            TestFrame(protocol: IPProtocol(rawValue: number), payload: payload)
        }
        var frames: [(String, TestFrame)] = []
        let chunks: [[(type: UInt8, flags: UInt8, length: Int)]] = [
            [], [(0, 3, 20)], [(0, 7, 17)], [(1, 0, 20)], [(0, 3, 16), (1, 0, 4)],
            [(14, 1, 4)], [(6, 0, 4)], [(0, 3, 0)], [(193, 0, 8), (3, 0, 12)], [(0, 3, 400)],
            [(0, 0, 4), (14, 0, 4), (6, 1, 4)],
        ]
        for chunk in chunks { frames.append(("sctp \(chunk)", frame(132, sctp(chunk)))) }
        frames.append(("sctp cut short", frame(132, Array(sctp([]).prefix(11)))))
        frames.append(("sctp, half a chunk", frame(132, sctp([]) + [0, 3])))
        for type: UInt8 in 0...15 { frames.append(("dccp \(type)", frame(33, dccp(type)))) }
        for type: UInt8 in [0, 2, 3, 7] {
            frames.append(
                ("dccp option \(type)", frame(33, dccp(type, options: [0, 5, 3, 0, 7, 0, 1, 1]))))
        }
        frames.append(("dccp, short header", frame(33, dccp(1, length: 8))))
        frames.append(("dccp, header beyond the end", frame(33, dccp(1, length: 80))))
        frames.append(("dccp cut short", frame(33, Array(dccp(2).prefix(11)))))
        for spi: UInt16 in [0, 4, 5, 7, 11] {
            frames.append(("esp \(spi)", frame(50, words([0, spi, 0, 1]))))
            frames.append(("ah \(spi)", frame(51, words([0, 4, 0, spi, 0, 1]))))
        }
        frames.append(("esp cut short", frame(50, words([0, 5, 0]))))
        frames.append(("ah cut short", frame(51, words([0, 4, 0, 5, 0]))))
        var later = frame(132, pattern(16))
        later.fragmentField = 0x0003
        frames.append(("later fragment of sctp", later))
        return frames
    }

    @Test("every match counts what the kernel counts, inverted and not")
    func matches() throws {
        let tests = [
            "-m iprange --src-range 10.1.0.2-10.1.0.80",
            "-m iprange ! --src-range 10.1.0.3-10.3.0.0",
            "-m iprange --dst-range 10.2.0.2 ! --src-range 10.1.0.77",
            "-m iprange --src-range 10.2.0.0-10.1.0.0", "-m length --length 28:100",
            "-m length ! --length 28:100", "-m length --length 29", "-m length --length 500:",
            "-m length ! --length 10:5", "-m ttl --ttl-eq 64", "-m ttl ! --ttl-eq 64",
            "-m ttl --ttl-lt 6", "-m ttl --ttl-gt 64", "-m tos --tos 0x10", "-m tos ! --tos 0x10",
            "-m tos --tos 0x08/0x3f", "-m tos --tos Minimize-Cost", "-m tos --tos 0xff/0x0f",
            "-m dscp --dscp 0x2e", "-m dscp ! --dscp-class EF", "-m dscp --dscp 0",
            "-m mac --mac-source 02:00:00:00:00:02", "-m mac ! --mac-source 02:00:00:00:00:02",
            "-m pkttype --pkt-type unicast", "-m pkttype ! --pkt-type unicast",
            "-m pkttype --pkt-type broadcast", "-m physdev --physdev-in eth0",
            "-m physdev ! --physdev-in eth0", "-m physdev ! --physdev-is-bridged",
            "-m physdev --physdev-is-in", "-m physdev ! --physdev-is-in ! --physdev-out eth1",
            "-m physdev ! --physdev-is-in --physdev-is-out",
        ]
        let reverse = [
            "", "--loose", "--accept-local", "--invert", "--loose --invert", "--validmark",
        ]
        let transports = [
            "-p sctp -m sctp --sport 1000", "-p sctp -m sctp ! --dport 2000",
            "-p sctp -m sctp --chunk-types any DATA,INIT",
            "-p sctp -m sctp --chunk-types all DATA,INIT",
            "-p sctp -m sctp --chunk-types only DATA", "-p sctp -m sctp ! --chunk-types only DATA",
            "-p sctp -m sctp --chunk-types any DATA:Be",
            "-p sctp -m sctp --chunk-types any DATA:BEu",
            "-p sctp -m sctp --chunk-types any SHUTDOWN_COMPLETE:T,ABORT:t",
            "-p sctp -m sctp --chunk-types all NONE", "-p sctp -m sctp --chunk-types only ALL",
            "-p dccp -m dccp --sport 1:1000", "-p dccp -m dccp ! --dport 2000",
            "-p dccp -m dccp --dccp-types REQUEST,DATA", "-p dccp -m dccp ! --dccp-types REQUEST",
            "-p dccp -m dccp --dccp-types INVALID", "-p dccp -m dccp --dccp-option 7",
            "-p dccp -m dccp ! --dccp-option 7", "-p esp -m esp --espspi 5",
            "-p esp -m esp ! --espspi 5:10", "-p esp -m esp", "-p ah -m ah --ahspi 5:7",
            "-p ah -m ah ! --ahspi 5", "-p ah -m ah --ahspi 10:5",
        ]
        var rules = "*raw\n"
        for options in reverse { rules += "-A PREROUTING -m rpfilter \(options)\n" }
        rules += "COMMIT\n*filter\n"
        for test in tests + transports { rules += "-A FORWARD \(test)\n" }
        let pair = try Pair(rules + "COMMIT\n")
        for (what, frame) in Self.frames { try pair.compare(frame.bytes, what) }
        try pair.finish()
    }

    @Test("TTL, TOS, DSCP, CHECKSUM and CLASSIFY change what the kernel changes")
    func changes() throws {
        let targets = [
            "TTL --ttl-set 9", "TTL --ttl-dec 3", "TTL --ttl-dec 200", "TTL --ttl-inc 5",
            "TTL --ttl-inc 200", "TTL --ttl-set 0", "TOS --set-tos 0x28", "TOS --set-tos 0x10/0x1c",
            "TOS --and-tos 0xfc", "TOS --or-tos 0x03", "TOS --xor-tos 0xff", "DSCP --set-dscp 0x2e",
            "DSCP --set-dscp-class CS0", "CHECKSUM --checksum-fill", "TTL --ttl-set 1",
        ]
        var rules = "*mangle\n"
        for (port, target) in targets.enumerated() {
            rules += "-A PREROUTING -p udp --dport \(100 + port) -j \(target)\n"
            rules += "-A FORWARD -p udp --dport \(200 + port) -j \(target)\n"
        }
        rules += "-A POSTROUTING -j CLASSIFY --set-class 1:10\n-A POSTROUTING -m ttl --ttl-lt 10\n"
        let pair = try Pair(rules + "COMMIT\n")
        for port in targets.indices {
            for (first, ttl, tos) in [
                (100, 64, 0), (200, 250, 0x13), (100, 2, 0xB8), (200, 3, 0xFF),
            ]
                as [(Int, UInt8, UInt8)]
            {
                let frame = TestFrame(typeOfService: tos, timeToLive: ttl)
                    .udp(1, UInt16(first + port), pattern(20))
                try pair.compare(frame.bytes, "\(targets[port]), ttl \(ttl), tos \(tos)")
            }
        }
        try pair.finish()
    }

    private static var segments: [(String, TestFrame)] {
        let size: [UInt8] = [2, 4, 0x05, 0xB4]
        let options: [(String, [UInt8])] = [
            ("none", []), ("1460", size), ("600", [2, 4, 0x02, 0x58]),
            ("behind one no-op", [1, 2, 4, 0x05, 0xB4, 1, 1, 1]),
            ("behind others", [3, 3, 7, 1] + size),
            ("timestamps only", [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0]),
            ("of a wrong length", [2, 3, 5, 1]), ("twice", size + size),
            ("behind an option of length 0", [9, 0, 1, 1] + size),
            ("full header", [UInt8](repeating: 1, count: 40)),
            ("almost full header", [UInt8](repeating: 1, count: 36)),
            ("behind the end of the list", [0, 0, 0, 0] + size),
            ("at the very end", [1, 1, 1, 1] + size),
        ]
        var frames: [(String, TestFrame)] = []
        for (what, bytes) in options {
            for port: UInt16 in [80, 81, 82, 83] {
                for (flags, data) in [(TCPFlags.syn, 0), ([.syn, .ack], 0), (.syn, 7), (.ack, 0)] {
                    let frame = TestFrame().tcp(
                        40_000, port, flags, sequence: 0xFFFF_FFF0, options: bytes, pattern(data))
                    frames.append(("\(what), port \(port), \(data) bytes", frame))
                }
            }
        }
        var short = TestFrame().tcp(40_000, 80, .syn)
        short.payload[12] = 0x40
        frames.append(("a header of 16 bytes", short))
        var long = TestFrame().tcp(40_000, 80, .syn)
        long.payload[12] = 0x60
        frames.append(("a header beyond the end", long))
        return frames
    }

    @Test(
        "TCPMSS lowers, puts in and leaves alone what the kernel does", arguments: [1500, 1000, 68])
    func segmentSize(_ mtu: Int) throws {
        let rules = """
            *mangle
            -A FORWARD -p tcp --dport 80 -j TCPMSS --set-mss 1000
            -A FORWARD -p tcp --dport 81 -j TCPMSS --clamp-mss-to-pmtu
            -A FORWARD -p tcp --dport 82 -j TCPMSS --set-mss 0
            -A FORWARD -p tcp --dport 83 --syn -j TCPMSS --set-mss 500
            -A FORWARD -p tcp --dport 83 --tcp-option 2
            -A POSTROUTING -p tcp -m length --length 44
            -A POSTROUTING -p tcp --tcp-option 2
            COMMIT

            """
        let pair = try Pair(rules, mtu: mtu)
        for (what, frame) in Self.segments where frame.view.totalLength <= mtu {
            try pair.compare(frame.bytes, what)
        }
        try pair.finish()
    }

    @Test("the owner of the node's own packets, and everything that has none")
    func owner() throws {
        let rules = """
            *filter
            -A OUTPUT -m owner --uid-owner 0
            -A OUTPUT -m owner ! --uid-owner 0
            -A OUTPUT -m owner --uid-owner 1000-2000
            -A OUTPUT -m owner --uid-owner 65534 -j DROP
            -A OUTPUT -m pkttype --pkt-type unicast
            COMMIT
            *mangle
            -A POSTROUTING -m owner --uid-owner 1500
            -A POSTROUTING -m owner ! --uid-owner 1500
            COMMIT

            """
        let pair = try Pair(rules)
        let frame = TestFrame(source: IPv4Address(10, 2, 0, 1)).udp(1, 2)
        for user: UInt32 in [0, 999, 1000, 1500, 2000, 2001, 65534] {
            try pair.send(frame, user: user)
        }
        try pair.compare(TestFrame().udp(1, 2).bytes, "forwarded: nobody's")
        try pair.finish()
    }

    @Test("the group of the node's own packets, beside the user, and everything that has none")
    func group() throws {
        let tests = [
            "--gid-owner 1337", "! --gid-owner 1337", "--gid-owner 1000-2000",
            "--uid-owner 7 --gid-owner 1337", "! --uid-owner 7 --gid-owner 1337",
            "! --uid-owner 7 ! --gid-owner 1337", "--gid-owner 1337 --suppl-groups",
            "! --gid-owner 1337 --suppl-groups", "! --uid-owner 7 ! --gid-owner 0 --suppl-groups",
        ]
        let rules =
            "*mangle\n" + tests.map { "-A POSTROUTING -m owner \($0)\n" }.joined()
            + "COMMIT\n*filter\n" + tests.map { "-A OUTPUT -m owner \($0)\n" }.joined()
                + """
                -A OUTPUT -m owner --gid-owner 9 -j DROP
                -A FORWARD -p udp --dport 3 -j REJECT
                -A FORWARD -p tcp -j REJECT --reject-with tcp-reset
                COMMIT

                """
        let pair = try Pair(rules)
        let frame = TestFrame(source: IPv4Address(10, 2, 0, 1)).udp(1, 2)
        for user: UInt32 in [0, 7] {
            for group: UInt32 in [0, 9, 999, 1000, 1337, 2000, 2001, 65534, .max - 1] {
                try pair.send(frame, user: user, group: group)
            }
        }
        try pair.compare(TestFrame().udp(1, 2).bytes, "forwarded: nobody's")
        try pair.compare(TestFrame().udp(1, 3).bytes, "an error of the node's: the kernel's own")
        try pair.compare(TestFrame().tcp(1, 3, .syn).bytes, "a reset: nobody's")
        try pair.finish()
    }

    @Test(
        "over the loopback every frame is for the host, passes every reverse path, and has no MAC")
    func loopback() throws {
        let rules = """
            *raw
            -A PREROUTING -m rpfilter
            -A PREROUTING -m rpfilter --invert
            COMMIT
            *filter
            -A INPUT -m pkttype --pkt-type unicast
            -A INPUT -m mac --mac-source 00:00:00:00:00:00
            -A INPUT -m mac ! --mac-source 00:00:00:00:00:00
            COMMIT

            """
        let pair = try Pair(rules)
        let own = IPv4Address(10, 1, 0, 1)
        try pair.send(TestFrame(source: own, destination: own).udp(1, 2), user: 0)
        try pair.finish()
    }

    @Test("a new TOS in OUTPUT routes the packet again")
    func reroute() throws {
        let rules = """
            *mangle
            -A OUTPUT -p udp --dport 7 -j TOS --set-tos 0x10
            -A OUTPUT -p udp --dport 8 -j DSCP --set-dscp 4
            -A OUTPUT -p udp --dport 9 -j TTL --ttl-set 7
            -A POSTROUTING -o eth0
            -A POSTROUTING -o eth1
            COMMIT

            """
        let pair = try Pair(rules, routes: ["10.2.0.2/32 dev eth0 tos 0x10"])
        let frame = TestFrame(source: IPv4Address(10, 2, 0, 1))
        for port: UInt16 in 7...10 { try pair.send(frame.udp(1, port), user: 0) }
        try pair.finish()
    }
}
