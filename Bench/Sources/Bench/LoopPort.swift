// A port that hands over the same frames for ever, 250 at a time, restored from their templates, and
// forgets what it is given.

import Dataplane
import Wire

final class LoopPort: FramePort {
    let interface: InterfaceIndex
    let name: String
    let descriptor: Int32 = -1
    let condition = PortCondition.up
    private(set) var statistics = PortStatistics()
    static let perBatch = 250

    private let templates: [[UInt8]]
    private var frames: FrameBank
    private var next = 0

    init(interface: InterfaceIndex, name: String, frames: [[UInt8]] = []) {
        self.interface = interface
        self.name = name
        templates = frames
        self.frames = FrameBank(frames)
    }

    func receive(
        limit: Int, now: Timestamp, _ body: (inout MutableRawSpan, FrameMetadata) -> Void
    ) -> Int {
        guard !templates.isEmpty else { return 0 }
        let count = min(limit, Self.perBatch)
        for _ in 0..<count {
            frames.withFresh(next) { frame in
                let metadata = FrameMetadata(
                    ingress: interface, time: now, wireLength: frame.byteCount)
                body(&frame, metadata)
            }
            next = next + 1 == templates.count ? 0 : next + 1
        }
        return count
    }

    func enqueue(_ frame: RawSpan, _ metadata: TransmitMetadata) {
        statistics.sentFrames &+= 1
    }

    func flush() {}
    func releaseBatch() {}
}

/// Frames of equal length side by side in one block, each with its template.
struct FrameBank {
    let frameLength: Int
    private let templates: [UInt8]
    private var work: [UInt8]

    init(_ frames: [[UInt8]]) {
        frameLength = frames.first?.count ?? 0
        precondition(
            frames.allSatisfy { [frameLength] in $0.count == frameLength },
            "the frames of a bank have one length")
        templates = frames.flatMap { $0 }
        work = templates
    }

    var count: Int { frameLength == 0 ? 0 : templates.count / frameLength }

    /// The frame as it was before anybody rewrote it; restoring costs 64 bytes of copying.
    @inline(__always)
    mutating func withFresh<R>(_ index: Int, _ body: (inout MutableRawSpan) -> R) -> R {
        let range = index * frameLength..<(index + 1) * frameLength
        return unsafe work.withUnsafeMutableBytes { target in
            unsafe templates.withUnsafeBytes { origin in
                let slot = unsafe UnsafeMutableRawBufferPointer(rebasing: target[range])
                unsafe slot.copyMemory(from: UnsafeRawBufferPointer(rebasing: origin[range]))
                var span = unsafe MutableRawSpan(_unsafeBytes: slot)
                return body(&span)
            }
        }
    }
}
