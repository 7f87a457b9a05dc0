// The kernel as the judge: a router of its own in a namespace, with two wires into a second
// namespace whose ends the tests hold as raw ports. Both are gone when the object is.

import Foundation
import FrameFixture
import Glibc
import NamespaceFixture
import PacketIO
import Testing
import Wire

@testable import Dataplane

/// `10.1.0.0/24` on r0 and `10.2.0.0/24` on r1; 10.1.0.2 and 10.2.0.2 are resolved for good.
final class KernelRouter {
    private let router: Namespace
    private let wires: Namespace
    private(set) var left: PacketPort
    private(set) var right: PacketPort
    let routerMAC: MACAddress

    init(_ commands: [String] = []) throws {
        router = try Namespace("router")
        wires = try Namespace("wires")
        for (near, far) in [("r0", "w0"), ("r1", "w1")] {
            try addLink(router, near, wires, far)
            for (namespace, end) in [(wires, far), (router, near)] {
                try namespace.shell(
                    "echo 1 > /proc/sys/net/ipv6/conf/\(end)/disable_ipv6; ip link set \(end) up")
            }
        }
        try router.shell(
            """
            ip addr add 10.1.0.1/24 dev r0; ip addr add 10.2.0.1/24 dev r1
            ip neigh add 10.1.0.2 lladdr 02:00:00:00:00:02 dev r0
            ip neigh add 10.2.0.2 lladdr 02:00:00:00:00:03 dev r1
            echo 1 > /proc/sys/net/ipv4/ip_forward
            echo 0 > /proc/sys/net/ipv4/icmp_ratemask
            """)
        for line in commands { try router.shell(line) }
        // Until the carrier is noticed, what the router sends is dropped.
        try router.shell(
            """
            for link in r0 r1; do
                until [ "$(cat /sys/class/net/$link/operstate)" = up ]; do :; done
            done
            """)
        routerMAC = MACAddress(try router.mac("r0"))!
        (left, right) = try wires.inside {
            (try PacketPort(interface: "w0"), try PacketPort(interface: "w1"))
        }
    }

    /// Sends a frame into the router through the left wire.
    func send(_ frame: TestFrame) {
        var frame = frame
        frame.targetMAC = routerMAC
        // The port refers to the bytes until it is flushed.
        let bytes = frame.bytes
        withExtendedLifetime(bytes) {
            left.enqueue(bytes.span.bytes, TransmitMetadata(time: Timestamp(nanoseconds: 0)))
            left.flush()
        }
    }

    /// The next `count` IPv4 packets that come out of `port`, checksums completed; fewer if they do
    /// not come in time.
    func packets(_ count: Int, from port: PacketPort, seconds: Double = 20) -> [[UInt8]] {
        var seen: [[UInt8]] = []
        let end = Date().addingTimeInterval(seconds)
        while seen.count < count, Date() < end {
            var request = pollfd(fd: port.descriptor, events: Int16(POLLIN), revents: 0)
            _ = unsafe poll(&request, 1, Int32(max(1, end.timeIntervalSinceNow * 1000)))
            _ = port.receive(limit: 64, now: Timestamp(nanoseconds: 0)) { frame, metadata in
                guard frame.byteCount > 34, frame.u16(12) == EtherType.ipv4.rawValue else { return }
                let end = 14 + Int(frame.u16(16))
                _ = frame.completeChecksum(metadata.offload, end: end)
                seen.append((14..<end).map { frame.u8($0) })
            }
            port.releaseBatch()
        }
        return seen
    }
}
