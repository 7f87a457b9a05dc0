// A capture file as a port: what was captured is received, with the capture's own times; what is sent
// is written to another file, or only counted. Nothing is ever lost here and nothing waits.

public import Dataplane
import Glibc
public import Wire

@safe public final class CapturePort: FramePort {
    public let interface: InterfaceIndex
    public let name: String
    public let descriptor: Int32 = -1
    public private(set) var condition: PortCondition = .up
    public private(set) var statistics = PortStatistics()
    /// Why reading ended before the end of the file, as libpcap said it.
    public private(set) var damage: String?

    private var reader: CaptureReader
    private let writer: CaptureWriter?
    private let linkLayer: LinkLayer
    private var handedOver: [UnsafeMutableRawBufferPointer] = unsafe []

    /// - Parameter output: where sent frames are written; nil discards them.
    public init(
        interface: InterfaceIndex, name: String, input: String, output: String? = nil
    ) throws(CaptureError) {
        self.interface = interface
        self.name = name
        reader = try CaptureReader(path: input)
        linkLayer = LinkLayer(pcapLinkType: reader.linkType)
        if let output { writer = try CaptureWriter(path: output) } else { writer = nil }
    }

    deinit { releaseBatch() }

    public func receive(
        limit: Int, now: Timestamp, _ body: (inout MutableRawSpan, FrameMetadata) -> Void
    ) -> Int {
        var count = 0
        while count < limit, condition == .up {
            switch reader.next() {
            case .end:
                condition = .exhausted
            case .damaged(let message):
                damage = message
                condition = .exhausted
            case .packet(let packet):
                count += 1
                hand(over: packet, body)
            }
        }
        return count
    }

    private func hand(
        over packet: CapturedPacket, _ body: (inout MutableRawSpan, FrameMetadata) -> Void
    ) {
        let captured = unsafe packet.bytes
        let replacement = unsafe linkLayer.replacement(for: captured.bytes)
        let skipped = replacement?.header ?? 0
        let added = replacement == nil ? 0 : LinkLayer.ethernetHeader
        let memory = UnsafeMutableRawBufferPointer.allocate(
            byteCount: captured.count - skipped + added, alignment: 16)
        unsafe handedOver.append(memory)
        unsafe UnsafeMutableRawBufferPointer(rebasing: memory[added...]).copyMemory(
            from: UnsafeRawBufferPointer(rebasing: captured[skipped...]))
        var span = unsafe MutableRawSpan(_unsafeBytes: memory)
        if let replacement {
            span.set(MACAddress(rawValue: 0), at: 0)
            span.set(MACAddress(rawValue: 0), at: 6)
            span.set(replacement.type.rawValue, at: 12)
        }
        statistics.receivedFrames += 1
        statistics.receivedBytes += UInt64(memory.count)
        let metadata = FrameMetadata(
            ingress: interface, time: packet.time,
            wireLength: max(packet.wireLength - skipped + added, memory.count))
        body(&span, metadata)
    }

    public func enqueue(_ frame: RawSpan, _ metadata: TransmitMetadata) {
        writer?.write(frame, time: metadata.time)
        statistics.sentFrames += 1
        statistics.sentBytes += UInt64(frame.byteCount)
    }

    public func flush() {
        if let writer, !writer.flush() { condition = .failed(EIO) }
    }

    public func releaseBatch() {
        while let memory = unsafe handedOver.popLast() { unsafe memory.deallocate() }
    }
}
