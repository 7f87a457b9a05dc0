// A network interface as a port over AF_XDP. An XDP program diverts the frames that its sockets can take;
// everything else goes the way of `PacketPort`, which this port has as well: super-frames with their virtio
// headers, frames longer than a chunk, TCP where it may come in either, queues without a socket, and whatever
// the program is not sure of.
// So a frame that is Sluice's is either diverted or met by tap and claim.
//
// Frames that came in over AF_XDP go out over AF_XDP in the chunk in which they lie, on whatever port of the
// node. The kernel's queueing disciplines, tc programs and captures do not see diverted frames.

import CFlowABI
import CLinux
public import Dataplane
import Glibc
public import Wire

@safe public final class XDPPort: FramePort {
    public let interface: InterfaceIndex
    public let name: String
    /// An epoll instance over the tap and all sockets.
    public let descriptor: Int32
    public let mode: XDPMode

    let tap: PacketPort
    private let umem: Umem
    private let diversion: Diversion
    private let sockets: [XDPSocket]
    /// What this port sends comes back in through it (the loopback).
    private let comesBack: Bool
    private var counters = PortStatistics()
    /// The socket with which the next batch begins.
    private var turn = 0
    private var tapHasFrames = false

    public var condition: PortCondition { tap.condition }
    /// Receive queues with a socket of their own.
    public var queueCount: Int { sockets.count }

    /// Opens tap, program and sockets. The claim is made apart, with `NodePrograms.claim`.
    /// - Parameter umem: shared by all ports of a node; room for `sockets(for:)` more.
    public init(interface name: String, programs: NodePrograms, umem: Umem) throws {
        tap = try PacketPort(interface: name, filter: programs.tapFilter)
        interface = tap.interface
        self.name = name
        self.umem = umem
        diversion = try Diversion(
            interface: tap.interface, sharing: programs.module.map("heartbeat"))
        let address = try tap.address()
        comesBack = address == MACAddress(rawValue: 0)
        sockets = try Self.open(tap, umem, zeroCopy: !diversion.isGeneric)
        mode =
            diversion.isGeneric
            ? .generic : sockets.allSatisfy { $0.isZeroCopy } ? .zeroCopy : .copy
        if comesBack { for socket in sockets { try socket.mark(SLUICE_MARK, on: name) } }
        descriptor = try check(sluice_epoll_open(), "watch sockets", on: name)
        do {
            for watched in [tap.descriptor] + sockets.map(\.descriptor) {
                try check(sluice_epoll_add(descriptor, watched), "watch a socket", on: name)
            }
            let mtu = try check(
                unsafe sluice_interface_mtu(tap.descriptor, name), "read the MTU", on: name)
            try diversion.follow(address, mtu: Int(mtu))
            for socket in sockets { try diversion.divert(socket.queue, to: socket.descriptor) }
        } catch {
            close(descriptor)
            throw error
        }
    }

    deinit {
        diversion.detach()
        close(descriptor)
    }

    /// How many sockets a port on this interface opens at most.
    public static func sockets(for interface: String) -> Int {
        let queues = unsafe sluice_interface_receive_queues(interface)
        return min(Int(SLUICE_DIVERT_QUEUES), max(1, Int(queues)))
    }

    /// A socket on each queue, of one kind. The first must open; the frames of queues that got none go to
    /// the tap.
    private static func open(
        _ tap: PacketPort, _ umem: Umem, zeroCopy: Bool
    ) throws(SystemError) -> [XDPSocket] {
        let first = try XDPSocket(
            interface: tap.interface, name: tap.name, queue: 0, umem: umem, zeroCopy: zeroCopy)
        var all = [first]
        for queue in 1..<max(1, sockets(for: tap.name)) {
            guard
                let next = try? XDPSocket(
                    interface: tap.interface, name: tap.name, queue: UInt32(queue), umem: umem,
                    zeroCopy: first.isZeroCopy)
            else { break }
            all.append(next)
        }
        return all
    }

    /// Gives the frames back to tap and claim; what the sockets hold already is still received.
    public func stopDiverting() { diversion.detach() }

