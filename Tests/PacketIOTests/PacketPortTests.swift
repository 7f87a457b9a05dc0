import CLinux
import Dataplane
import Foundation
import Glibc
import NamespaceFixture
import Testing
import Wire

@testable import PacketIO

/// A copied frame, for looking at after its batch is gone.
struct Seen {
    var bytes: [UInt8]
    var metadata: FrameMetadata
}

let testTime = Timestamp(nanoseconds: 1)

/// Waits until the port is readable and copies what it has; empty after `milliseconds`.
func collect(
    _ port: any FramePort, milliseconds: Int32 = 2000, now: Timestamp = MonotonicClock.now()
) -> [Seen] {
    var request = pollfd(fd: port.descriptor, events: Int16(POLLIN), revents: 0)
    _ = unsafe poll(&request, 1, milliseconds)
    var seen: [Seen] = []
    _ = port.receive(limit: 64, now: now) { frame, metadata in
        seen.append(Seen(bytes: MemoryPort.copy(frame.bytes), metadata: metadata))
    }
    port.releaseBatch()
    return seen
}

/// Collects until a frame satisfies `predicate`; nil after ten seconds without one.
func first(_ port: any FramePort, where predicate: (Seen) -> Bool) -> Seen? {
    let end = Date().addingTimeInterval(10)
    while Date() < end {
        if let found = collect(port, milliseconds: 200).first(where: predicate) { return found }
    }
    return nil
}

func send(_ bytes: [UInt8], on port: any FramePort, offload: OffloadHeader = .none) {
    port.enqueue(bytes.span.bytes, TransmitMetadata(offload: offload, time: testTime))
    port.flush()
}

/// A datagram of a local socket on the left arrives at `port` with the mark of a partial checksum, and what is sent
/// back with it by `back` is delivered.
func checkPartialChecksum(_ wire: Wire2, _ port: any FramePort, _ back: any FramePort) throws {
    try wire.left.run("sh", "-c", "echo hello | socat -u - UDP4:10.9.0.2:7")
    let seen = try #require(first(port) { $0.bytes.count == 48 && $0.bytes[23] == 17 })
    #expect(seen.metadata.offload.needsChecksum)
    #expect(seen.metadata.offload.checksumStart == 34)
    #expect(seen.metadata.offload.checksumOffset == 6)
    // To a socket that verifies checksums: one that was finished wrongly would not be delivered.
    let listener = try BackgroundProcess(
        in: wire.left, "socat", "-u", "UDP4-RECV:7", "STDOUT", awaitLine: false)
    var echo = seen.bytes
    echo.replaceSubrange(0..<12, with: seen.bytes[6..<12] + seen.bytes[0..<6])
    echo.replaceSubrange(26..<34, with: seen.bytes[30..<34] + seen.bytes[26..<30])
    while try !wire.left.run("ss", "-Hlun").contains(":7 ") {}
    send(echo, on: back, offload: seen.metadata.offload)
    #expect(listener.line() == "hello\n")
    #expect(back.statistics.sentFrames == 1)
}

/// Two namespaces and a wire.
struct Wire2 {
    let left: Namespace
    let right: Namespace

    init() throws {
        left = try Namespace("l")
        right = try Namespace("r")
        try link(left, "a0", right, "b0")
        try left.run("ip", "addr", "add", "10.9.0.1/24", "dev", "a0")
        try right.run("ip", "addr", "add", "10.9.0.2/24", "dev", "b0")
    }
}

@Suite("AF_PACKET ports", .enabled(if: isRoot, needsRoot))
struct PacketPortTests {
    @Test(
        "a frame sent on one end of a veth is received on the other",
        arguments: PacketPort.Ring.allCases)
    func roundTrip(_ ring: PacketPort.Ring) throws {
        let wire = try Wire2()
        let sender = try wire.left.inside { try PacketPort(interface: "a0", ring: ring) }
        let receiver = try wire.right.inside { try PacketPort(interface: "b0", ring: ring) }
        var frame = [UInt8](repeating: 0xAB, count: 200)
        frame.replaceSubrange(0..<14, with: [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xB5])
        send(frame, on: sender)
        let before = MonotonicClock.now()
        let seen = try #require(first(receiver) { $0.bytes.starts(with: frame.prefix(14)) })
        #expect(seen.metadata.time >= before)
        #expect(seen.bytes == frame)
        #expect(seen.metadata.ingress == receiver.interface)
        #expect(sender.statistics.sentFrames == 1)
        #expect(receiver.statistics.receivedFrames >= 1)
    }

    @Test("a datagram of a local socket arrives with its partial checksum, and may be sent on so")
    func partialChecksum() throws {
        let wire = try Wire2()
        let port = try wire.right.inside { try PacketPort(interface: "b0") }
        let back = try wire.right.inside { try PacketPort(interface: "b0") }
        try checkPartialChecksum(wire, port, back)
    }

