// AF_XDP ports between namespaces: what their program diverts and what it leaves to the tap, forwarding without
// a copy, what becomes of checksums and super-frames, and how chunks of memory come back.

import CAllocationCount
import Dataplane
import Foundation
import FrameFixture
import Glibc
import NamespaceFixture
import Testing
import Wire

@testable import PacketIO

/// AF_XDP ports of one node with their claims, and a heart that beats.
final class Diverted {
    let ports: [XDPPort]
    let umem: Umem
    let programs: NodePrograms
    let claims: [Claim]
    private let beating: Beating

    /// In the namespace of the calling thread.
    init(_ interfaces: String..., sockets: Int? = nil) throws {
        let programs = try NodePrograms()
        beating = Beating(programs.heartbeat)
        let umem = try Umem(
            sockets: sockets ?? interfaces.reduce(0) { $0 + XDPPort.sockets(for: $1) })
        ports = try interfaces.map { try XDPPort(interface: $0, programs: programs, umem: umem) }
        claims = try ports.map { try programs.claim($0) }
        self.programs = programs
        self.umem = umem
    }

    func stop() { beating.stop() }
    deinit { beating.stop() }
}

/// A UDP datagram with a complete checksum to the interface with the given address.
private func datagram(to target: MACAddress, payload: [UInt8] = [1, 2, 3, 4]) -> [UInt8] {
    var frame = ipv4Frame(
        IPv4Address(10, 9, 0, 1), IPv4Address(10, 9, 0, 2), .udp,
        [0x30, 0x39, 0, 7, 0, UInt8(8 + payload.count), 0, 0] + payload)
    frame.withMutableRawSpan { bytes in
        bytes.set(target, at: 0)
        var sum = InternetChecksum()
        sum.addPseudoHeader(
            source: IPv4Address(10, 9, 0, 1), destination: IPv4Address(10, 9, 0, 2),
            protocol: .udp, length: 8 + payload.count)
        sum.add(bytes.bytes, 34..<bytes.byteCount)
        bytes.set(sum.complemented, at: 40)
    }
    return frame
}

@Suite("AF_XDP ports", .enabled(if: isRoot, needsRoot))
struct XDPPortTests {
    @Test("a veth runs the program natively; IPv4 is diverted, ARP stays the kernel's")
    func diverts() throws {
        let wire = try Wire2()
        try wire.right.inside {
            let node = try Diverted("b0")
            let port = node.ports[0]
            #expect(port.mode == .copy)
            #expect(isSilent(wire))
            let neighbours = try wire.left.run("ip", "neigh", "show", "10.9.0.2")
            #expect(neighbours.contains("lladdr"), "ARP was answered by the kernel: \(neighbours)")
            let echo = try #require(first(port) { $0.bytes[23] == 1 })
            #expect(echo.metadata.ingress == port.interface)
            #expect(port.tap.statistics.receivedFrames == 0, "nothing of it came by the tap")
            #expect(node.claims[0].statistics.claimed == 0)

            port.stopDiverting()
            #expect(isSilent(wire), "the claim still holds the interface")
            #expect(port.tap.statistics.receivedFrames == 0)
            #expect(first(port) { $0.bytes[23] == 1 } != nil)
            #expect(port.tap.statistics.receivedFrames > 0, "now the tap has it")
            node.claims[0].detach()
            #expect(answers(wire))
        }
    }

    @Test("a stale heartbeat passes everything to the kernel, and the sockets take nothing")
    func staleHeartbeat() throws {
        let wire = try Wire2()
        try wire.right.inside {
            let node = try Diverted("b0")
            #expect(isSilent(wire))
            _ = collect(node.ports[0])
            node.stop()
            node.programs.heartbeat.stop()
            #expect(answers(wire))
            #expect(collect(node.ports[0], milliseconds: 0).isEmpty)
        }
    }

    @Test("a datagram of a local socket is known for its partial checksum, and sent on complete")
    func partialChecksum() throws {
        let wire = try Wire2()
        let node = try wire.right.inside { try Diverted("b0") }
        let port = node.ports[0]
        try checkPartialChecksum(wire, port, port)
    }

