// The host as a port: `sluice0`, a TAP without ARP whose frames are the packets of the node's own sockets.
//
// Received frames have no Ethernet header to speak of: its addresses carried the socket's mark and user,
// which are in the metadata. Whoever forwards the frame writes the header. Sent frames appear to the
// kernel's sockets on the interface that `TransmitMetadata.appearsOn` names. Routes that lead the host's
// packets here are none of this port's business.

import BPFPrograms
import CBPF
import CFlowABI
import CLinux
public import Dataplane
import Glibc
public import Wire

/// What the programs of the host port did so far.
public struct HostPortStatistics: Hashable, Sendable {
    /// Packets handed to the interface on which they were to appear.
    public var delivered: UInt64 = 0
    /// Packets of the host that went past Sluice because the heartbeat was stale.
    public var rerouted: UInt64 = 0
    /// Frames that are not IPv4 or carried no interface.
    public var discarded: UInt64 = 0
}

@safe public final class HostPort: FramePort {
    public static let defaultName = "sluice0"
    /// The largest a TAP takes (65 535 less an Ethernet header). Routes carry the MTU that counts.
    public static let maximumTransmissionUnit: Int32 = 65_521

    public let interface: InterfaceIndex
    public let name: String
    public let descriptor: Int32
    public private(set) var condition: PortCondition = .up

    private var device: TapDevice
    private let module: BPFModule
    private let links: [Int32]
    private var counters = PortStatistics()

    /// LOOPBACK_IFINDEX: the loopback interface has this index in every namespace.
    private static let loopback = InterfaceIndex(rawValue: 1)

    /// Makes the device in the calling thread's namespace; it is gone with this object or the process.
    public init(name: String = HostPort.defaultName, programs: NodePrograms) throws {
        let module = try BPFModule(
            .host, sharing: ["heartbeat": programs.module.map("heartbeat")])
        let device = try TapDevice(name: name)
        try check(
            unsafe sluice_interface_set_mtu(name, Self.maximumTransmissionUnit), "set the MTU",
            on: name)
        // The program that reroutes asks for a route as if the packet came in here; the kernel gives
        // none for an interface that does not forward.
        try setting("net/ipv4/conf/\(name)/forwarding", to: "1")
        // No link, no neighbours: without IPv6 there is nothing to send but the host's packets.
        try? setting("net/ipv6/conf/\(name)/disable_ipv6", to: "1")
        let index = device.interface.rawValue
        let out = try module.attach("sluice_host_out", to: index, .egress)
        do {
            links = [out, try module.attach("sluice_host_in", to: index, .ingress)]
            // A frame that came before the programs would be read as if its addresses were a sender.
            try device.bringUp(arp: false)
        } catch {
            close(out)
            throw error
        }
        interface = device.interface
        descriptor = device.descriptor
        self.device = device
        self.module = module
        self.name = name
    }

    deinit { for link in links { close(link) } }

    public var statistics: PortStatistics {
        counters.overruns = unsafe sluice_interface_transmit_drops(name)
        return counters
    }

    public var programStatistics: HostPortStatistics {
        var key: UInt32 = 0
        var values = [sluice_host_counters](
            repeating: sluice_host_counters(), count: Int(libbpf_num_possible_cpus()))
        guard unsafe bpf_map_lookup_elem(module.map("host_counters"), &key, &values) == 0 else {
            return HostPortStatistics()
        }
        return values.reduce(into: HostPortStatistics()) { sum, value in
            sum.delivered += value.delivered
            sum.rerouted += value.rerouted
            sum.discarded += value.discarded
        }
    }

    public func receive(
        limit: Int, now: Timestamp, _ body: (inout MutableRawSpan, FrameMetadata) -> Void
    ) -> Int {
        var count = 0
        reading: while count < limit {
            switch device.read() {
            case .empty:
                break reading
            case .failed(let error):
                condition = device.condition(after: error) ?? condition
                break reading
            case .frame(let frame):
                count &+= 1
                condition = .up
                counters.receivedBytes &+= UInt64(frame.byteCount)
                var span = unsafe MutableRawSpan(
                    _unsafeStart: frame.start, byteCount: frame.byteCount)
                let metadata = metadata(of: span.bytes, frame.offload, now)
                body(&span, metadata)
            }
        }
        counters.receivedFrames &+= UInt64(count)
        return count
    }

    /// Reads what `sluice_host_out` wrote over the Ethernet addresses. A TAP gives no frame that is shorter
    /// than an Ethernet header.
    private func metadata(
        of frame: RawSpan, _ offload: OffloadHeader, _ now: Timestamp
    ) -> FrameMetadata {
        let somebody = { (number: UInt32) in number == UInt32(SLUICE_NOBODY) ? nil : number }
        return FrameMetadata(
            ingress: interface, offload: offload, mark: frame.u32(0),
            userID: somebody(frame.u32(4)), groupID: somebody(frame.u32(8)), time: now,
            wireLength: frame.byteCount)
    }

    /// Writes at once: a TAP has no call for many frames.
    public func enqueue(_ frame: RawSpan, _ metadata: TransmitMetadata) {
        let error = write(frame, metadata)
        guard error == 0 else {
            counters.failedSends &+= 1
            condition = device.condition(after: error) ?? condition
            return
        }
        condition = .up
        counters.sentFrames &+= 1
        counters.sentBytes &+= UInt64(frame.byteCount)
    }

    private func write(_ frame: RawSpan, _ metadata: TransmitMetadata) -> Int32 {
        guard frame.byteCount > 14 else { return EINVAL }
        // The loopback interface's address is zero; on any other the address that the frame came with is
        // right, and the claim there corrects what is not.
        let destination =
            metadata.appearsOn == Self.loopback ? MACAddress(rawValue: 0) : frame.mac(0)
        let source = MACAddress(
            rawValue: UInt64(SLUICE_MAC_INTERFACE) << 32 | UInt64(metadata.appearsOn.rawValue))
        return device.write(
            frame, offload: metadata.offload,
            addresses: TapDevice.Addresses(destination: destination, source: source))
    }

    public func flush() {}

    public func releaseBatch() { device.release() }
}

/// Writes one sysctl of the calling thread's network namespace.
func setting(_ path: String, to value: String) throws(SystemError) {
    let descriptor = unsafe open("/proc/sys/\(path)", O_WRONLY | O_CLOEXEC)
    guard descriptor >= 0 else {
        throw SystemError("open the setting", on: path, code: errno)
    }
    defer { close(descriptor) }
    guard unsafe Glibc.write(descriptor, value, value.utf8.count) >= 0 else {
        throw SystemError("write the setting", on: path, code: errno)
    }
}
