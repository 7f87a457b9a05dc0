// The XDP program that carries flows, on one interface: loaded for it alone, attached in the driver through a link
// that goes with the process.

import BPFPrograms
import CBPF
import CFlowABI
import Glibc
import PacketIO
import Wire

final class XDPCarrier {
    let module: BPFModule
    private var link: Int32
    private var address: MACAddress?

    /// Attaches the program. It passes everything until it knows the interface's address.
    /// - Parameter programs: whose flows it carries.
    init(_ interface: InterfaceIndex, sharing programs: FlowPrograms) throws(BPFError) {
        var shared: [String: Int32] = [:]
        for map in ["heartbeat", "flow_keys", "flows", "control", "scratch"] {
            shared[map] = programs.module.map(map)
        }
        module = try BPFModule(.carry, sharing: shared)
        link = try module.attachXDP("sluice_carry", to: interface.rawValue, generic: false)
    }

    deinit { close(link) }

    /// Only frames to this address are carried. Cheap if it is the same.
    func follow(_ new: MACAddress) {
        guard new != address else { return }
        let word = { (shift: UInt64) in
            UInt16(truncatingIfNeeded: new.rawValue >> shift).bigEndian
        }
        var value = sluice_carry_settings(address: (word(32), word(16), word(0)))
        var zero: UInt32 = 0
        let result = unsafe bpf_map_update_elem(
            module.map("settings"), &zero, &value, UInt64(BPF_ANY))
        if result == 0 { address = new }
    }

    var statistics: CarriedStatistics {
        var sum = CarriedStatistics()
        var zero: UInt32 = 0
        var values = [sluice_carry_state](
            repeating: sluice_carry_state(), count: Int(libbpf_num_possible_cpus()))
        if unsafe bpf_map_lookup_elem(module.map("state"), &zero, &values) == 0 {
            for value in values { sum.add(value.counters) }
        }
        return sum
    }
}
