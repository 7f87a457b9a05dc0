import Testing
import Wire

@testable import Scenario

@Suite("A case as text")
struct CaseTextTests {
    @Test("is read field by field")
    func read() throws {
        let subject = try example()
        #expect(subject.topology.links.map(\.name) == ["eth0", "eth1"])
        #expect(subject.topology.links[1].mtu == 1400)
        #expect(subject.topology.links[1].addresses.last == LinkAddress("10.0.1.2/24"))
        #expect(subject.topology.links[1].settings == ["rp_filter": "1"])
        #expect(subject.topology.neighbours[1].mac == MACAddress("02:00:00:00:01:09"))
        #expect(subject.rules.hasPrefix("*nat\n"))
        #expect(subject.packets[0].bytes.count == 46)
        #expect(subject.packets[1].answers == 0)
        #expect(subject.packets[1].time == Timestamp(nanoseconds: 250_000_000))
    }

    @Test("leaves nothing of the document behind")
    func memory() throws {
        weak var document: YAMLDocument?
        do {
            let read = try YAMLDocument(exampleText, file: "case.yaml")
            _ = try Topology(
                #require(try read.root.entries().first { $0.name == "topology" }).field)
            document = read
        }
        #expect(document == nil)
    }

    @Test("comes back as it was written")
    func roundTrip() throws {
        var subject = try example()
        subject.title = "With: colons, 'quotes', \"more\" and #"
        subject.seed = .max
        subject.topology.loopbackAddresses = [try #require(LinkAddress("10.96.0.1/32"))]
        subject.packets.append(
            CasePacket(
                time: Timestamp(nanoseconds: 3_000_000_001),
                origin: .node(mark: 16, userID: 1000, groupID: 1337),
                bytes: Array(subject.packets[0].bytes.dropFirst(14)), note: "2024-01-01"))
        subject.packets.append(
            CasePacket(
                time: Timestamp(nanoseconds: 4_000_000_000), origin: .wire(link: "eth0"),
                bytes: [1, 2, 3]))
        subject.packets.append(
            CasePacket(
                time: Timestamp(nanoseconds: 4_000_000_000), origin: .wire(link: "eth0"), bytes: [])
        )
        let text = subject.yaml
        #expect(try Case(yaml: text, file: "again") == subject)
        #expect(try Case(yaml: text, file: "again").yaml == text)
    }

    @Test("shows whom a packet is from")
    func comments() throws {
        let text = try example().yaml
        #expect(text.contains("  # udp 10.0.0.9:4000 > 10.0.0.1:80\n"))
        #expect(text.contains("  # Ethernet\n"))
    }

    @Test("a topology stands alone too")
    func topology() throws {
        let topology = try example().topology
        #expect(try Topology(yaml: topology.yaml, file: "node.yaml") == topology)
    }
}

@Suite("A faulty case is refused with its place")
struct CaseFaultTests {
    /// What is replaced in the example, by what, and how the refusal begins.
    static let faults: [(String, String, String)] = [
        (
            "mtu: 1400", "mtu: 14",
            "case.yaml, line 11, column 12: topology.links.eth1.mtu: expected a number from 68 to"
                + " 65535, found '14'"
        ),
        (
            "mtu: 1400", "mut: 1400",
            "case.yaml, line 11, column 12: topology.links.eth1.mut: no such field; expected one of"
        ),
        (
            "mac: 02:00:00:00:01:01", "mac: eth",
            "case.yaml, line 10, column 12: topology.links.eth1.mac: expected a MAC address"
        ),
        (
            "[10.0.0.1/24]", "[10.0.0.1]",
            "case.yaml, line 8, column 19: topology.links.eth0.addresses[1]: expected an address"
        ),
        (
            "via 10.0.1.9", "via 10.0.1",
            "case.yaml, line 16, column 23: topology.routes[1]: expected an IPv4 address, found"
                + " '10.0.1'"
        ),
        (
            "via 10.0.1.9", "via 10.77.1.9",
            "case.yaml, line 16, column 7: topology.routes[1]: the gateway 10.77.1.9 is on no link"
        ),
        (
            "10.9.0.0/16 via", "10.9.0.1/16 via",
            "case.yaml, line 16, column 7: topology.routes[1]: 10.9.0.1/16 has bits behind its"
                + " prefix; expected 10.9.0.0/16"
        ),
        (
            "lookup main", "lookup",
            "case.yaml, line 18, column 22: topology.policyRules[1]: expected a table"
        ),
        (
            "link: eth1}", "link: eth7}",
            "case.yaml, line 21, column 57: topology.neighbours[2].link: expected one of the links"
                + " eth0, eth1, found 'eth7'"
        ),
        (
            "udp_timeout: 7", "udp_timeout: soon",
            "case.yaml, line 23, column 45: topology.settings.net.netfilter.nf_conntrack_udp_timeout:"
                + " expected a number from"
        ),
        (
            "nf_conntrack_udp_timeout", "nf_conntrack_udp_time",
            "case.yaml, line 23, column 42: topology.settings.net.netfilter.nf_conntrack_udp_time:"
                + " Sluice has no such setting"
        ),
        (
            "-o eth1 -j MASQUERADE", "-o eth1 -j MASQUERADES",
            "case.yaml, line 29, column 29: rules: \"MASQUERADES\": expected a chain"
        ),
        (
            "0fa00050 000c0000", "0fa00050 000cx000",
            "case.yaml, line 38, column 20: packets[1].frame: expected hexadecimal digits, found 'x'"
        ),
        (
            "in: eth1", "in: eth2",
            "case.yaml, line 42, column 9: packets[2].in: expected one of the links"
        ),
        ("answers: 1", "answers: 2", "case.yaml, line 41, column 14: packets[2].answers: expected"),
        ("at: 0\n", "at: 9\n", "case.yaml, line 40, column 9: packets[2].at: expected a time"),
        ("seed: 1", "seed: -1", "case.yaml, line 2, column 7: seed: expected a number"),
        ("seed: 1", "seed: 1\nseed: 2", "case.yaml, line"),
        ("links:", "links: [", "case.yaml, line"),
    ]

    @Test("with file, line, column, field and expectation", arguments: faults)
    func placed(old: String, new: String, beginning: String) throws {
        let text = exampleText.replacing(old, with: new, maxReplacements: 1)
        #expect(text != exampleText)
        let fault = #expect(throws: CaseError.self) { _ = try Case(yaml: text, file: "case.yaml") }
        let sentence = try #require(fault).description
        #expect(sentence.hasPrefix(beginning), "\(sentence)")
        #expect(!sentence.contains("\n"))
    }

    @Test("and so is what is no case at all", arguments: ["", "just text", "- a\n- b\n", "\u{7}"])
    func nothing(text: String) {
        #expect(throws: CaseError.self) { _ = try Case(yaml: text, file: "case.yaml") }
    }
}
