// What a packet's `[NEW]` events say: which connections it opened, and which ports NAT chose for them. It is all
// there is to see of a choice if the packet itself dies further on, on INPUT behind `lo` for instance.

import Scenario
import Wire

/// The ports that a packet leaves with, or an ICMP identifier.
struct ChosenPorts: Hashable {
    var transport: TransportKind
    var source: UInt16
    var destination: UInt16

    init(_ view: PacketView) {
        transport = view.transport
        source = 0
        destination = 0
        switch transport {
        case .tcp, .udp:
            source = view.sourcePort.rawValue
            destination = view.destinationPort.rawValue
        case .icmp: source = view.icmpIdentifier
        default: break
        }
    }

    /// - Parameter opened: a line of `conntrack -E`. What it says of the answers is what left, turned round.
    init?(opened line: String) {
        let words = line.split(separator: " ")
        func last(_ name: String) -> UInt16? {
            words.last { $0.hasPrefix(name) }.flatMap { UInt16($0.dropFirst(name.count)) }
        }
        guard words.count > 1, words[0] == "[NEW]" else { return nil }
        switch words[1] {
        case "tcp": transport = .tcp
        case "udp": transport = .udp
        case "icmp": transport = .icmp
        default: return nil
        }
        guard let source = last(transport == .icmp ? "id=" : "dport=") else { return nil }
        self.source = source
        destination = transport == .icmp ? 0 : last("sport=") ?? 0
    }
}

extension Outcome {
    /// The connections that the packet opened, without their timeouts.
    var opened: [[Substring]] {
        events.lazy.map(ConnectionLine.init).filter { $0.words.first == "[NEW]" }.map(\.words)
    }

    /// The ports of the connection that the packet opened, else of the first packet that is neither an
    /// ICMP error nor a reset: those answer the packet, and nothing is chosen for them.
    var chosenPorts: ChosenPorts? {
        if let ports = events.lazy.compactMap(ChosenPorts.init(opened:)).first { return ports }
        return firstPacket.map(ChosenPorts.init)
    }

    /// The first packet that does not answer the one that was injected.
    var firstPacket: PacketView? {
        emissions.lazy.compactMap(\.view).first { !$0.isICMPError && !$0.isReset }
    }
}

extension PacketView {
    fileprivate var isReset: Bool { transport == .tcp && tcpFlags.contains(.rst) }
}
