// What random rules make of many connections. The lockstep lets Sluice choose as the kernel did; here each
// side chooses by itself, and what is compared is how often each destination was the one.

import CLinux
import KernelPath
public import Scenario
import Wire

/// Where many new connections to one address and port went, on both sides.
public struct Distribution: Hashable, Sendable {
    /// The packet that was repeated, from another port each time: `in eth0, tcp 10.0.0.2 > 10.96.0.1:80`.
    public var opener: String
    /// As `10.0.0.1:80`, or `nowhere`; sorted.
    public var destinations: [String]
    /// In the order of `destinations`.
    public var kernel: [Int]
    public var sluice: [Int]

    public var test: ChiSquare { ChiSquare(kernel, sluice) }

    /// Opens `count` connections for each packet of the case that may begin one of TCP or UDP and of which
    /// some of the first 64 go another way than others. Needs root.
    ///
    /// - Parameter count: at most 60,000, which leaves each its own port.
    public static func measure(_ subject: Case, connections count: Int) throws -> [Distribution] {
        let sluice = try OfflineNode(subject)
        let kernel = try KernelNode(subject.topology, rules: subject.rules)
        let start = sluice_tick_clock()
        var measured: [Distribution] = []
        for opener in subject.openers {
            var there: [String: Int] = [:]
            var here: [String: Int] = [:]
            for number in 0..<count {
                // What goes one way only is left to the lockstep.
                if number == 64, there.count < 2, here.count < 2 { break }
                var packet = opener.from(port: UInt16(1024 + number))
                packet.time = Timestamp(nanoseconds: sluice_tick_clock() &- start)
                there[try kernel.inject(packet).destination, default: 0] += 1
                here[try sluice.inject(packet).destination, default: 0] += 1
            }
            guard there.count > 1 || here.count > 1 else { continue }
            let destinations = Set(there.keys).union(here.keys).sorted()
            measured.append(
                Distribution(
                    opener: opener.errand, destinations: destinations,
                    kernel: destinations.map { there[$0] ?? 0 },
                    sluice: destinations.map { here[$0] ?? 0 }))
        }
        return measured
    }

    /// One line per destination, then the test.
    public var report: String {
        var text = opener + "\n"
        for (index, destination) in destinations.enumerated() {
            text += "  \(destination): the kernel \(kernel[index]), Sluice \(sluice[index])\n"
        }
        let verdict = test.isWithinBound ? "within" : "beyond"
        return text
            + "  χ² \(Self.rounded(test.statistic)), \(verdict) the bound of \(Self.rounded(test.bound))\n"
    }

    private static func rounded(_ value: Double) -> Double { (value * 10).rounded() / 10 }
}

extension Case {
    /// Packets that begin a connection, one for each place that they come from and are sent to.
    fileprivate var openers: [CasePacket] {
        struct Errand: Hashable {
            var origin: CasePacket.Origin
            var `protocol`: IPProtocol
            var destination: IPv4Address
            var port: Port
        }
        var seen: Set<Errand> = []
        return packets.filter { packet in
            guard packet.answers == nil, let view = packet.view, !view.isFragment,
                view.transport == .udp || view.transport == .tcp && view.tcpFlags == [.syn]
            else { return false }
            return seen.insert(
                Errand(
                    origin: packet.origin, protocol: view.protocol, destination: view.destination,
                    port: view.destinationPort)
            ).inserted
        }
    }
}

extension CasePacket {
    /// `in eth0, tcp 10.0.0.2 > 10.96.0.1:80`.
    fileprivate var errand: String {
        guard let view else { return summary }
        let place =
            switch origin {
            case .wire(let link): "in \(link)"
            case .node: "from the node"
            }
        return "\(place), \(view.transport == .tcp ? "tcp" : "udp") \(view.source) > "
            + "\(view.destination):\(view.destinationPort.rawValue)"
    }

    fileprivate func from(port: UInt16) -> CasePacket {
        guard var view else { return self }
        var packet = self
        packet.bytes.withMutableRawSpan {
            $0.rewritePort(.source, to: Port(port), in: &view, partialChecksum: false)
        }
        return packet
    }
}

extension Outcome {
    fileprivate var destination: String {
        firstPacket.map { "\($0.destination):\($0.destinationPort.rawValue)" } ?? "nowhere"
    }
}