    @Test("complete checksums and wrong ones come through as they are, without a mark")
    func otherChecksums() throws {
        let wire = try Wire2()
        let sender = try wire.left.inside { try PacketPort(interface: "a0") }
        let node = try wire.right.inside { try Diverted("b0") }
        let target = try #require(MACAddress(wire.right.mac("b0")))
        let good = datagram(to: target)
        var wrong = good
        wrong[40] ^= 0x55
        for frame in [good, wrong] {
            send(frame, on: sender)
            let seen = try #require(first(node.ports[0]) { $0.bytes == frame })
            #expect(!seen.metadata.offload.needsChecksum)
        }
    }

    @Test(
        "TCP with every offload on crosses two ports without a copy, and every byte arrives",
        arguments: [false, true])
    func transfer(withQueues: Bool) throws {
        let wire = try RoutedWire()
        try wire.node.run("sysctl", "-qw", "net.ipv4.ip_forward=0")
        if withQueues {
            for (host, link) in [(wire.client, "a0"), (wire.node, "a1")] {
                try host.run("ethtool", "-L", link, "rx", "2", "tx", "2")
            }
        }
        let file = try TemporaryFile()
        try run("sh", "-c", "head -c 30000000 /dev/urandom > \(file.path)")
        let received = try TemporaryFile()
        let node = try wire.node.inside { try Diverted("a1", "b1") }
        #expect(node.ports.map(\.mode) == [.copy, .copy])
        #expect(node.ports.map(\.queueCount) == [withQueues ? 2 : 1, 1])
        let chunks = node.umem.freeCount
        let neighbours = try [wire.client.mac("a0"), wire.server.mac("b0")].map {
            try #require(MACAddress($0))
        }
        let sources = try node.ports.map { try $0.tap.address() }
        let server = try BackgroundProcess(
            in: wire.server, "socat", "-T", "10", "-u", "TCP-LISTEN:9000", "OPEN:\(received.path)",
            awaitLine: false)
        let client = try BackgroundProcess(
            in: wire.client, "socat", "-T", "10", "-u", "FILE:\(file.path)",
            "TCP:10.9.2.2:9000,retry=50,interval=0.1", awaitLine: false)
        var longest = 0
        while client.isRunning || server.isRunning {
            for side in 0...1 {
                var request = pollfd(
                    fd: node.ports[side].descriptor, events: Int16(POLLIN), revents: 0)
                _ = unsafe poll(&request, 1, 1)
                let other = node.ports[1 - side]
                _ = node.ports[side].receive(limit: 256, now: testTime) { frame, metadata in
                    longest = max(longest, frame.byteCount)
                    frame.set(neighbours[1 - side], at: 0)
                    frame.set(sources[1 - side], at: 6)
                    other.enqueue(
                        frame.bytes, TransmitMetadata(offload: metadata.offload, time: testTime))
                }
                other.flush()
                node.ports[side].releaseBatch()
            }
        }
        #expect(try received.sha256() == file.sha256())
        // With a program on the veth the kernel cuts super-frames for it.
        #expect(longest == 1514)
        for port in node.ports {
            #expect(port.statistics.failedSends == 0)
            #expect(port.tap.statistics.receivedFrames == 0)
        }
        // What was in flight comes back, and nothing else is missing.
        for port in node.ports { port.releaseBatch() }
        #expect(node.umem.freeCount <= chunks)
        #expect(node.umem.freeCount > chunks - Umem.chunksPerSocket)
    }

    /// Puts the right end into a bridge that takes its address over, and waits until that answers.
    private func putIntoBridge(_ wire: Wire2) throws {
        for command in [
            "link add br0 type bridge", "addr flush dev b0", "link set b0 master br0",
            "addr add 10.9.0.2/24 dev br0", "link set br0 up",
        ] {
            try wire.right.run("sh", "-c", "ip \(command)")
        }
        #expect(timeUntilAnswered(wire, limit: 20) != nil)
    }

    @Test("a bridge and the loopback run the program in generic mode")
    func generic() throws {
        let wire = try Wire2()
        try putIntoBridge(wire)
        try wire.right.inside {
            let node = try Diverted("br0", "lo")
            #expect(node.ports.map(\.mode) == [.generic, .generic])
            #expect(isSilent(wire))
            #expect(first(node.ports[0]) { $0.bytes[23] == 1 } != nil)
            #expect(node.ports[0].tap.statistics.receivedFrames == 0)
        }
    }

