import Foundation
import PacketIO
import Testing
import Wire

@testable import Scenario

/// A directory that is gone with the test.
private func withDirectory<Result>(_ body: (String) throws -> Result) throws -> Result {
    let path = NSTemporaryDirectory() + "sluice-replay-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: path) }
    return try body(path)
}

private func contents(_ directory: String) throws -> [String: Data] {
    var files: [String: Data] = [:]
    for name in try FileManager.default.contentsOfDirectory(atPath: directory) {
        files[name] = try Data(contentsOf: URL(filePath: "\(directory)/\(name)"))
    }
    return files
}

private let here = URL(filePath: #filePath).deletingLastPathComponent()

private func text(_ path: String) throws -> String {
    try String(contentsOf: here.appending(path: path), encoding: .utf8)
}

@Suite("A replay")
struct ReplayTests {
    private let traced: OfflineNode.Options = {
        var options = OfflineNode.Options()
        options.traces = true
        return options
    }()

    @Test("writes the bytes that it wrote when this was committed")
    func golden() throws {
        let subject = try Case(yaml: try text("Golden/case.yaml"), file: "case.yaml")
        try withDirectory { directory in
            try Replay(subject).write(to: "\(directory)/out")
            let written = try contents("\(directory)/out")
            let expected = try contents(here.appending(path: "Golden/expected").path)
            #expect(written.keys.sorted() == expected.keys.sorted())
            for (name, data) in expected {
                #expect(written[name] == data, "\(name)")
            }
        }
    }

    @Test("is what its page in Docs shows")
    func documented() throws {
        let page = try text("../../Docs/Replay.md")
        #expect(page.contains(try text("Golden/case.yaml")))
        #expect(page.contains(try text("Golden/expected/packets.txt")))
    }

    @Test(
        "what NFLOG rules copy is a capture for each group, cut and changed as it was at the rule")
    func copies() throws {
        var subject = try Case(yaml: try text("Golden/case.yaml"), file: "case.yaml")
        subject.rules = """
            *mangle
            -A PREROUTING -p udp -j NFLOG --nflog-group 7 --nflog-size 20
            -A FORWARD -p tcp -j NFLOG --nflog-group 8
            COMMIT

            """
        try withDirectory { directory in
            try Replay(subject).write(to: "\(directory)/out")
            let files = try contents("\(directory)/out")
            let names = files.keys.filter { $0.hasPrefix("nflog") }
            #expect(names.sorted() == ["nflog-7.pcap", "nflog-8.pcap"])
            // A file header of 24 bytes, then 16 before each packet. Without NAT the node itself gets the
            // question, so the answer is its own and does not pass PREROUTING.
            #expect(files["nflog-7.pcap"]?.count == 24 + 16 + 20)
            let whole = [UInt8](try #require(files["nflog-8.pcap"]))
            try #require(whole.count == 24 + 16 + 40)
            #expect(whole[24 + 16] == 0x45 && whole[24 + 16 + 8] == 63)
        }
    }

    /// A request every millisecond, each to a random port of the node's choice.
    private func busy(seed: UInt64) throws -> Case {
        var subject = try example()
        subject.rules = subject.rules.replacing("-j MASQUERADE", with: "-j MASQUERADE --random")
        subject.seed = seed
        let request = subject.packets[0]
        subject.packets = (0..<200).map { number in
            var packet = request
            packet.time = Timestamp(nanoseconds: UInt64(number) * 1_000_000)
            packet.bytes[34] = 0x20
            packet.bytes[35] = UInt8(number)
            return packet
        }
        return subject
    }

    @Test("writes the same bytes twice, and others with another seed")
    func deterministic() throws {
        try withDirectory { directory in
            for (name, seed) in [("a", UInt64(7)), ("b", 7), ("c", 8)] {
                try Replay(try busy(seed: seed), options: traced).write(to: "\(directory)/\(name)")
            }
            let first = try contents("\(directory)/a")
            #expect(try contents("\(directory)/b") == first)
            #expect(try contents("\(directory)/c")["out-eth1.pcap"] != first["out-eth1.pcap"])
            #expect(first["out-eth1.pcap"].map { $0.count > 200 * 62 } == true)
        }
    }

    @Test("takes captures, merged by their times, and keeps the times")
    func captures() throws {
        try withDirectory { directory in
            let subject = try example()
            let base: UInt64 = 1_600_000_000_123_456_789
            func capture(_ name: String, _ frames: [(UInt64, [UInt8])]) throws -> [CapturedFrame] {
                let path = "\(directory)/\(name)"
                let writer = try CaptureWriter(path: path)
                for (time, bytes) in frames {
                    bytes.withRawSpan {
                        writer.write($0, time: Timestamp(nanoseconds: base + time))
                    }
                }
                #expect(writer.flush())
                return try CaptureFrames.read(path)
            }
            let (outcomes, _, _) = try run(subject)
            let request = subject.packets[0].bytes
            let reply = subject.packets[1].answering(outcomes[0]).bytes
            let left = try capture("left.pcap", [(0, request), (5000, request), (10, request)])
            let right = try capture("right.pcap", [(5000, reply)])
            let merged = try Case(
                topology: subject.topology, rules: subject.rules,
                captures: [("eth1", right), ("eth0", left)], seed: 1)
            #expect(
                merged.packets.map(\.time.nanoseconds) == [0, 5000, 5000, 5000].map { base + $0 })
            #expect(
                merged.packets.map(\.origin)
                    == ["eth0", "eth1", "eth0", "eth0"].map {
                        .wire(link: $0)
                    })
            try Replay(merged).write(to: "\(directory)/out")
            let sent = try CaptureFrames.read("\(directory)/out/out-eth0.pcap")
            #expect(sent.map(\.time.nanoseconds) == [base + 5000])
            #expect(sent.map(\.bytes) == outcomes[1].emissions.map(\.bytes))
        }
    }

    @Test("leaves nothing where it cannot write, and nothing beside it")
    func atomic() throws {
        try withDirectory { directory in
            let replay = try Replay(try example())
            try Data().write(to: URL(filePath: "\(directory)/file"))
            for taken in ["\(directory)/file", directory, "\(directory)/none/out"] {
                #expect(throws: CaseError.self) { try replay.write(to: taken) }
            }
            #expect(try contents(directory).keys.sorted() == ["file"])
        }
    }
}

