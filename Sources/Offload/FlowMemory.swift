// The carried flows and the words that control them, in memory that the programs in the kernel read and write,
// too. A flow is read and written only by whoever owns it; see bpf/flow.h.

import CFlowABI
import CLinux
import Glibc
import PacketIO

@safe final class FlowMemory {
    /// Flows are numbered from 1 to this.
    let capacity: Int
    private let flows: UnsafeMutablePointer<sluice_flow>
    private let control: UnsafeMutablePointer<sluice_offload_control>
    private let flowBytes: Int
    private let page = sysconf(Int32(_SC_PAGESIZE))

    /// Maps both arrays; that of flows has `capacity` elements beside the first, which none uses.
    init(flows: Int32, control: Int32, capacity: Int) throws(SystemError) {
        self.capacity = capacity
        let bytes = (capacity + 1) * MemoryLayout<sluice_flow>.stride
        flowBytes = (bytes + page - 1) / page * page
        let flowMemory = unsafe try Self.map(flows, flowBytes)
        do throws(SystemError) {
            let controlMemory = unsafe try Self.map(control, page)
            unsafe self.control = controlMemory.bindMemory(
                to: sluice_offload_control.self, capacity: 1)
        } catch {
            unsafe munmap(flowMemory, flowBytes)
            throw error
        }
        unsafe self.flows = flowMemory.bindMemory(to: sluice_flow.self, capacity: capacity + 1)
    }

    deinit {
        unsafe munmap(flows, flowBytes)
        unsafe munmap(control, page)
    }

    private static func map(
        _ descriptor: Int32, _ bytes: Int
    ) throws(SystemError) -> UnsafeMutableRawPointer {
        let memory = unsafe mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
        guard let memory = unsafe memory, unsafe memory != MAP_FAILED else {
            throw SystemError("map the flows", on: "BPF map", code: errno)
        }
        return unsafe memory
    }

    subscript(number: UInt32) -> sluice_flow {
        unsafeAddress {
            precondition(number <= capacity, "a flow's number lies within the array")
            return unsafe UnsafePointer(flows + Int(number))
        }
        unsafeMutableAddress {
            precondition(number <= capacity, "a flow's number lies within the array")
            return unsafe flows + Int(number)
        }
    }

    /// Waits until no program works on the flow, some nanoseconds, and takes it.
    func take(_ number: UInt32, as owner: UInt32) {
        precondition(number <= capacity, "a flow's number lies within the array")
        while unsafe !sluice_exchange_u32(flows + Int(number), SLUICE_FLOW_FREE, owner) {}
    }

    /// Lets programs take it.
    func give(_ number: UInt32) {
        precondition(number <= capacity, "a flow's number lies within the array")
        unsafe sluice_store_u32(flows + Int(number), SLUICE_FLOW_FREE)
    }

    // MARK: Control

    func setSnapshot(_ snapshot: UInt32) {
        unsafe sluice_store_u32(
            UnsafeMutableRawPointer(control)
                + MemoryLayout<sluice_offload_control>.offset(of: \.snapshot)!, snapshot)
    }

    func setVerifiesChecksums(_ verifies: Bool) {
        unsafe sluice_store_u32(
            UnsafeMutableRawPointer(control)
                + MemoryLayout<sluice_offload_control>.offset(of: \.verifies_checksums)!,
            verifies ? 1 : 0)
    }

    func setSuspended(_ isSuspended: Bool) {
        unsafe sluice_store_u32(
            UnsafeMutableRawPointer(control)
                + MemoryLayout<sluice_offload_control>.offset(of: \.is_suspended)!,
            isSuspended ? 1 : 0)
    }
}
