// What a receive ring found, before the port turns it into spans and counters.

import Wire

/// A frame in memory that the kernel filled.
@safe
struct ArrivedFrame {
    var start: UnsafeMutableRawPointer
    var byteCount: Int
    var offload: OffloadHeader
}

/// The outcome of looking at the next place of a ring.
@safe
enum Arrival {
    case empty
    case frame(ArrivedFrame)
    /// There was a frame, but no buffer held all of it.
    case oversized
}
