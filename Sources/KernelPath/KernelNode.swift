// The kernel as a peer: a network namespace set up from a scenario's topology and rules, which meets the
// same packets as Sluice and says in the same words what became of them. It refuses to judge.
//
// Theory of operation. Each link is a TAP. Writing a frame to one makes the kernel carry the packet all the
// way through before the call returns (tun.c hands it to netif_receive_skb), loops over `lo` included: what
// left is waiting in the TAPs by then, what reached the node in the log, and nothing has to be waited for.
// Packets of the node's own go through raw sockets. Nothing in the namespace answers by itself but the
// kernel's ICMP: neighbours are permanent, IPv6 is off, and `DeliveryLog` keeps packets from the sockets.

import CLinux
import Netlink
public import Scenario
import Wire

/// A namespace that takes the packets of one case. Needs root. Used from one thread.
public final class KernelNode: PacketEngine {
    let namespace: PeerNamespace
    private let taps: [(link: String, tap: Descriptor)]
    private let deliveries: DeliveryLog
    private let connections: KernelConnections
    let tableRequests: NetlinkSocket
    private let linkNames: [UInt32: String]
    private var senders: [Sender: Descriptor] = [:]
    private var events: [String] = []

    struct Sender: Hashable {
        var mark: UInt32
        var userID: UInt32
        var groupID: UInt32
    }

    /// Makes the namespace and sets it up. Its settings are a new kernel's own defaults unless the
    /// topology says otherwise, whatever this machine's are.
    ///
    /// - Throws: also where the kernel or its tools refuse the topology or the rules.
    public init(_ topology: Topology, rules: String) throws(KernelPathError) {
        namespace = try PeerNamespace()
        try namespace.applyGlobalSettings(of: topology)
        taps = try namespace.makeLinks(of: topology)
        try namespace.run("nft", ["-f", "-"], input: DeliveryLog.rules)
        (deliveries, connections, tableRequests) = try namespace.inside {
            () throws(KernelPathError) in
            try translated { () throws(NetlinkError) in
                (try DeliveryLog(), try KernelConnections(), try NetlinkSocket(.netfilter))
            }
        }
        if !rules.isEmpty {
            try namespace.run("iptables-restore", ["-c"], input: rules)
        }
        let names = ["lo"] + topology.links.map(\.name)
        linkNames = try namespace.inside { () throws(KernelPathError) in
            Dictionary(
                names.map { (interfaceIndex($0), $0) }, uniquingKeysWith: { first, _ in first })
        }
        _ = collectFrames()
    }

    public func inject(_ packet: CasePacket) throws -> Outcome {
        try send(packet)
        var emissions = collectFrames()
        var newEvents: [String] = []
        try translated { () throws(NetlinkError) in
            for delivery in try deliveries.take() {
                let link = linkNames[delivery.interface] ?? "\(delivery.interface)"
                emissions.append(Emission(.delivered(link: link), bytes: delivery.packet))
            }
            newEvents = try connections.takeEvents()
        }
        events += newEvents
        return Outcome(emissions: emissions, events: newEvents)
    }

    /// How many events there have been so far.
    public var eventCount: Int { events.count }

    public func finish() throws -> FinalState {
        let list = try translated { () throws(NetlinkError) in
            // Reading the list makes the kernel end what has expired.
            let list = try connections.list()
            events += try connections.takeEvents()
            return list
        }
        let saved = try namespace.run("iptables-save", ["-c"])
        let rules = saved.split(separator: "\n").filter { !$0.hasPrefix("#") }
        return FinalState(
            connections: list, events: events, rules: rules.map { $0 + "\n" }.joined())
    }

    /// What a program of the system prints inside the namespace.
    @discardableResult
    public func run(_ program: String, _ arguments: [String]) throws(KernelPathError) -> String {
        try namespace.run(program, arguments)
    }

    private func send(_ packet: CasePacket) throws(KernelPathError) {
        switch packet.origin {
        case .wire(let link):
            guard let tap = taps.first(where: { $0.link == link })?.tap else {
                throw KernelPathError("there is no link \(link)")
            }
            // What the device refuses, such as half an Ethernet header, is a packet that went nowhere.
            _ = tap.write(packet.bytes)
        case .node(let mark, let userID, let groupID):
            // So is what the kernel refuses a socket: no route, a rule that drops on OUTPUT.
            let sender = try self.sender(Sender(mark: mark, userID: userID, groupID: groupID))
            _ = sendPacket(packet.bytes, through: sender)
        }
    }

    func sender(_ key: Sender) throws(KernelPathError) -> Descriptor {
        if let sender = senders[key] { return sender }
        let sender = try namespace.inside { () throws(KernelPathError) in
            try Descriptor(
                sluice_packet_sender_open(key.mark, key.userID, key.groupID),
                "open a socket for packets")
        }
        senders[key] = sender
        return sender
    }

    /// Link by link; frames of one link in their order. Only IPv4 is anybody's business here.
    private func collectFrames() -> [Emission] {
        var emissions: [Emission] = []
        for (link, tap) in taps {
            while let frame = tap.read() {
                guard frame.count >= 14, frame[12] == 8, frame[13] == 0 else { continue }
                emissions.append(Emission(.wire(link: link), bytes: frame))
            }
        }
        return emissions
    }
}

func translated<R>(_ body: () throws(NetlinkError) -> R) throws(KernelPathError) -> R {
    do throws(NetlinkError) { return try body() } catch { throw KernelPathError(error.description) }
}
