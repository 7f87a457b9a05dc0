// A port that hands over the same few frames for ever and forgets what it is given: it allocates
// nothing, so that what a test counts is the packet path's. As a device does it hands over each buffer once
// per batch.

import Dataplane
import Wire

final class LoopPort: FramePort {
    let interface: InterfaceIndex
    let name: String
    let descriptor: Int32 = -1
    let condition = PortCondition.up
    private(set) var statistics = PortStatistics()
    /// Frames handed over per call of `receive`.
    var perBatch = 0

    private static let buffers = 256
    private let templates: [[UInt8]]
    private var frames: [[UInt8]]

    init(interface: InterfaceIndex, name: String, frames: [[UInt8]] = []) {
        self.interface = interface
        self.name = name
        templates = frames
        // Copies of their own, so that writing to one does not copy it first.
        self.frames =
            frames.isEmpty ? [] : (0..<Self.buffers).map { frames[$0 % frames.count].map { $0 } }
    }

    func receive(
        limit: Int, now: Timestamp, _ body: (inout MutableRawSpan, FrameMetadata) -> Void
    ) -> Int {
        let count = templates.isEmpty ? 0 : min(limit, perBatch, Self.buffers)
        for index in 0..<count {
            let bytes = templates[index % templates.count]
            let template = bytes.span.bytes
            var storage = frames[index].mutableSpan
            var frame = storage.mutableBytes
            for offset in 0..<template.byteCount { frame.set(template.u8(offset), at: offset) }
            body(
                &frame,
                FrameMetadata(ingress: interface, time: now, wireLength: template.byteCount))
        }
        return count
    }

    func enqueue(_ frame: RawSpan, _ metadata: TransmitMetadata) {
        statistics.sentFrames &+= 1
        statistics.sentBytes &+= UInt64(frame.byteCount)
    }

    func flush() {}
    func releaseBatch() {}
}
