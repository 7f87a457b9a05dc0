import Dataplane
import Foundation
import Glibc
import NamespaceFixture
import Testing
import Wire

@testable import PacketIO

@Suite("TAP ports", .enabled(if: isRoot, needsRoot))
struct TapPortTests {
    @Test("frames go both ways, with their partial checksums")
    func bothWays() throws {
        let namespace = try Namespace("t")
        let port = try namespace.inside { try TapPort(name: "vm0") }
        try namespace.run("ip", "addr", "add", "10.9.0.1/24", "dev", "vm0")
        try namespace.run(
            "ip", "neigh", "add", "10.9.0.2", "lladdr", "02:00:00:00:00:02", "dev", "vm0")
        let socat = try BackgroundProcess(
            in: namespace, "sh", "-c", "echo hello | socat -T 4 - UDP4:10.9.0.2:7",
            awaitLine: false)
        let out = try #require(first(port) { $0.bytes.count > 42 && $0.bytes[12...13] == [8, 0] })
        #expect(out.bytes.prefix(6) == [2, 0, 0, 0, 0, 2])
        #expect(out.metadata.offload.needsChecksum, "the kernel left the checksum to the device")
        #expect(out.metadata.offload.checksumStart == 34)
        #expect(String(decoding: out.bytes[42...], as: UTF8.self) == "hello\n")

        // Back as it came, with its ends exchanged: the echo is printed by the sender.
        var echo = out.bytes
        echo.replaceSubrange(0..<12, with: out.bytes[6..<12] + out.bytes[0..<6])
        echo.replaceSubrange(26..<34, with: out.bytes[30..<34] + out.bytes[26..<30])
        echo.replaceSubrange(34..<38, with: out.bytes[36..<38] + out.bytes[34..<36])
        send(echo, on: port, offload: out.metadata.offload)
        #expect(socat.wait() == "hello\n")
        #expect(port.statistics.sentFrames == 1)
        #expect(port.statistics.receivedFrames >= 1)
    }

    @Test("the device is gone with the port, and a taken name is refused")
    func lifetime() throws {
        let namespace = try Namespace("t")
        do {
            let port = try namespace.inside { try TapPort(name: "vm0") }
            #expect(port.interface != .none)
            #expect {
                try namespace.inside { try TapPort(name: "vm0") }
            } throws: { error in
                (error as? SystemError)?.code == EBUSY
            }
        }
        #expect(throws: CommandFailure.self) { try namespace.run("ip", "link", "show", "vm0") }
    }

    @Test("a device that is down or deleted is a condition of its port")
    func conditions() throws {
        let namespace = try Namespace("t")
        let port = try namespace.inside { try TapPort(name: "vm0") }
        let frame = [UInt8](repeating: 0, count: 60)
        try namespace.run("ip", "link", "set", "vm0", "down")
        send(frame, on: port)
        #expect(port.condition == .down)
        try namespace.run("ip", "link", "set", "vm0", "up")
        send(frame, on: port)
        #expect(port.condition == .up)
        try namespace.run("ip", "link", "del", "vm0")
        send(frame, on: port)
        #expect(port.condition == .gone)
        #expect(port.statistics.failedSends == 2)
    }
}
