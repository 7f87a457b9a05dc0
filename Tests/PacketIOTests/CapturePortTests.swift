import Dataplane
import Foundation
import NamespaceFixture
import Testing
import Wire

@testable import PacketIO

/// Where the shared captures are: SLUICE_SHARED, or `shared` beside the checkout.
let sharedCaptures: URL = {
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent()
    let shared =
        ProcessInfo.processInfo.environment["SLUICE_SHARED"].map { URL(fileURLWithPath: $0) }
        ?? root.deletingLastPathComponent().appending(path: "shared")
    return shared.appending(path: "pcap")
}()
let hasSharedCaptures = FileManager.default.fileExists(
    atPath: sharedCaptures.appending(path: "MANIFEST.tsv").path)

/// A file of its own that is gone with this object.
final class TemporaryFile {
    let path: String
    init(_ bytes: [UInt8] = []) throws {
        path = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString).path
        try Data(bytes).write(to: URL(fileURLWithPath: path))
    }
    func sha256() throws -> String {
        try run("sha256sum", "-z", path).components(separatedBy: " ")[0]
    }
    deinit { try? FileManager.default.removeItem(atPath: path) }
}

/// A little-endian pcap file of one packet.
func capture(linkType: UInt8, _ packet: [UInt8], capturedLength: UInt8? = nil) -> [UInt8] {
    let length = UInt8(packet.count)
    return [0xD4, 0xC3, 0xB2, 0xA1, 2, 0, 4, 0] + [UInt8](repeating: 0, count: 8)
        + [0, 0, 4, 0, linkType, 0, 0, 0] + [7, 0, 0, 0, 9, 0, 0, 0]
        + [capturedLength ?? length, 0, 0, 0, length, 0, 0, 0] + packet
}

let bareIPv4: [UInt8] = [
    0x45, 0, 0, 20, 0, 0, 0, 0, 64, 59, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
]

func everything(_ port: CapturePort) -> [Seen] {
    var seen: [Seen] = []
    while port.condition == .up {
        _ = port.receive(limit: 32, now: testTime) { frame, metadata in
            seen.append(Seen(bytes: MemoryPort.copy(frame.bytes), metadata: metadata))
        }
        port.releaseBatch()
    }
    return seen
}

@Suite("Capture files as ports")
struct CapturePortTests {
    @Test("what is written is read back with its time to the nanosecond")
    func roundTrip() throws {
        let file = try TemporaryFile()
        let frame = [UInt8](0..<60)
        do {
            let writer = try CaptureWriter(path: file.path)
            writer.write(frame.span.bytes, time: Timestamp(nanoseconds: 1_700_000_000_123_456_789))
            #expect(writer.flush())
        }
        let port = try CapturePort(
            interface: InterfaceIndex(rawValue: 3), name: "file", input: file.path)
        let seen = everything(port)
        #expect(seen.map(\.bytes) == [frame])
        #expect(seen.first?.metadata.time.nanoseconds == 1_700_000_000_123_456_789)
        #expect(seen.first?.metadata.ingress == InterfaceIndex(rawValue: 3))
        #expect(port.condition == .exhausted)
        #expect(port.damage == nil)
    }

    @Test(
        "an IPv4 packet behind another link layer gets an Ethernet header",
        arguments: [
            101: [], 0: [2, 0, 0, 0], 113: [0, 0, 0, 1, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0],
        ] as [UInt8: [UInt8]])
    func linkLayers(_ linkType: UInt8, _ header: [UInt8]) throws {
        let file = try TemporaryFile(capture(linkType: linkType, header + bareIPv4))
        let port = try CapturePort(interface: .none, name: "file", input: file.path)
        let seen = everything(port)
        #expect(seen.count == 1)
        #expect(seen.first?.bytes == [UInt8](repeating: 0, count: 12) + [8, 0] + bareIPv4)
        #expect(seen.first?.metadata.wireLength == 34)
    }