    @Test(
        "a bulk transfer crosses a forwarder in super-frames, and every byte arrives",
        arguments: PacketPort.Ring.allCases)
    func superFrames(_ ring: PacketPort.Ring) throws {
        let wire = try RoutedWire()
        try wire.node.run("sysctl", "-qw", "net.ipv4.ip_forward=0")
        let file = try TemporaryFile()
        try run("sh", "-c", "head -c 100000000 /dev/urandom > \(file.path)")
        let received = try TemporaryFile()
        let server = try BackgroundProcess(
            in: wire.server, "socat", "-T", "10", "-u", "TCP-LISTEN:9000", "OPEN:\(received.path)",
            awaitLine: false)
        let client = try BackgroundProcess(
            in: wire.client, "socat", "-T", "10", "-u", "FILE:\(file.path)",
            "TCP:10.9.2.2:9000,retry=50,interval=0.1", awaitLine: false)
        let largest = try wire.node.inside {
            try forward(wire, ring, while: { client.isRunning || server.isRunning })
        }
        #expect(try received.sha256() == file.sha256())
        #expect(largest > 60_000, "the largest frame had \(largest) bytes")
    }

    /// Forwards between the node's two interfaces; returns the length of the longest frame.
    private func forward(
        _ wire: RoutedWire, _ ring: PacketPort.Ring, while running: () -> Bool
    ) throws -> Int {
        let programs = try NodePrograms()
        programs.heartbeat.beat(at: MonotonicClock.now())
        let ports = try ["a1", "b1"].map {
            try PacketPort(interface: $0, filter: programs.tapFilter, ring: ring)
        }
        let claims = try ports.map { try programs.claim($0) }
        let neighbours = try [wire.client.mac("a0"), wire.server.mac("b0")].map {
            try #require(MACAddress($0))
        }
        let sources = try ports.map { try $0.address() }
        var largest = 0
        while running() {
            var requests = ports.map {
                pollfd(fd: $0.descriptor, events: Int16(POLLIN), revents: 0)
            }
            _ = unsafe poll(&requests, 2, 50)
            let now = MonotonicClock.now()
            programs.heartbeat.beat(at: now)
            for side in 0...1 {
                let other = 1 - side
                _ = ports[side].receive(limit: 256, now: now) { frame, metadata in
                    largest = max(largest, frame.byteCount)
                    frame.set(neighbours[other], at: 0)
                    frame.set(sources[other], at: 6)
                    ports[other].enqueue(
                        frame.bytes, TransmitMetadata(offload: metadata.offload, time: now))
                }
                ports[other].flush()
                ports[side].releaseBatch()
            }
        }
        for port in ports { #expect(port.statistics.failedSends == 0) }
        for claim in claims { claim.detach() }
        return largest
    }

    @Test("frames that find the ring full are counted", arguments: PacketPort.Ring.allCases)
    func overruns(_ ring: PacketPort.Ring) throws {
        let wire = try Wire2()
        let sender = try wire.left.inside { try PacketPort(interface: "a0") }
        let receiver = try wire.right.inside { try PacketPort(interface: "b0", ring: ring) }
        // V3 packs frames: these fill its 16 MB too.
        let frame = [UInt8](repeating: 0xFF, count: 1500)
        for _ in 0..<20_000 {
            sender.enqueue(frame.span.bytes, TransmitMetadata(time: testTime))
        }
        sender.flush()
        var count = 0
        var batch = 0
        repeat {
            batch = receiver.receive(limit: 256, now: testTime) { _, _ in }
            receiver.releaseBatch()
            count += batch
        } while batch > 0
        let statistics = receiver.statistics
        #expect(sender.statistics.sentFrames == 20_000)
        #expect(statistics.overruns > 1000)
        #expect(UInt64(count) == statistics.receivedFrames)
        #expect(statistics.receivedFrames + statistics.overruns >= 20_000)
        #expect(receiver.statistics.overruns == statistics.overruns, "counters only grow")
    }

    @Test("an interface that goes down and up, and one that is removed, are conditions of the port")
    func vanishing() throws {
        let wire = try Wire2()
        let sender = try wire.left.inside { try PacketPort(interface: "a0") }
        let port = try wire.right.inside { try PacketPort(interface: "b0") }
        let frame = [UInt8](repeating: 0xFF, count: 100)
        try wire.right.run("ip", "link", "set", "b0", "down")
        while port.condition == .up { _ = collect(port, milliseconds: 100) }
        #expect(port.condition == .down)
        send(frame, on: port)
        #expect(port.statistics.failedSends == 1)

        try wire.right.run("ip", "link", "set", "b0", "up")
        send(frame, on: sender)
        #expect(first(port) { $0.bytes == frame } != nil)
        #expect(port.condition == .up)

        try wire.right.run("ip", "link", "del", "b0")
        try wire.right.inside {
            while port.condition != .gone { _ = collect(port, milliseconds: 100) }
        }
        send(frame, on: port)
        #expect(port.condition == .gone || port.condition == .down)
        #expect(port.statistics.failedSends == 2)
        #expect {
            try wire.right.inside { try PacketPort(interface: "b0") }
        } throws: { error in
            (error as? SystemError)?.description == "cannot find the interface (b0): No such device"
        }
    }

    @Test("a frame that the interface cannot take is counted, and those behind it are sent")
    func refusedFrame() throws {
        let wire = try Wire2()
        let sender = try wire.left.inside { try PacketPort(interface: "a0") }
        let receiver = try wire.right.inside { try PacketPort(interface: "b0") }
        let giant = [UInt8](repeating: 0xFE, count: 9000)
        let small = [UInt8](repeating: 0xFF, count: 100)
        for frame in [giant, small] {
            sender.enqueue(frame.span.bytes, TransmitMetadata(time: testTime))
            sender.flush()
        }
        #expect(first(receiver) { $0.bytes == small } != nil)
        #expect(sender.statistics.failedSends == 1)
        #expect(sender.statistics.sentFrames == 1)
        #expect(sender.condition == .up)
    }
}
