// Following one frame: the hooks record their steps, the data plane adds what happens before and after.
// Without a filter a frame costs one comparison; only a traced one allocates.

public import Hooks
public import Wire

/// One packet's way through the node, for whoever asked to see it.
public struct TraceRecord: Sendable {
    public var trace: Trace
    public var origin: PacketOrigin
    public var time: Timestamp
    public var ingress: InterfaceIndex
    /// Set where the frame was dropped before it was an IPv4 packet; the trace is then empty.
    public var refused: DropReason?

    public init(
        trace: Trace, origin: PacketOrigin, time: Timestamp, ingress: InterfaceIndex,
        refused: DropReason? = nil
    ) {
        self.trace = trace
        self.origin = origin
        self.time = time
        self.ingress = ingress
        self.refused = refused
    }
}

extension Dataplane {
    func beginTrace(_ frame: RawSpan, _ metadata: FrameMetadata) {
        guard let traceFilter else { return }
        trace = traceFilter(frame, metadata) ? Trace() : nil
        tracedIngress = metadata.ingress
    }

    @inline(__always)
    func note(_ packet: Packet, _ kind: @autoclosure () -> TraceEvent.Kind) {
        if trace != nil { trace?.note(packet, kind()) }
    }

    @inline(__always)
    func endTrace(_ origin: PacketOrigin, _ time: Timestamp, refused: DropReason?) {
        if trace != nil { handOverTrace(origin, time, refused) }
    }

    private func handOverTrace(
        _ origin: PacketOrigin, _ time: Timestamp, _ refused: DropReason?
    ) {
        guard let record = takeTrace(origin, time, refused) else { return }
        onTrace?(record)
        for answer in heldTraces { onTrace?(answer) }
        heldTraces = []
    }

    /// Keeps the trace of an answer until that of what it answers has been told.
    func holdTrace(_ origin: PacketOrigin, _ time: Timestamp) {
        if let record = takeTrace(origin, time, nil) { heldTraces.append(record) }
    }

    private func takeTrace(
        _ origin: PacketOrigin, _ time: Timestamp, _ refused: DropReason?
    ) -> TraceRecord? {
        guard let finished = trace else { return nil }
        trace = nil
        return TraceRecord(
            trace: finished, origin: origin, time: time,
            ingress: origin == .node ? .none : tracedIngress, refused: refused)
    }
}
