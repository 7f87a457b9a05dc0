// The packet thread's side of a node: the data plane, the ports that it was given, the mirror of the
// kernel's routing, and the sign of life. Everything here runs on the packet thread, from the first
// round on; the control thread reaches it through `PacketThread.perform`.

import CLinux
import Conntrack
import Dataplane
import Hooks
import Netlink
import Offload
import PacketIO
import Routing
import Ruleset
import Wire

public final class Node: PacketWork, NeighbourResolver {
    /// An interface that Sluice took, and what holds it.
    struct Adopted {
        var name: String
        var port: any FramePort
        /// `nil` for a TAP of the user's own, which the kernel's IP layer does not see.
        var claim: Claim?
        var isLoopback: Bool

        /// The kernel takes over: a frame is handled twice for a moment rather than lost. What the port has
        /// already can still be received.
        func giveBack() {
            (port as? XDPPort)?.stopDiverting()
            claim?.detach()
        }
    }

    let dataplane: Dataplane
    let mirror: NetlinkMirror
    let programs: NodePrograms
    let requests: NetlinkRequests
    /// The memory of AF_XDP ports; `nil` where interfaces are AF_PACKET ports.
    let umem: Umem?
    var adopted: [Adopted] = []
    /// Carries established flows past this thread, where that was asked for and can be had.
    var offload: FlowOffload?
    var roadChoice = RoadChoice.tc
    /// What drivers do with XDP, where the choice asks for that.
    var drivers: DriverFeatures?
    /// The port to the node's own sockets, and the rules and routes that lead their packets to it.
    var host: HostPort?
    var hostPlan = HostRoutes.Plan()
    /// Whether route_localnet is 1 on the host port.
    var hostAllowsLoopbackSources = false
    /// Interfaces that vanished while they were Sluice's.
    var vanished: [String] = []
    var connectionEvents = EventFan<ConnectionEvent>()
    var traces: [TraceSubscription] = []
    /// Sentences for standard error.
    let remarks: EventQueue<String>
    /// A walk over the table that is under way.
    private struct Purge {
        var interface: InterfaceIndex
        var address: IPv4Address?
        var cursor: UInt32 = 0
    }
    private var purges: [Purge] = []
    private var nextLook = Timestamp(nanoseconds: 0)
    private var nextCheck = Timestamp(nanoseconds: 0)

    var connections: ConnectionTable { dataplane.engine.connections }

    init(
        dataplane: Dataplane, mirror: NetlinkMirror, programs: NodePrograms, umem: Umem?,
        remarks: EventQueue<String>
    ) throws(NetlinkError) {
        self.dataplane = dataplane
        self.mirror = mirror
        self.programs = programs
        self.umem = umem
        self.remarks = remarks
        requests = try NetlinkRequests()
        dataplane.resolver = self
    }

    public var descriptors: [Int32] {
        [mirror.fileDescriptor] + adopted.map(\.port.descriptor)
            + (host.map { [$0.descriptor] } ?? []) + (drivers.map { [$0.descriptor] } ?? [])
    }

    public var deadline: Timestamp? { dataplane.nextDeadline }

    public func step(now: Timestamp, hasSlept: Bool) -> Bool {
        programs.heartbeat.beat(at: now)
        if hasSlept || now >= nextLook {
            nextLook = Timestamp(nanoseconds: now.nanoseconds + 10_000_000)
            followKernel(now: now)
        }
        let received = dataplane.step(now: now)
        offload?.service(now: now)
        if !purges.isEmpty { purge(now: now) }
        if !connectionEvents.isEmpty { handOutEvents() }
        return received > 0 || !purges.isEmpty
    }

    public func probe(_ interface: InterfaceIndex, _ address: IPv4Address) {
        // A neighbour that cannot even be asked for times out in the queue, with its reason.
        try? requests.probe(address, on: interface)
    }

    // MARK: The kernel's side

    private func followKernel(now: Timestamp) {
        do throws(NetlinkError) {
            apply(try mirror.process(), now: now)
            if try drivers?.haveChanged() == true { followDrivers() }
            guard now >= nextCheck else { return }
            nextCheck = Timestamp(nanoseconds: now.nanoseconds + 2_000_000_000)
            // Some settings change without a message.
            apply(try mirror.refreshSettings(), now: now)
            refreshStaleNeighbours()
        } catch {
            remarks.offer("the mirror of the kernel's routing: \(error)")
        }
    }

    func apply(_ change: MirrorChange, now: Timestamp) {
        if let routing = change.routing {
            dataplane.install(routing)
            followInterfaces()
            leadHostPackets()
        }
        for update in change.neighbours { dataplane.apply(update, now: now) }
        for removed in change.addressesRemoved {
            purges.append(Purge(interface: removed.interface, address: removed.address))
        }
        for interface in change.interfacesDown + change.interfacesGone {
            purges.append(Purge(interface: interface, address: nil))
        }
        for interface in change.interfacesGone { forget(interface) }
    }

    /// Ends masqueraded connections whose address or interface went, a slice per round.
    private func purge(now: Timestamp) {
        guard let purge = purges.first else { return }
        let next = connections.deleteMasqueraded(
            interface: purge.interface, address: purge.address, from: purge.cursor, limit: 4096,
            now: now
        ).next
        if let next { purges[0].cursor = next } else { purges.removeFirst() }
    }

    private func forget(_ interface: InterfaceIndex) {
        guard let position = adopted.firstIndex(where: { $0.port.interface == interface }) else {
            return
        }
        let gone = adopted.remove(at: position)
        offload?.leave([interface])
        dataplane.removePort(interface)
        gone.giveBack()
        vanished.append(gone.name)
        remarks.offer("interface \(gone.name) is gone; the others go on")
    }

    /// An entry that the kernel's own traffic does not use any more grows stale and is collected in the
    /// end; asking for it makes the kernel confirm it, as traffic would.
    private func refreshStaleNeighbours() {
        for entry in dataplane.neighbours.entries where entry.state == .stale {
            probe(entry.interface, entry.address)
        }
    }

    // MARK: Events

    func listen(_ queue: EventQueue<ConnectionEvent>) {
        if connectionEvents.isEmpty { connections.listen(capacity: 8192) }
        connectionEvents.add(queue)
    }

    func stopListening(_ queue: EventQueue<ConnectionEvent>) {
        connectionEvents.remove(queue)
        if connectionEvents.isEmpty { connections.listen(capacity: 0) }
    }

    private var lostBefore: UInt64 = 0

    private func handOutEvents() {
        while let event = connections.nextEvent() { connectionEvents.offer(event) }
        connectionEvents.countLost(connections.eventsLost &- lostBefore)
        lostBefore = connections.eventsLost
    }
}
