// Frames without a wire: a bank that makes the same frames again and again, in a ring of buffers as a device has
// one, and a port that hands them over and forgets what it is given.

import Dataplane
import Wire

final class LoopPort: FramePort {
    let interface: InterfaceIndex
    let name: String
    let descriptor: Int32 = -1
    let condition = PortCondition.up
    private(set) var statistics = PortStatistics()

    private let bank: FrameBank?

    init(interface: InterfaceIndex, name: String, frames: FrameBank? = nil) {
        self.interface = interface
        self.name = name
        bank = frames
    }

    func receive(
        limit: Int, now: Timestamp, _ body: (inout MutableRawSpan, FrameMetadata) -> Void
    ) -> Int {
        guard let bank else { return 0 }
        bank.refresh()
        for index in 0..<FrameBank.batch {
            bank.withFrame(index) { frame in
                let metadata = FrameMetadata(
                    ingress: interface, time: now, wireLength: frame.byteCount)
                body(&frame, metadata)
            }
        }
        return FrameBank.batch
    }

    func enqueue(_ frame: RawSpan, _ metadata: TransmitMetadata) {
        statistics.sentFrames &+= 1
    }

    func flush() {}
    func releaseBatch() {}
}

/// The frames of many flows, all alike but for their two ends and what depends on them. One batch of them at a time
/// exists.
final class FrameBank {
    static let batch = 250
    let frameLength: Int
    let count: Int
    /// A frame in full, and of each flow the words that differ from it.
    private let common: [UInt8]
    private let flows: [Flow]
    private let buffers: UnsafeMutableRawBufferPointer
    private var next = 0

    private struct Flow {
        var source: UInt32
        var destination: UInt32
        var port: UInt16
        var service: UInt16
        var headerChecksum: UInt16
        var checksum: UInt16
    }

    /// - Parameter frames: TCP without options, of one length.
    init(_ frames: [[UInt8]]) {
        common = frames[0]
        frameLength = common.count
        count = frames.count
        flows = frames.map { bytes in
            let frame = bytes.span.bytes
            return Flow(
                source: frame.u32(26), destination: frame.u32(30), port: frame.u16(34),
                service: frame.u16(36), headerChecksum: frame.u16(24), checksum: frame.u16(50))
        }
        unsafe buffers = .allocate(byteCount: Self.batch * frameLength, alignment: 64)
    }

    deinit { unsafe buffers.deallocate() }

    var memory: UnsafeMutableRawPointer { unsafe buffers.baseAddress! }

    /// The next batch.
    func refresh() {
        for index in 0..<Self.batch {
            let flow = flows[next]
            next = next + 1 == flows.count ? 0 : next + 1
            unsafe common.withUnsafeBytes { origin in
                unsafe (memory + index * frameLength).copyMemory(
                    from: origin.baseAddress!, byteCount: frameLength)
            }
            withFrame(index) { frame in
                frame.set(flow.source, at: 26)
                frame.set(flow.destination, at: 30)
                frame.set(flow.port, at: 34)
                frame.set(flow.service, at: 36)
                frame.set(flow.headerChecksum, at: 24)
                frame.set(flow.checksum, at: 50)
            }
        }
    }

    @inline(__always)
    func withFrame<R>(_ index: Int, _ body: (inout MutableRawSpan) -> R) -> R {
        var span = unsafe MutableRawSpan(
            _unsafeStart: memory + index * frameLength, byteCount: frameLength)
        return body(&span)
    }
}