    /// Follows the interface's properties, without which frames would take the slower way.
    public func follow(address: MACAddress, mtu: Int) { try? diversion.follow(address, mtu: mtu) }

    public var statistics: PortStatistics {
        var sum = tap.statistics
        sum.receivedFrames &+= counters.receivedFrames
        sum.receivedBytes &+= counters.receivedBytes
        sum.sentFrames &+= counters.sentFrames
        sum.sentBytes &+= counters.sentBytes
        sum.failedSends &+= counters.failedSends
        sum.sendRetries &+= counters.sendRetries
        for socket in sockets { sum.overruns &+= socket.overruns }
        return sum
    }

    // MARK: Receiving

    public func receive(
        limit: Int, now: Timestamp, _ body: (inout MutableRawSpan, FrameMetadata) -> Void
    ) -> Int {
        // The tap first, but not for the whole of a batch: either may be busy.
        var count = tap.receive(limit: max(1, limit / 4), now: now, body)
        var received = 0
        for offset in 0..<sockets.count where count < limit {
            let index = (turn &+ offset) % sockets.count
            while count < limit, let frame = sockets[index].next() {
                count &+= 1
                received &+= 1
                counters.receivedBytes &+= UInt64(frame.byteCount)
                var span = unsafe MutableRawSpan(
                    _unsafeStart: frame.start, byteCount: frame.byteCount)
                let metadata = FrameMetadata(
                    ingress: interface, offload: OffloadHeader(guessedFrom: span.bytes), time: now,
                    wireLength: frame.byteCount)
                body(&span, metadata)
            }
        }
        turn = (turn &+ 1) % sockets.count
        counters.receivedFrames &+= UInt64(received)
        return count
    }

    // MARK: Sending

    public func enqueue(_ frame: RawSpan, _ metadata: TransmitMetadata) {
        if metadata.offload.isSuperFrame || frame.byteCount > Umem.chunkSize {
            return enqueueOnTap(frame, metadata)
        }
        if tapHasFrames { flushTap() }
        let socket = sockets[0]
        guard socket.makeRoom(&counters),
            let address = place(frame, metadata.offload, socket)
        else {
            counters.failedSends &+= 1
            return
        }
        socket.append(address, frame.byteCount)
    }

    /// Where the frame lies ready to be sent, its checksum complete: in the chunk in which it came, or in a
    /// copy; `nil` without a free chunk.
    private func place(_ frame: RawSpan, _ offload: OffloadHeader, _ socket: XDPSocket) -> UInt64? {
        let start = unsafe frame.withUnsafeBytes { $0.baseAddress }
        guard let start = unsafe start else { return nil }
        var offload = offload
        let address: UInt64
        let own = unsafe umem.address(of: start)
        if let own, socket.isArrived(own) {
            address = own
        } else {
            guard let copy = socket.takeChunk() else { return nil }
            unsafe umem.pointer(copy, frame.byteCount)
                .copyMemory(from: start, byteCount: frame.byteCount)
            address = copy
            // A frame that was sent before had its checksum completed then.
            if own != nil { offload = .none }
        }
        var bytes = unsafe MutableRawSpan(
            _unsafeStart: umem.pointer(address, frame.byteCount), byteCount: frame.byteCount)
        _ = bytes.completeChecksum(offload, end: frame.byteCount)
        if comesBack {
            bytes.set(
                MACAddress(
                    rawValue: UInt64(SLUICE_MAC_INTERFACE) << 32 | UInt64(interface.rawValue)),
                at: 6)
        }
        return address
    }

    /// In the order in which they were given, whichever way they go.
    private func enqueueOnTap(_ frame: RawSpan, _ metadata: TransmitMetadata) {
        if !tapHasFrames { _ = sockets[0].flush(&counters) }
        tapHasFrames = true
        tap.enqueue(frame, metadata)
    }

    private func flushTap() {
        tap.flush()
        tapHasFrames = false
    }

    public func flush() {
        if tapHasFrames { flushTap() }
        let error = sockets[0].flush(&counters)
        if error != 0 { tap.notice(error: error) }
    }

    public func releaseBatch() {
        tap.releaseBatch()
        for index in 0..<sockets.count { sockets[index].releaseBatch() }
    }
}
