// Packets of a comparison in one line each: enough to see what differs.

import Explain
import Scenario
import Wire

extension Emission {
    var summary: String {
        switch place {
        case .wire(let link):
            let macs = bytes.withRawSpan { "\($0.mac(6)) > \($0.mac(0))" }
            return "out \(link), \(macs), \(bytes.summary(networkOffset: 14))"
        case .delivered(let link):
            return "to the node, in \(link), \(bytes.summary(networkOffset: 0))"
        }
    }
}

extension CasePacket {
    var summary: String {
        switch origin {
        case .wire(let link): "in \(link), \(bytes.summary(networkOffset: 14))"
        case .node(let mark, let user, let group):
            "from the node, mark \(mark), user \(user), group \(group), "
                + bytes.summary(networkOffset: 0)
        }
    }
}

extension [UInt8] {
    fileprivate func summary(networkOffset: Int) -> String {
        guard let view = view(networkOffset: networkOffset) else {
            return "no IPv4 packet, \(count) bytes: \(hexadecimal)"
        }
        var words = [
            view.summary, "ttl \(view.timeToLive)", "tos \(view.typeOfService)",
            "id \(view.identification)", "length \(view.totalLength)",
        ]
        if view.transport == .tcp, count >= view.transportOffset + 20 {
            withRawSpan { span in
                let start = view.transportOffset
                words.append("seq \(span.u32(start + 4))")
                words.append("ack \(span.u32(start + 8))")
                words.append("window \(span.u16(start + 14))")
            }
        }
        return words.joined(separator: ", ") + ": " + Array(dropFirst(networkOffset)).hexadecimal
    }

    /// At most what differs in practice: headers and a little more.
    private var hexadecimal: String {
        let digits = prefix(96).map { byte in
            let text = String(byte, radix: 16)
            return byte < 16 ? "0" + text : text
        }
        return digits.joined() + (count > 96 ? "…" : "")
    }
}
