// Packets from captures, one per link, merged by their times.

public import PacketIO
import Wire

extension Case {
    /// - Parameters:
    ///   - captures: in the order in which frames of one time come.
    ///   - seed: of every random choice.
    /// - Throws: what is wrong with topology, rules or the links named.
    public init(
        topology: Topology, rules: String, captures: [(link: String, frames: [CapturedFrame])],
        seed: UInt64
    ) throws(CaseError) {
        var packets: [CasePacket] = []
        for (link, frames) in captures {
            // Frames keep their order in their capture; the clock never goes back.
            var time = frames.first?.time ?? Timestamp(nanoseconds: 0)
            for frame in frames {
                time = max(time, frame.time)
                packets.append(
                    CasePacket(time: time, origin: .wire(link: link), bytes: frame.bytes))
            }
        }
        let merged = packets.enumerated().sorted {
            ($0.element.time, $0.offset) < ($1.element.time, $1.offset)
        }
        self.init(
            topology: topology, rules: rules, seed: seed, packets: merged.map(\.element))
        try check()
    }
}
