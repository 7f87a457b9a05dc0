// The programs that carry flows, their maps of keys and counters, and what attaches them.

import BPFPrograms
import CBPF
import CFlowABI
import Conntrack
import PacketIO
import Wire

/// What the programs did on one interface.
public struct CarriedStatistics: Hashable, Sendable {
    /// Frames that went their way without the daemon.
    public var carried: UInt64 = 0
    /// Frames that seemed to be carried, and came to the daemon after all.
    public var handedBack: UInt64 = 0
    /// Frames lost because the kernel had no memory to change them.
    public var failed: UInt64 = 0

    public init() {}

    mutating func add(_ counters: sluice_offload_counters) {
        carried += counters.carried
        handedBack += counters.handed_back
        failed += counters.failed
    }
}

final class FlowPrograms {
    let module: BPFModule
    let memory: FlowMemory

    /// - Parameter capacity: how many flows there may be at once.
    init(sharing programs: NodePrograms, capacity: Int) throws {
        let module = try BPFModule(
            .offload, sharing: ["heartbeat": programs.module.map("heartbeat")],
            entries: ["flows": UInt32(capacity + 1), "flow_keys": UInt32(2 * capacity)])
        self.module = module
        memory = try FlowMemory(
            flows: module.map("flows"), control: module.map("control"), capacity: capacity)
    }

    /// A program counts per CPU where it finds a place to.
    func makeCounters(_ interface: InterfaceIndex) throws(BPFError) {
        var key = interface.rawValue
        var zero = [sluice_offload_counters](
            repeating: sluice_offload_counters(), count: Int(libbpf_num_possible_cpus()))
        let result = unsafe bpf_map_update_elem(
            module.map("offload_counters"), &key, &zero, UInt64(BPF_ANY))
        guard result == 0 else {
            throw BPFError(
                object: "offload", operation: "make counters", code: -result, log: "")
        }
    }

    func statistics(_ interface: InterfaceIndex) -> CarriedStatistics {
        var sum = CarriedStatistics()
        var key = interface.rawValue
        var values = [sluice_offload_counters](
            repeating: sluice_offload_counters(), count: Int(libbpf_num_possible_cpus()))
        if unsafe bpf_map_lookup_elem(module.map("offload_counters"), &key, &values) == 0 {
            for value in values { sum.add(value) }
        }
        return sum
    }

    /// Leads packets with this key to a flow's direction; `false` where there is no room.
    func insert(
        _ key: sluice_flow_key, _ number: UInt32, _ direction: Direction, _ generation: UInt32
    ) -> Bool {
        var key = key
        var name = sluice_flow_name(
            which: number << 1 | UInt32(direction.rawValue), generation: generation)
        return unsafe bpf_map_update_elem(
            module.map("flow_keys"), &key, &name, UInt64(BPF_ANY)) == 0
    }

    func remove(_ key: sluice_flow_key) {
        var key = key
        unsafe bpf_map_delete_elem(module.map("flow_keys"), &key)
    }
}
