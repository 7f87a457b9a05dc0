// Taking interfaces and giving them back, on the packet thread (or before it starts).

import Dataplane
import Netlink
import Offload
import PacketIO
import Routing
import Wire

extension Node {
    /// Has programs in the kernel carry the flows of interfaces that are adopted from here on. Without the
    /// privileges or a kernel for it, the node runs without.
    func carryFlows(_ choice: RoadChoice) {
        do {
            offload = try FlowOffload(
                dataplane, sharing: programs,
                capacity: min(connections.capacity, Self.carriedAtMost))
        } catch {
            return remarks.offer("nothing is offloaded: \(error)")
        }
        guard choice != .tc else { return }
        do throws(NetlinkError) {
            drivers = try DriverFeatures()
            roadChoice = choice
        } catch {
            remarks.offer("flows are carried at tc ingress only: \(error)")
        }
    }

    private func road(_ known: Interface?) -> Road {
        guard let known else { return .tc }
        let hasTags = mirror.snapshot.interfaces.contains {
            $0.kind == .vlan && $0.link == known.index
        }
        let features = try? drivers?.features(of: known.index)
        return .choose(
            roadChoice, kind: known.kind, runsXDP: features?.contains([.basic, .redirect]) == true,
            hasTags: hasTags)
    }

    /// What can be sent to from XDP changes with what is at the other end of a veth, among others.
    func followDrivers() {
        guard let drivers, let offload else { return }
        var takers: Set<InterfaceIndex> = []
        for interface in offload.roads.keys {
            let features = try? drivers.features(of: interface)
            if features?.contains(.transmit) == true { takers.insert(interface) }
        }
        offload.follow(takers: takers)
    }

    /// Each takes some 400 bytes of the kernel's memory.
    private static let carriedAtMost = 1 << 17

    /// Opens the tap, then attaches the claim: a frame is handled twice for a moment rather than lost.
    func adopt(_ name: String) throws(Refusal) {
        do {
            if let tap = Self.tapName(name) {
                let port = try TapPort(name: tap)
                adopted.append(Adopted(name: name, port: port, claim: nil, isLoopback: false))
                return dataplane.add(port)
            }
            let known = InterfaceName(name).flatMap { mirror.snapshot.interface(named: $0) }
            let isLoopback = known?.isLoopback ?? false
            // What crosses the loopback is the node's own, and walks.
            let carrier = isLoopback ? nil : offload
            let port = try open(name, filter: carrier?.tapFilter ?? programs.tapFilter)
            // What is diverted to AF_XDP sockets never comes to a program at tc ingress.
            let claim =
                try (port as? PacketPort).flatMap { try carrier?.join($0, road(known)) }
                ?? programs.claim(port)
            adopted.append(Adopted(name: name, port: port, claim: claim, isLoopback: isLoopback))
            dataplane.add(port)
            followInterfaces()
            followDrivers()
        } catch {
            throw Refusal("interface \(name): \(error)")
        }
    }

    private func open(_ name: String, filter: Int32) throws -> any FramePort {
        guard let umem else { return try PacketPort(interface: name, filter: filter) }
        return try XDPPort(interface: name, programs: programs, umem: umem)
    }

    /// XDP programs know their interfaces' addresses and MTUs by heart.
    func followInterfaces() {
        for taken in adopted {
            guard let now = mirror.snapshot.interface(taken.port.interface), let address = now.mac
            else { continue }
            (taken.port as? XDPPort)?.follow(address: address, mtu: now.mtu)
            offload?.follow(address, of: now.index)
        }
    }

    /// `tap:NAME` asks for a TAP of the user's own, which goes when Sluice does.
    static func tapName(_ word: String) -> String? {
        word.hasPrefix("tap:") ? String(word.dropFirst(4)) : nil
    }

    /// Gives one interface back: claim first, so that the kernel takes over before the tap closes.
    func release(_ name: String) {
        guard let position = adopted.firstIndex(where: { $0.name == name }) else { return }
        let given = adopted.remove(at: position)
        offload?.leave([given.port.interface])
        given.giveBack()
        dataplane.removePort(given.port.interface)
    }

    /// The program that keeps the kernel from forwarding once this process is dead.
    func guardAgainstForwarding(_ name: String) throws(Refusal) {
        guard let taken = adopted.first(where: { $0.name == name }), taken.claim != nil else {
            return
        }
        let interface = taken.port.interface
        do { try ForwardGuard.install(on: interface) } catch {
            throw Refusal("interface \(name): \(error)")
        }
    }

    /// Gives everything back. What the claims took before they went is still sent on.
    func releaseAll(now: Timestamp) {
        // The host's packets first; what the claims took before they went is still delivered.
        stopLeadingHostPackets()
        offload?.leave(adopted.map(\.port.interface))
        for interface in adopted { interface.giveBack() }
        for _ in 0..<Self.drainingRounds where dataplane.step(now: now) == 0 { break }
        for interface in adopted { dataplane.removePort(interface.port.interface) }
        adopted = []
        closeHostPort()
    }

    /// A ring holds more than one batch, and from now on the tap sees what the kernel handles too.
    private static let drainingRounds = 16
}
