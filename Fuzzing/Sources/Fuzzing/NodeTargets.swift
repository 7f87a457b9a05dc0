// What comes from the kernel, from capture files and through the control socket.

import Foundation
import Glibc
import Wire

@testable import Control
@testable import Netlink
@testable import PacketIO
@testable import Routing

extension FuzzTarget {
    /// A capture file of any format that libpcap knows, read to its end.
    static let capture = FuzzTarget(name: "capture", seeds: CaptureSeeds.all) { bytes in
        let descriptor = captureFile
        promise(
            ftruncate(descriptor, 0) == 0
                && pwrite(descriptor, bytes, bytes.count, 0) == bytes.count,
            "the file is written")
        let interface = InterfaceIndex(rawValue: 2)
        guard
            let port = try? CapturePort(
                interface: interface, name: "eth0", input: "/proc/self/fd/\(descriptor)")
        else { return }
        while port.condition == .up {
            _ = port.receive(limit: 16, now: Timestamp(nanoseconds: 0)) { frame, metadata in
                promise(metadata.wireLength >= frame.byteCount, "a frame is no longer than it was")
                _ = PacketView.parse(frame.bytes)
            }
            port.releaseBatch()
        }
    }

    /// A file without a name, written anew for every input.
    private static let captureFile: Int32 = {
        var template = Array("/dev/shm/capture.XXXXXX".utf8CString)
        let descriptor = mkstemp(&template)
        promise(descriptor >= 0 && unlink(template) == 0, "memory for a file")
        return descriptor
    }()

    /// Datagrams as the kernel's routing socket sends them; what they say becomes a routing snapshot.
    static let netlink = FuzzTarget(name: "netlink", seeds: NetlinkSeeds.all) { bytes in
        var links: [Interface] = []
        var addresses: [InterfaceAddress] = []
        var routes: [Route] = []
        var rules: [PolicyRule] = []
        for message in NetlinkMessage.all(in: NetlinkBytes(ContiguousArray(bytes))) {
            if let link = Decode.link(message),
                !links.contains(where: { $0.index == link.interface.index })
            {
                links.append(link.interface)
            }
            if let address = Decode.address(message) { addresses.append(address) }
            if let route = Decode.route(message) { routes.append(route) }
            if let rule = Decode.rule(message) { rules.append(rule) }
            _ = Decode.neighbour(message)
        }
        rules.sort { $0.priority < $1.priority }
        let snapshot = RoutingSnapshot(
            interfaces: links, addresses: addresses, rules: rules + PolicyRule.defaults,
            routes: routes)
        let ends = [IPv4Address(10, 1, 0, 2), .any, .broadcast, .loopback]
        for source in ends {
            for destination in ends {
                var query = RouteQuery(source: source, destination: destination)
                _ = snapshot.route(output: query)
                query.inInterface = links.first?.index ?? InterfaceIndex(rawValue: 1)
                _ = snapshot.resolveInput(query)
            }
        }
        _ = HostRoutes.plan(
            snapshot: snapshot, hostPort: InterfaceIndex(rawValue: 9), table: 8300,
            adopted: Set(links.map(\.index)))
    }

    /// What a client sends through the control socket, in pieces.
    static let control = FuzzTarget(
        name: "control", seeds: controlSeeds,
        dictionary: [
            "{\"command\":\"", "\"arguments\":[", "\"workingDirectory\":\"/\"", "inputFailure",
        ]
    ) { bytes in
        var ends: [Int32] = [0, 0]
        promise(
            socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue), 0, &ends)
                == 0,
            "a pair of sockets")
        var limits = ControlLimits()
        limits.requestBytes = 600
        limits.inputBytes = 900
        let peer = Descriptor(owning: ends[1])
        let session = ControlSession(
            Descriptor(owning: ends[0]), peer: PeerCredentials(userID: 0, processID: 1),
            limits: limits, now: 0)
        // The first byte says how large the pieces are.
        let size = max(1, Int(bytes.first ?? 1))
        var rest = bytes.dropFirst()
        var now: UInt64 = 0
        while !rest.isEmpty, !session.isClosed {
            _ = peer.send(rest.prefix(size))
            rest = rest.dropFirst(size)
            now += 1
            if session.wantsRead, let request = session.receive(now: now) {
                promise(request.standardInput.count <= limits.inputBytes, "input has a limit")
                session.answer(.done(CommandOutput(output: request.command, status: 0)))
            }
            session.pump()
            session.flush(now: now)
        }
        session.close(nil)
    }

    private static var controlSeeds: [[UInt8]] {
        let request = Array(
            #"{"command":"iptables","arguments":["-L","-n"],"workingDirectory":"/"}"#.utf8)
        let whole =
            ControlProtocol.frame(.request, request) + ControlProtocol.frame(.input, [1, 2, 3])
            + ControlProtocol.frame(.end, [])
        return [[255] + whole, [3] + whole, [64] + ControlProtocol.frame(.status, [2])]
    }
}

