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
        var original = Way()
        var reply = Way()
    }

    /// What it remembers of a flow's direction.
    struct Way {
        /// With what the map leads there; `nil` where it does not.
        var key: sluice_flow_key?
        /// Another one whenever a key was removed, so that whoever still has the number does no harm.
        var generation: UInt32 = 0
        /// On which packets count.
        var path: Int32 = 0

        mutating func removeKey() {
            key = nil
            generation &+= 1
        }
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
        flows[Int(number)].connection = id
        flows[Int(number)].isUsed = true
        count += 1
        return number
    }

    /// Has packets with the way's key find the flow. `false` where the map is full.
    private func lead(
        to number: UInt32, _ direction: Direction, _ way: FlowWay?
    ) -> Bool {
        guard let key = way?.key else { return true }
        if let old = flows[Int(number)][direction].key {
            if old.isSame(as: key) { return true }
            removeKey(of: number, direction)
        }
        guard programs.insert(key, number, direction, flows[Int(number)][direction].generation)
        else { return false }
        flows[Int(number)][direction].key = key
        return true
    }

    private func removeKey(of number: UInt32, _ direction: Direction) {
        guard let key = flows[Int(number)][direction].key else { return }
        programs.remove(key)
        flows[Int(number)][direction].removeKey()
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
        removeKey(of: number, .original)
        removeKey(of: number, .reply)
        programs.memory[number].ways = (sluice_flow_way(), sluice_flow_way())
        flows[Int(number)].isUsed = false
        freeNumbers.append(number)
        count -= 1
    }

    /// What was counted goes to the rules on the path; the rest to the connection.
    private func collect(_ number: UInt32) -> CarriedState {
        let state = programs.memory[number].takeState()
        let flow = flows[Int(number)]
        count(state.original, on: flow.original.path)
        count(state.reply, on: flow.reply.path)
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
    subscript(_ direction: Direction) -> FlowOffload.Way {
        get { direction == .original ? original : reply }
        set { if direction == .original { original = newValue } else { reply = newValue } }
    }
}
