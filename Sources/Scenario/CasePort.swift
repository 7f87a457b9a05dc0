// A port whose wire is a case: one frame at a time comes in, and what is sent goes into the journal that
// all ports of a node share, so that the order over all of them is kept.

import Dataplane
import Hooks
import Wire

/// What the packet path told while a step was under way.
final class Journal {
    var emissions: [(emission: Emission, time: Timestamp)] = []
    var log: [String] = []
    var copies: [(group: UInt16, bytes: [UInt8])] = []
    var traces: [TraceRecord] = []
}

final class CasePort: FramePort {
    let interface: InterfaceIndex
    let name: String
    let descriptor: Int32 = -1
    let condition = PortCondition.up
    private(set) var statistics = PortStatistics()

    private let journal: Journal
    /// Makes an emission of a frame and the interface on which it is to appear.
    private let emission: (RawSpan, TransmitMetadata) -> Emission
    private var waiting: (bytes: [UInt8], mark: UInt32, userID: UInt32?, groupID: UInt32?)?

    init(
        interface: InterfaceIndex, name: String, journal: Journal,
        emission: @escaping (RawSpan, TransmitMetadata) -> Emission
    ) {
        self.interface = interface
        self.name = name
        self.journal = journal
        self.emission = emission
    }

    /// - Precondition: the frame before was received.
    func inject(
        _ bytes: [UInt8], mark: UInt32 = 0, userID: UInt32? = nil, groupID: UInt32? = nil
    ) {
        precondition(waiting == nil, "a case's packets come one by one")
        waiting = (bytes, mark, userID, groupID)
    }

    func receive(
        limit: Int, now: Timestamp, _ body: (inout MutableRawSpan, FrameMetadata) -> Void
    ) -> Int {
        guard limit > 0, let (injected, mark, userID, groupID) = waiting else { return 0 }
        waiting = nil
        var bytes = injected
        statistics.receivedFrames += 1
        statistics.receivedBytes += UInt64(bytes.count)
        let metadata = FrameMetadata(
            ingress: interface, mark: mark, userID: userID, groupID: groupID, time: now,
            wireLength: bytes.count)
        // Every port of a case copies what it is told to send: nothing outlives this call.
        bytes.withMutableRawSpan { body(&$0, metadata) }
        return 1
    }

    func enqueue(_ frame: RawSpan, _ metadata: TransmitMetadata) {
        statistics.sentFrames += 1
        statistics.sentBytes += UInt64(frame.byteCount)
        journal.emissions.append((emission(frame, metadata), metadata.time))
    }

    func flush() {}

    func releaseBatch() {}
}

extension [UInt8] {
    init(copying span: RawSpan) { self = (0..<span.byteCount).map { span.u8($0) } }
}
