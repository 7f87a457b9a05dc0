// A port that hands over the same few frames for ever and forgets what it is given: it allocates
// nothing, so that what a test counts is the packet path's.

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

    private let templates: [[UInt8]]
    private var frames: [[UInt8]]
    private var next = 0

    init(interface: InterfaceIndex, name: String, frames: [[UInt8]] = []) {
        self.interface = interface
        self.name = name
        templates = frames
        // Copies of their own, so that writing to one does not copy it first.
        self.frames = frames.map { $0.map { $0 } }
    }

    func receive(
        limit: Int, now: Timestamp, _ body: (inout MutableRawSpan, FrameMetadata) -> Void
    ) -> Int {
        let count = templates.isEmpty ? 0 : min(limit, perBatch)
        for _ in 0..<count {
            let bytes = templates[next]
            let template = bytes.span.bytes
            var storage = frames[next].mutableSpan
            var frame = storage.mutableBytes
            for offset in 0..<template.byteCount { frame.set(template.u8(offset), at: offset) }
            body(
                &frame,
                FrameMetadata(ingress: interface, time: now, wireLength: template.byteCount))
            next = next + 1 == templates.count ? 0 : next + 1
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
