// A verdict in words.

extension Agreement: CustomStringConvertible {
    public var description: String {
        "\(packets) packets, of which \(carried) were carried, as \(emissions) packets out; "
            + "\(connections) connections, \(events) events, \(ruleLines) lines of rules"
            + (cutShort > 0 ? "; not comparable beyond these packets: \(cutShort) cases" : "")
    }
}

extension Divergence {
    /// Both outcomes side by side, and the traces where there are some.
    public var report: String {
        var text = title + "\n"
        if !packet.isEmpty { text += "  \(packet)\n" }
        for (name, lines) in [("the kernel", kernel), ("Sluice", sluice)] {
            text += "\(name):\n"
            text += lines.isEmpty ? "  nothing\n" : lines.map { "  \($0)\n" }.joined()
        }
        for (name, trace) in [("the kernel", kernelTrace), ("Sluice", sluiceTrace)]
        where !trace.isEmpty {
            text += "the packet's way through \(name):\n"
            text += trace.split(separator: "\n").map { "  \($0)\n" }.joined()
        }
        return text
    }

    /// Packets are counted from 1, as in a case's file.
    private var title: String {
        switch place {
        case .packet(let index): "packet \(index + 1):"
        case .connections: "the connections that are left:"
        case .events: "the connections' events:"
        case .rules: "the rules with their counters:"
        }
    }
}