    @Test("what goes back on a loopback reaches the kernel, all else the port")
    func loopback() throws {
        let namespace = try Namespace("lo")
        try namespace.run(
            "sysctl", "-qw", "net.ipv4.conf.lo.accept_local=1", "net.ipv4.conf.lo.route_localnet=1")
        try namespace.inside {
            let node = try Diverted("lo")
            let port = node.ports[0]
            let ping = try BackgroundProcess(
                in: namespace, "ping", "-c", "1", "-W", "5", "127.0.0.1", awaitLine: false)
            // Request and reply cross the interface once each; both go back unchanged.
            for type in [UInt8(8), 0] {
                let frame = try #require(
                    first(port) { $0.bytes.count > 34 && $0.bytes[34] == type })
                send(frame.bytes, on: port, offload: frame.metadata.offload)
            }
            #expect(ping.wait().contains(" 0% packet loss"))
            #expect(node.claims[0].statistics.own == 2)
            #expect(node.claims[0].statistics.claimed == 0)
            #expect(port.tap.statistics.receivedFrames == 0)
        }
    }

    @Test("on a bridge super-frames come by the tap with their headers, small frames by the socket")
    func superFramesOnABridge() throws {
        let wire = try Wire2()
        try putIntoBridge(wire)
        let node = try wire.right.inside { try Diverted("br0") }
        let port = node.ports[0]
        // UDP_SEGMENT (103): three datagrams of 400 bytes in one frame that a chunk could hold.
        try wire.left.run(
            "python3", "-c",
            """
            import socket
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.setsockopt(17, 103, 400)
            s.sendto(b'x' * 1200, ('10.9.0.2', 9))
            """)
        let seen = try #require(first(port) { $0.bytes[23] == 17 })
        #expect(seen.bytes.count == 42 + 1200)
        #expect(seen.metadata.offload.isSuperFrame)
        #expect(seen.metadata.offload.segmentSize == 400)
        #expect(port.tap.statistics.receivedFrames == 1)
    }

    @Test("a frame that generic mode has copied is claimed, whatever stands where addresses do not")
    func copiedFrames() throws {
        let wire = try Wire2()
        try wire.right.run("ip", "link", "add", "br0", "type", "bridge")
        try wire.right.run("ip", "link", "set", "b0", "master", "br0")
        try wire.right.run("ip", "link", "set", "br0", "up")
        let node = try wire.right.inside { try Diverted("br0") }
        let sender = try wire.left.inside { try PacketPort(interface: "a0") }
        // TCP, which stays with the tap here. A bridge forwards nothing from an address of zeros.
        var frame = ipv4Frame(
            IPv4Address(10, 9, 0, 1), IPv4Address(10, 9, 0, 2), .tcp,
            [UInt8](repeating: 0xEE, count: 40))
        frame[6] = 2
        let address = try node.ports[0].tap.address()
        frame.withMutableRawSpan { $0.set(address, at: 0) }
        var seen: [Seen] = []
        // The bridge's port takes a while to forward.
        let end = Date().addingTimeInterval(20)
        while seen.isEmpty, Date() < end {
            send(frame, on: sender)
            seen = collect(node.ports[0], milliseconds: 100)
        }
        #expect(seen.first?.bytes == frame)
        let taken = node.ports[0].tap.statistics.receivedFrames
        #expect(taken > 0)
        #expect(node.claims[0].statistics.claimed == taken)
    }

    @Test("a new address of the interface is followed; until then the tap has its frames")
    func newAddress() throws {
        let wire = try Wire2()
        let node = try wire.right.inside { try Diverted("b0") }
        let port = node.ports[0]
        let sender = try wire.left.inside { try PacketPort(interface: "a0") }
        try wire.right.run("ip", "link", "set", "b0", "address", "02:00:00:00:00:99")
        let address = MACAddress(rawValue: 0x0200_0000_0099)
        let frame = datagram(to: address)
        send(frame, on: sender)
        #expect(first(port) { $0.bytes == frame } != nil)
        #expect(port.tap.statistics.receivedFrames == 1)
        port.follow(address: address, mtu: 1500)
        send(frame, on: sender)
        #expect(first(port) { $0.bytes == frame } != nil)
        #expect(port.tap.statistics.receivedFrames == 1)
    }

    @Test("TCP stays with the tap where its segments may be too long for a chunk")
    func longSegments() throws {
        let wire = try Wire2()
        let node = try wire.right.inside { try Diverted("b0") }
        let port = node.ports[0]
        let sender = try wire.left.inside { try PacketPort(interface: "a0") }
        var frame = datagram(to: try #require(MACAddress(wire.right.mac("b0"))))
        // The protocol; nobody here looks at checksums.
        frame[23] = 6
        for (mtu, viaTap) in [(1500, UInt64(0)), (9000, 1), (1500, 1)] {
            port.follow(address: try port.tap.address(), mtu: mtu)
            send(frame, on: sender)
            #expect(first(port) { $0.bytes == frame } != nil)
            #expect(port.tap.statistics.receivedFrames == viaTap)
        }
    }

    @Test("an interface that is down loses its frames at once, and sends again when it is up")
    func down() throws {
        let wire = try Wire2()
        let node = try wire.right.inside { try Diverted("b0") }
        let port = node.ports[0]
        let receiver = try wire.left.inside { try PacketPort(interface: "a0") }
        let chunks = node.umem.freeCount
        let frame = datagram(to: .broadcast)
        try wire.right.run("ip", "link", "set", "b0", "down")
        for _ in 0..<3 { port.enqueue(frame.span.bytes, TransmitMetadata(time: testTime)) }
        port.flush()
        #expect(port.condition == .down)
        #expect(port.statistics.failedSends == 3)
        #expect(port.statistics.sentFrames == 0)
        #expect(node.umem.freeCount == chunks)
        try wire.right.run("ip", "link", "set", "b0", "up")
        let late = datagram(to: .broadcast, payload: [9])
        send(late, on: port)
        #expect(
            first(receiver) { $0.bytes.count >= late.count && $0.bytes[23] == 17 }?.bytes == late)
    }

    @Test("a second program on the interface is refused with a sentence")
    func otherProgram() throws {
        let wire = try Wire2()
        try wire.right.inside {
            let node = try Diverted("b0")
            #expect {
                try XDPPort(interface: "b0", programs: node.programs, umem: node.umem)
            } throws: { error in
                "\(error)".contains("which has another XDP program already")
            }
        }
    }

    @Test("chunks come back when a port is closed, and the next port has them")
    func closing() throws {
        let wire = try Wire2()
        try wire.right.inside {
            let programs = try NodePrograms()
            let umem = try Umem(sockets: 1)
            let all = umem.freeCount
            for _ in 0..<3 {
                let port = try XDPPort(interface: "b0", programs: programs, umem: umem)
                #expect(umem.freeCount == all - XDPSocket.ringSize)
                withExtendedLifetime(port) {}
            }
            #expect(umem.freeCount == all)
        }
    }

    @Test(
        "a frame from port to port allocates nothing",
        .enabled(if: sluice_counts_allocations(), "a sanitizer owns malloc"))
    func allocations() throws {
        let wire = try RoutedWire()
        let sender = try wire.client.inside { try PacketPort(interface: "a0") }
        let node = try wire.node.inside { try Diverted("a1", "b1") }
        let target = try #require(MACAddress(wire.node.mac("a1")))
        let frame = datagram(to: target)
        func round(_ count: Int) -> Int {
            for _ in 0..<count {
                sender.enqueue(frame.span.bytes, TransmitMetadata(time: testTime))
            }
            sender.flush()
            let before = sluice_allocation_count()
            var seen = 0
            while seen < count {
                seen += node.ports[0].receive(limit: 64, now: testTime) { frame, metadata in
                    node.ports[1].enqueue(
                        frame.bytes, TransmitMetadata(offload: metadata.offload, time: testTime))
                }
                node.ports[1].flush()
                for port in node.ports { port.releaseBatch() }
            }
            return Int(sluice_allocation_count() - before)
        }
        _ = round(10)
        // Calls may allocate, frames may not: a hundred times as many frames need no more.
        #expect(round(1000) < 100)
    }
}
