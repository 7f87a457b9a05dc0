// A port whose wire is a case: one frame at a time comes in, and what is sent goes into the journal that
// all ports of a node share, so that the order over all of them is kept.

import Dataplane
import Hooks
import PacketIO
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
    var statistics: PortStatistics {
        var statistics = sent
        statistics.receivedFrames = wire.statistics.receivedFrames
        statistics.receivedBytes = wire.statistics.receivedBytes
        return statistics
    }

    private var sent = PortStatistics()
    private let journal: Journal
    /// Makes an emission of a frame and the interface on which it is to appear.
    private let emission: (RawSpan, TransmitMetadata) -> Emission
    private let wire: MemoryPort

    init(
        interface: InterfaceIndex, name: String, journal: Journal,
        emission: @escaping (RawSpan, TransmitMetadata) -> Emission
    ) {
        self.interface = interface
        self.name = name
        wire = MemoryPort(interface: interface, name: name)
        self.journal = journal
        self.emission = emission
    }

    func inject(
        _ bytes: [UInt8], mark: UInt32 = 0, userID: UInt32? = nil, groupID: UInt32? = nil
    ) {
        wire.inject(bytes, mark: mark, userID: userID, groupID: groupID)
    }

    func receive(
        limit: Int, now: Timestamp, _ body: (inout MutableRawSpan, FrameMetadata) -> Void
    ) -> Int {
        wire.receive(limit: limit, now: now, body)
    }

    func enqueue(_ frame: RawSpan, _ metadata: TransmitMetadata) {
        sent.sentFrames += 1
        sent.sentBytes += UInt64(frame.byteCount)
        journal.emissions.append((emission(frame, metadata), metadata.time))
    }

    func flush() {}

    func releaseBatch() { wire.releaseBatch() }
}

extension [UInt8] {
    init(copying span: RawSpan) { self = (0..<span.byteCount).map { span.u8($0) } }
}
