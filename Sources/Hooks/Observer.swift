// Who watches a walk. The walk is generic over this, inside the module only, so that the silent one
// carries no trace of tracing; a generic observer is not free across modules.

import Wire

/// Told of every step; a step's description is built only if the observer asks for it.
protocol WalkObserver {
    /// Whether it wants to see the rules that miss, all of them.
    static var seesMisses: Bool { get }
    mutating func note(_ packet: Packet, _ kind: @autoclosure () -> TraceEvent.Kind)
}

struct Silent: WalkObserver {
    static var seesMisses: Bool { false }

    @inline(__always)
    mutating func note(_ packet: Packet, _ kind: @autoclosure () -> TraceEvent.Kind) {}
}

struct Recorder: WalkObserver {
    static var seesMisses: Bool { true }
    var trace: Trace

    mutating func note(_ packet: Packet, _ kind: @autoclosure () -> TraceEvent.Kind) {
        trace.note(packet, kind())
    }
}

extension Trace {
    /// Adds a step; what happens to a packet outside the hooks is noted with this too.
    public mutating func note(_ packet: Packet, _ kind: TraceEvent.Kind) {
        events.append(
            TraceEvent(
                kind: kind, view: packet.view, mark: packet.mark, userID: packet.userID,
                groupID: packet.groupID,
                inName: packet.inName, outName: packet.outName, tracked: packet.tracked))
    }
}
