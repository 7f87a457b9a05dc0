// Keeps the flows that programs in the kernel carry in step with the connection table.
//
// Theory of operation. A connection whose packets took a stored path is offered at the end of the batch
// (`service`). If nothing is left to happen to it but windows, counters and deadlines, it gets a *flow*: its
// window and, for each direction whose path is stored, a *way* that says what becomes of a packet. From
// then on the programs own the flow. Every packet that they cannot prove to belong on the way comes to the
// daemon as ever; before tracking judges it, the table recalls the connection: the daemon takes the flow, its
// window and counts come home, and the next packet on a stored path offers it again. The flow keeps its number
// and its keys until the connection ends, so that taking it and giving it back costs no system call.
//
// A flow is carried along paths of one snapshot of rules and routes only; the programs compare a word. Before
// rules are swapped what was counted is brought in, since paths are numbered by ruleset.
//
// Refuses to judge packets, and to know when a connection may be carried: that is Conntrack's.

import CFlowABI
import CLinux
import Conntrack
import Dataplane
import Hooks
import PacketIO
import Routing
import Ruleset
import Wire

public final class FlowOffload {
    /// What a person is told.
    public struct Summary: Sendable {
        public var connections: Int
        public var capacity: Int
        public var refused: UInt64
    }

    /// What the daemon remembers of a flow.
    struct Flow {
        var connection = ConnectionID(index: 0, generation: 0)
        var isUsed = false
        /// By direction: whether the map leads there, and the path on which it counts.
        var hasOriginalKey = false
        var hasReplyKey = false
        var originalPath: Int32 = 0
        var replyPath: Int32 = 0
    }

    let dataplane: Dataplane
    let programs: FlowPrograms
    var flows: ContiguousArray<Flow>
    private var freeNumbers: ContiguousArray<UInt32> = []
    /// Numbers from here on were never used.
    private var untouched: UInt32 = 1
    /// How interfaces' packets are carried.
    public private(set) var roads: [InterfaceIndex: Road] = [:]
    /// The programs of those whose road is XDP.
    private(set) var carriers: [InterfaceIndex: XDPCarrier] = [:]
    /// Interfaces by which frames from XDP may leave.
    public private(set) var takers: Set<InterfaceIndex> = []
    private var isSuspended = false
    /// Connections that have a flow.
    private var count = 0
    /// Times that a connection found no free flow.
    private var refused: UInt64 = 0

    public var summary: Summary {
        Summary(connections: count, capacity: flows.count - 1, refused: refused)
    }

    var engine: HookEngine { dataplane.engine }
    var connections: ConnectionTable { dataplane.engine.connections }

    /// Loads the programs; nothing is attached yet.
    /// - Parameter capacity: how many connections may be carried at once.
    public init(_ dataplane: Dataplane, sharing node: NodePrograms, capacity: Int) throws {
        self.dataplane = dataplane
        programs = try FlowPrograms(sharing: node, capacity: capacity)
        flows = ContiguousArray(repeating: Flow(), count: capacity + 1)
        freeNumbers.reserveCapacity(capacity)
        dataplane.engine.carrier = self
        dataplane.engine.connections.carrier = self
        follow(snapshot: dataplane.engine.snapshot)
    }

    // MARK: Interfaces

    /// The socket filter for a port whose interface `join` takes.
    public var tapFilter: Int32 { programs.module.program("sluice_offload_tap") }

    /// Claims the port's interface, and carries what comes in there. Where XDP was chosen and cannot be had, that
    /// is the reason for tc.
    public func join(_ port: PacketPort, _ road: Road) throws(BPFError) -> Claim {
        let interface = port.interface
        try programs.makeCounters(interface)
        let claim = try Claim(
            module: programs.module, program: "sluice_offload", interface: interface)
        roads[interface] = road
        guard road.hook == .xdp else { return claim }
        do throws(BPFError) {
            carriers[interface] = try XDPCarrier(interface, sharing: programs)
        } catch {
            roads[interface] = Road(hook: .tc, reason: "because XDP \(error)")
        }
        return claim
    }

    /// The interface's address is, or was all along, this one.
    public func follow(_ address: MACAddress, of interface: InterfaceIndex) {
        carriers[interface]?.follow(address)
    }

    /// By which interfaces frames from XDP may leave: the kernel drops what goes elsewhere.
    public func follow(takers new: Set<InterfaceIndex>) {
        guard new != takers else { return }
        takers = new
        engine.endPaths()
    }

    /// Before claims detach: the taps, which pass over what is carried, take everything from here on.
    public func leave(_ interfaces: [InterfaceIndex]) {
        var left = false
        for interface in interfaces {
            if roads.removeValue(forKey: interface) != nil { left = true }
        }
        guard left else { return }
        engine.endPaths()
        for interface in interfaces { carriers[interface] = nil }
        sluice_wait_for_receivers()
    }

