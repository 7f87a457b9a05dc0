// A network interface as a port: an AF_PACKET socket bound with ETH_P_ALL, which sees a frame before tc
// ingress does. It reads what its filter lets through. It does not keep the kernel from handling the
// same frames; that is the claim's work.

import CFlowABI
import CLinux
public import Dataplane
import Glibc
public import Wire

@safe public final class PacketPort: FramePort {
    /// Which receive ring to use; see Docs/decisions/0002-receive-ring.md.
    public enum Ring: String, CaseIterable, Sendable {
        /// TPACKET_V2: low latency, the default.
        case slots
        /// TPACKET_V3: whole blocks, at least a millisecond late.
        case blocks
    }

    public let interface: InterfaceIndex
    public let name: String
    public let descriptor: Int32
    public private(set) var condition: PortCondition = .up

    // Exactly one of the two.
    private var slots: SlotRing?
    private var blocks: BlockRing?
    private var queue: TransmitQueue
    private var counters = PortStatistics()
    private var nextErrorCheck: UInt64 = 0
    private static let errorCheckInterval: UInt64 = 5_000_000

    /// Opens the tap. With `filter`, only frames that the program accepts are received; the program must
    /// be of the socket filter type and stays attached without its descriptor.
    public init(
        interface name: String, filter: Int32? = nil, ring: Ring = .slots
    ) throws(SystemError) {
        let index = unsafe sluice_interface_index(name)
        guard index != 0 else {
            throw SystemError("find the interface", on: name, code: ENODEV)
        }
        self.name = name
        interface = InterfaceIndex(rawValue: index)
        let socket = try check(sluice_packet_open(), "open a packet socket", on: name)
        do throws(SystemError) {
            try Self.configure(socket, name: name)
            switch ring {
            case .slots: slots = .some(try SlotRing(descriptor: socket))
            case .blocks: blocks = .some(try BlockRing(descriptor: socket))
            }
            if let filter {
                try check(
                    sluice_socket_option(socket, SO_ATTACH_BPF, filter),
                    "attach the socket filter", on: name)
            }
            try check(sluice_packet_bind(socket, index), "bind the packet socket", on: name)
        } catch {
            close(socket)
            throw error
        }
        descriptor = socket
        queue = TransmitQueue(descriptor: socket)
    }

    deinit { close(descriptor) }

    private static func configure(_ socket: Int32, name: String) throws(SystemError) {
        // Super-frames cost what they weigh: the queue that holds them, and the one that sends them.
        let buffer: Int32 = 32 << 20
        try check(
            sluice_packet_option(socket, PACKET_VNET_HDR, 1), "turn on virtio headers", on: name)
        try check(
            sluice_packet_option(socket, PACKET_IGNORE_OUTGOING, 1),
            "ignore outgoing frames (Linux 4.20)", on: name)
        try check(
            sluice_socket_option(socket, SO_RCVBUFFORCE, buffer), "size the receive buffer",
            on: name)
        try check(
            sluice_socket_option(socket, SO_SNDBUFFORCE, buffer), "size the send buffer", on: name)
        let flags = try check(
            unsafe sluice_interface_flags(socket, name), "read the interface's flags", on: name)
        // What is sent on a loopback interface comes back in through it; tap and claim know it by its
        // mark. Anywhere else a mark would only confuse the node's own queueing rules.
        guard flags & Int32(IFF_LOOPBACK) != 0 else { return }
        let mark = Int32(bitPattern: UInt32(SLUICE_MARK))
        try check(sluice_socket_option(socket, SO_MARK, mark), "set the socket mark", on: name)
    }

    /// The interface's MAC address at this moment.
    public func address() throws(SystemError) -> MACAddress {
        var bytes: [UInt8] = [0, 0, 0, 0, 0, 0]
        try check(
            unsafe sluice_interface_address(descriptor, name, &bytes), "read the MAC address",
            on: name)
        return unsafe bytes.span.bytes.mac(0)
    }

    public var statistics: PortStatistics {
        var received: UInt32 = 0
        var dropped: UInt32 = 0
        if unsafe sluice_packet_statistics(descriptor, &received, &dropped) == 0 {
            counters.overruns &+= UInt64(dropped)
        }
        return counters
    }

    public func receive(
        limit: Int, now: Timestamp, _ body: (inout MutableRawSpan, FrameMetadata) -> Void
    ) -> Int {
        var count = 0
        // A frame that was cut short is counted and passed over without ending the batch.
        reading: while count < limit {
            switch nextArrival() {
            case .empty:
                break reading
            case .oversized:
                counters.oversized &+= 1
            case .frame(let frame):
                count &+= 1
                counters.receivedBytes &+= UInt64(frame.byteCount)
                let metadata = FrameMetadata(
                    ingress: interface, offload: frame.offload, time: now,
                    wireLength: frame.byteCount)
                var span = unsafe MutableRawSpan(
                    _unsafeStart: frame.start, byteCount: frame.byteCount)
                body(&span, metadata)
            }
        }
        counters.receivedFrames &+= UInt64(count)
        if count > 0 { condition = .up } else { checkForError(now) }
        return count
    }

    /// A pending error keeps the descriptor readable until it is asked for. Asking is a system call, so
    /// an idle port among busy ones does it now and then only.
    private func checkForError(_ now: Timestamp) {
        guard now.nanoseconds >= nextErrorCheck else { return }
        nextErrorCheck = now.nanoseconds &+ Self.errorCheckInterval
        notice(error: sluice_socket_error(descriptor))
    }

    private func nextArrival() -> Arrival {
        if let arrival = slots?.next() { return arrival }
        return blocks?.next() ?? .empty
    }

    public func enqueue(_ frame: RawSpan, _ metadata: TransmitMetadata) {
        if queue.isFull { flush() }
        queue.append(frame, metadata.offload)
    }

    public func flush() {
        guard !queue.isEmpty else { return }
        let sentBefore = counters.sentFrames
        notice(error: queue.flush(&counters))
        if counters.sentFrames != sentBefore { condition = .up }
    }

    public func releaseBatch() {
        slots?.release()
        blocks?.release()
    }

    /// The kernel says ENETDOWN both for an interface that is down and for one that is gone; only the
    /// first can come back, and the socket then receives again by itself.
    func notice(error: Int32) {
        switch error {
        case 0: return
        case ENETDOWN, ENXIO, ENODEV:
            condition = sluice_interface_exists(interface.rawValue) ? .down : .gone
        default: condition = .failed(error)
        }
    }
}