/// Small captures: pcap in both byte orders, with every link layer that is read, and pcapng.
private enum CaptureSeeds {
    static var all: [[UInt8]] {
        let packet = SeedPacket.ipv4(SeedPacket.client, SeedPacket.server, 17, SeedPacket.udp(1, 2))
        let ethernet = [UInt8](repeating: 2, count: 12) + [8, 0] + packet
        let cooked = [UInt8](repeating: 0, count: 14) + [8, 0] + packet
        let cooked2 = [8, 0] + [UInt8](repeating: 0, count: 18) + packet
        let files = [
            (1, ethernet), (113, cooked), (276, cooked2), (101, packet),
            (0, [2, 0, 0, 0] + packet),
        ]
        return files.map { pcap(UInt32($0), $1, big: false) }
            + [pcap(1, ethernet, big: true), pcapng(ethernet)]
    }

    private static func words(_ values: [UInt32], big: Bool) -> [UInt8] {
        values.flatMap { value in
            let bytes = (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * UInt32($0))) }
            return big ? bytes.reversed() : bytes
        }
    }

    private static func pcap(_ link: UInt32, _ packet: [UInt8], big: Bool) -> [UInt8] {
        let version: UInt32 = big ? 2 << 16 | 4 : 4 << 16 | 2
        let count = UInt32(packet.count)
        let header = words([0xA1B2_C3D4, version, 0, 0, 65535, link], big: big)
        return header + words([7, 8, count, count + 9], big: big) + packet
    }

    private static func pcapng(_ packet: [UInt8]) -> [UInt8] {
        let padded = packet + [UInt8](repeating: 0, count: (4 - packet.count % 4) % 4)
        let count = UInt32(packet.count)
        let length = UInt32(32 + padded.count)
        return words([0x0A0D_0D0A, 28, 0x1A2B_3C4D, 1, .max, .max, 28], big: false)
            + words([1, 20, 1, 65535, 20], big: false)
            + words([6, length, 0, 0, 9, count, count], big: false) + padded
            + words([length], big: false)
    }
}

/// Messages as `ip monitor` would show them.
private enum NetlinkSeeds {
    static var all: [[UInt8]] {
        [link, address, route, multipath, rule, neighbour, link + address + route + rule]
    }

    private static func message(_ type: Int, _ header: [UInt8], _ attributes: [[UInt8]]) -> [UInt8]
    {
        var request = NetlinkRequest(type: type, flags: 0, header: header)
        for attribute in attributes {
            request.append(Int(attribute[0]), Array(attribute.dropFirst()))
        }
        return request.encoded(sequence: 1)
    }

    private static var link: [UInt8] {
        message(
            16, [0, 0, 1, 0, 2, 0, 0, 0, 0x43, 0x10, 0, 0, 0, 0, 0, 0],
            [
                [3] + Array("eth0".utf8) + [0], [1, 2, 0, 0, 0, 0, 1], [4, 0xDC, 5, 0, 0],
                [18, 9, 0, 1, 0] + Array("bridge".utf8) + [0, 0, 0],
                [26, 12, 0, 2, 0, 8, 0, 1, 0, 1, 0, 0, 0],
            ])
    }
    private static var address: [UInt8] {
        message(
            20, [2, 24, 0, 0, 2, 0, 0, 0],
            [[1, 10, 1, 0, 1], [2, 10, 1, 0, 1], [4, 10, 1, 0, 255]])
    }
    private static var route: [UInt8] {
        message(
            24, [2, 24, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0],
            [
                [1, 10, 3, 0, 0], [4, 2, 0, 0, 0], [5, 10, 1, 0, 2], [6, 10, 0, 0, 0],
                [8, 8, 0, 2, 0, 100, 5, 0, 0],
            ])
    }
    private static var multipath: [UInt8] {
        let hop: [UInt8] = [16, 0, 0, 1, 2, 0, 0, 0, 8, 0, 5, 0, 10, 1, 0, 2]
        return message(24, [2, 0, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0], [[9] + hop + hop])
    }
    private static var rule: [UInt8] {
        message(
            32, [2, 0, 24, 0, 0, 0, 0, 1, 0, 0, 0, 0],
            [
                [2, 10, 1, 0, 0], [6, 100, 0, 0, 0], [10, 7, 0, 0, 0], [15, 100, 0, 0, 0],
                [22, 6], [24, 80, 0, 90, 0], [3] + Array("lo".utf8) + [0],
            ])
    }
    private static var neighbour: [UInt8] {
        message(
            28, [2, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 1], [[1, 10, 1, 0, 2], [2, 2, 0, 0, 0, 0, 2]])
    }
}
