// A port whose wire is an array: what a test injects is received, what is sent is kept to be looked
// at. It allocates per frame and is not for traffic.

public import Dataplane
public import Wire

/// A frame that somebody sent on a memory port.
public struct SentFrame: Hashable, Sendable {
    public var bytes: [UInt8]
    public var metadata: TransmitMetadata
}

@safe public final class MemoryPort: FramePort {
    public let interface: InterfaceIndex
    public let name: String
    public let descriptor: Int32 = -1
    public var condition: PortCondition = .up
    public private(set) var statistics = PortStatistics()
    /// Everything sent so far, in order; a test may empty it.
    public var sent: [SentFrame] = []

    private var waiting: [(bytes: [UInt8], metadata: FrameMetadata)] = []
    private var handedOver: [UnsafeMutableRawBufferPointer] = unsafe []

    public init(interface: InterfaceIndex, name: String) {
        self.interface = interface
        self.name = name
    }

    deinit { releaseBatch() }

    /// Puts a frame on the wire towards Sluice. Its time is that of the call that receives it.
    public func inject(
        _ bytes: [UInt8], offload: OffloadHeader = .none, mark: UInt32 = 0, userID: UInt32? = nil,
        groupID: UInt32? = nil
    ) {
        let metadata = FrameMetadata(
            ingress: interface, offload: offload, mark: mark, userID: userID, groupID: groupID,
            time: Timestamp(nanoseconds: 0), wireLength: bytes.count)
        waiting.append((bytes, metadata))
    }

    public func receive(
        limit: Int, now: Timestamp, _ body: (inout MutableRawSpan, FrameMetadata) -> Void
    ) -> Int {
        let count = min(limit, waiting.count)
        for index in 0..<count {
            var (bytes, metadata) = waiting[index]
            metadata.time = now
            let memory = UnsafeMutableRawBufferPointer.allocate(
                byteCount: bytes.count, alignment: 16)
            unsafe memory.copyBytes(from: bytes)
            unsafe handedOver.append(memory)
            statistics.receivedFrames += 1
            statistics.receivedBytes += UInt64(bytes.count)
            var span = unsafe MutableRawSpan(_unsafeBytes: memory)
            body(&span, metadata)
        }
        waiting.removeFirst(count)
        return count
    }

    public func enqueue(_ frame: RawSpan, _ metadata: TransmitMetadata) {
        sent.append(SentFrame(bytes: Self.copy(frame), metadata: metadata))
        statistics.sentFrames += 1
        statistics.sentBytes += UInt64(frame.byteCount)
    }

    public func flush() {}

    public func releaseBatch() {
        while let memory = unsafe handedOver.popLast() { unsafe memory.deallocate() }
    }

    static func copy(_ frame: RawSpan) -> [UInt8] {
        unsafe frame.withUnsafeBytes { unsafe [UInt8]($0) }
    }
}