    @Test("a link layer that carries no IP is handed over as something that is not IPv4")
    func unknownLinkLayer() throws {
        let file = try TemporaryFile(capture(linkType: 105, bareIPv4))
        let port = try CapturePort(interface: .none, name: "file", input: file.path)
        #expect(everything(port).map { Array($0.bytes[12...13]) } == [[0, 0]])
    }

    @Test("a file that ends inside a packet gives what it has and says where it broke")
    func truncated() throws {
        let whole = capture(linkType: 1, [UInt8](repeating: 1, count: 60))
        let file = try TemporaryFile(Array(whole.dropLast(10)))
        let port = try CapturePort(interface: .none, name: "file", input: file.path)
        #expect(everything(port).isEmpty)
        #expect(port.condition == .exhausted)
        #expect(port.damage?.contains("truncated") == true)
    }

    @Test("what is no capture is refused with the path and the reason")
    func refused() throws {
        let file = try TemporaryFile(Array("hello, this is a letter".utf8))
        for (path, reason) in [
            (file.path, "unknown file format"), ("/nonexistent/file", "No such file"),
            (FileManager.default.temporaryDirectory.path, "is a directory"),
        ] {
            do {
                _ = try CapturePort(interface: .none, name: "file", input: path)
                Issue.record("\(path) was accepted")
            } catch {
                #expect(error.description.contains(path))
                #expect(error.description.contains(reason))
            }
        }
    }

    @Test(
        "every shared capture is read to its end, whatever is wrong with it",
        .enabled(if: hasSharedCaptures, "the shared captures are not here"))
    func sharedFiles() throws {
        let manifest = try String(
            contentsOf: sharedCaptures.appending(path: "MANIFEST.tsv"), encoding: .utf8)
        var files = 0
        for line in manifest.split(separator: "\n").dropFirst() {
            let fields = line.split(separator: "\t", omittingEmptySubsequences: false)
            let path = sharedCaptures.appending(path: String(fields[0])).path
            files += 1
            let port: CapturePort
            do {
                port = try CapturePort(interface: .none, name: "file", input: path)
            } catch {
                continue
            }
            let seen = everything(port)
            #expect(seen.allSatisfy { $0.metadata.wireLength >= $0.bytes.count })
            #expect(port.statistics.receivedFrames == UInt64(seen.count))
            // The manifest has an error for a file that its own reader gave up on.
            if let count = Int(fields[5]), fields[16].isEmpty, port.damage == nil {
                #expect(seen.count == count, "\(fields[0])")
            }
        }
        #expect(files > 800)
    }
}

@Suite("Filter expressions")
struct PacketFilterTests {
    static let frame = [UInt8](repeating: 0, count: 12) + [8, 0] + bareIPv4

    @Test(
        "an expression matches as tcpdump's does",
        arguments: [
            ("", true), ("ip", true), ("ip6", false), ("src host 10.0.0.1", true),
            ("dst net 10.0.0.0/31", false), ("proto 59", true), ("tcp port 80", false),
            ("less 34", true), ("greater 35", false),
        ])
    func matching(_ expression: String, _ expected: Bool) throws {
        let filter = try PacketFilter(expression)
        let matched = filter.matches(Self.frame.span.bytes)
        #expect(matched == expected)
    }

    @Test("a frame that is too short for what is asked does not match")
    func short() throws {
        let filter = try PacketFilter("tcp port 80")
        for length in 0..<34 {
            let matched = filter.matches(Array(Self.frame.prefix(length)).span.bytes)
            #expect(!matched, "\(length) bytes")
        }
    }

    @Test("a mistake is refused with the expression and libpcap's own words")
    func mistakes() {
        do {
            _ = try PacketFilter("tcp prot 80")
            Issue.record("it was accepted")
        } catch {
            #expect(error.description.hasPrefix("filter 'tcp prot 80': "))
            #expect(error.message.contains("syntax error"))
        }
    }
}