@Suite("A capture that is not whole")
struct FaultyCaptureTests {
    /// A pcap header in little-endian order and one packet of `captured` of 60 bytes.
    private func file(linkType: UInt8 = 1, captured: UInt8 = 60, missing: Int = 0) -> Data {
        var bytes: [UInt8] = [0xD4, 0xC3, 0xB2, 0xA1, 2, 0, 4, 0] + [UInt8](repeating: 0, count: 8)
        bytes += [0, 0, 4, 0, linkType, 0, 0, 0]
        bytes += [1, 0, 0, 0, 2, 0, 0, 0, captured, 0, 0, 0, 60, 0, 0, 0]
        bytes += [UInt8](repeating: 0, count: Int(captured) - missing)
        return Data(bytes)
    }

    @Test("is refused by name")
    func refused() throws {
        try withDirectory { directory in
            let path = "\(directory)/a.pcap"
            let faults: [(Data, String)] = [
                (file(linkType: 113), "its packets are of link type LINUX_SLL; expected Ethernet"),
                (file(captured: 40), "packet 1 was cut to 40 of 60 bytes"),
                (file(missing: 7), "behind packet 0: truncated dump file"),
                (Data("no capture, but text".utf8), "unknown file format"),
                (Data(), "truncated dump file"),
            ]
            for (data, sentence) in faults {
                try data.write(to: URL(filePath: path))
                let fault = #expect(throws: CaptureError.self) {
                    _ = try CaptureFrames.read(path)
                }
                #expect("\(try #require(fault))".contains(sentence), "\(sentence)")
            }
            try file().write(to: URL(filePath: path))
            let whole = try CaptureFrames.read(path)
            #expect(whole.map(\.bytes.count) == [60])
            #expect(whole.map(\.time.nanoseconds) == [1_000_002_000])
        }
    }
}