    /// At tc, and before it.
    public func statistics(
        _ interface: InterfaceIndex
    ) -> (tc: CarriedStatistics, xdp: CarriedStatistics?) {
        (programs.statistics(interface), carriers[interface]?.statistics)
    }

    // MARK: Offers

    /// Carries what was offered. To be called after each batch, behind the sending of its packets, which those
    /// that are carried would overtake.
    public func service(now: Timestamp) {
        engine.takeOffers { offer($0, now: now) }
    }

    private func offer(_ id: ConnectionID, now: Timestamp) {
        guard !isSuspended, let connection = connections.carriable(id, now: now),
            !connection.isCarried
        else { return }
        let original = way(id, .original, connection)
        let reply = way(id, .reply, connection)
        guard original != nil || reply != nil, let number = number(for: id, connection) else {
            return
        }
        guard lead(to: number, .original, original), lead(to: number, .reply, reply) else {
            if connection.number == 0 { release(number) }
            return
        }
        write(number, connection, original, reply)
        connections.carry(id, as: number)
        programs.memory.give(number)
    }

    private func number(for id: ConnectionID, _ connection: CarriedConnection) -> UInt32? {
        if connection.number != 0 { return connection.number }
        let number: UInt32
        if let free = freeNumbers.popLast() {
            number = free
        } else if untouched < UInt32(flows.count) {
            number = untouched
            untouched += 1
            programs.memory.take(number, as: SLUICE_FLOW_DAEMON)
        } else {
            refused &+= 1
            return nil
        }
        flows[Int(number)] = Flow(connection: id, isUsed: true)
        count += 1
        return number
    }

    /// Has packets with the way's key find the flow. `false` where the map is full.
    private func lead(
        to number: UInt32, _ direction: Direction, _ way: FlowWay?
    ) -> Bool {
        guard let key = way?.way.key else { return true }
        let old = programs.memory[number].way(direction).key
        if flows[Int(number)].hasKey(direction) {
            if old.isSame(as: key) { return true }
            programs.remove(old)
        }
        let isLed = programs.insert(key, number, direction)
        flows[Int(number)].setKey(direction, isLed)
        return isLed
    }
}

// MARK: - What the table and the engine ask

extension FlowOffload: ConnectionCarrier {
    public func recall(_ number: UInt32) -> CarriedState {
        programs.memory.take(number, as: SLUICE_FLOW_DAEMON)
        return collect(number)
    }

    public func look(_ number: UInt32) -> CarriedState {
        programs.memory.take(number, as: SLUICE_FLOW_BUSY)
        defer { programs.memory.give(number) }
        return collect(number)
    }

    public func release(_ number: UInt32) {
        for direction in [Direction.original, .reply] where flows[Int(number)].hasKey(direction) {
            programs.remove(programs.memory[number].way(direction).key)
        }
        // Whoever still has the number from the map finds a key that is not his packet's.
        programs.memory[number].ways = (sluice_flow_way(), sluice_flow_way())
        flows[Int(number)] = Flow()
        freeNumbers.append(number)
        count -= 1
    }

    /// What was counted goes to the rules on the path; the rest to the connection.
    private func collect(_ number: UInt32) -> CarriedState {
        let state = programs.memory[number].takeState()
        let flow = flows[Int(number)]
        count(state.original, on: flow.originalPath)
        count(state.reply, on: flow.replyPath)
        return state
    }

    private func count(_ counted: FlowCounters, on path: Int32) {
        guard counted.packets > 0 else { return }
        engine.rules.count(
            path: path, Counters(packets: counted.packets, bytes: counted.bytes))
    }
}

extension FlowOffload: PathCarrier {
    public func follow(snapshot: UInt32) {
        programs.memory.setVerifiesChecksums(connections.settings.checksum)
        programs.memory.setSnapshot(snapshot)
    }

    public func settle() {
        for number in 1..<Int(untouched) where flows[number].isUsed {
            connections.catchUp(flows[number].connection)
        }
    }

    public func suspend(_ isSuspended: Bool) {
        self.isSuspended = isSuspended
        programs.memory.setSuspended(isSuspended)
    }
}

extension FlowOffload.Flow {
    func hasKey(_ direction: Direction) -> Bool {
        direction == .original ? hasOriginalKey : hasReplyKey
    }

    mutating func setKey(_ direction: Direction, _ hasKey: Bool) {
        if direction == .original { hasOriginalKey = hasKey } else { hasReplyKey = hasKey }
    }
}
