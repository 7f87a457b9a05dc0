// Claiming an interface: from then on the kernel's IP layer does not see the frames that the port reads.
//
//     let programs = try NodePrograms()
//     programs.heartbeat.beat(at: MonotonicClock.now())
//     let port = try PacketPort(interface: "eth0", filter: programs.tapFilter)
//     let claim = try programs.claim(port)      // after the tap is open
//     …                                         // beat at least every Heartbeat.interval
//     claim.detach()                            // before the tap closes
//
// Nothing of it outlives the process. What the kernel does with frames after a death is decided by
// `ForwardGuard`.

import BPFPrograms
import CBPF
import CFlowABI
public import Dataplane
import Glibc
public import Wire

/// The node's BPF programs, loaded once for all interfaces.
public final class NodePrograms {
    public let heartbeat: Heartbeat
    package let module: BPFModule

    /// Loads the programs. The heartbeat has not begun: until the first beat they claim nothing.
    public init() throws {
        module = try BPFModule(.claim)
        heartbeat = try Heartbeat(map: module.map("heartbeat"))
    }

    /// The socket filter for `PacketPort`: the same predicate that the claim applies.
    public var tapFilter: Int32 { module.program("sluice_tap") }

    /// Attaches the claim to the port's interface: a `PacketPort` or an `XDPPort`.
    public func claim(_ port: any FramePort) throws(BPFError) -> Claim {
        try Claim(module: module, program: "sluice_claim", interface: port.interface)
    }
}

/// What the claim on one interface did so far.
public struct ClaimStatistics: Hashable, Sendable {
    /// Frames kept from the kernel's IP layer.
    public var claimed: UInt64 = 0
    /// Frames of Sluice's own that were let pass.
    public var own: UInt64 = 0
    /// Frames that the kernel got because the heartbeat was stale.
    public var stale: UInt64 = 0
}

public final class Claim {
    public let interface: InterfaceIndex
    private let module: BPFModule
    private var link: Int32

    /// - Parameter program: one of `module` that counts in its map `counters`.
    package init(
        module: BPFModule, program: String, interface: InterfaceIndex
    ) throws(BPFError) {
        self.module = module
        self.interface = interface
        try Self.makeCounters(module, interface)
        link = try module.attach(program, to: interface.rawValue, .ingress)
    }

    deinit { detach() }

    /// Gives the interface back; the second time does nothing.
    public func detach() {
        guard link >= 0 else { return }
        close(link)
        link = -1
        var key = interface.rawValue
        unsafe bpf_map_delete_elem(module.map("counters"), &key)
    }

    private static func makeCounters(
        _ module: BPFModule, _ interface: InterfaceIndex
    ) throws(BPFError) {
        var key = interface.rawValue
        var zero = [sluice_claim_counters](
            repeating: sluice_claim_counters(), count: Int(libbpf_num_possible_cpus()))
        let result = unsafe bpf_map_update_elem(
            module.map("counters"), &key, &zero, UInt64(BPF_ANY))
        guard result == 0 else {
            throw BPFError(
                object: "claim", operation: "make counters", code: -result, log: "")
        }
    }

    public var statistics: ClaimStatistics {
        var key = interface.rawValue
        var values = [sluice_claim_counters](
            repeating: sluice_claim_counters(), count: Int(libbpf_num_possible_cpus()))
        guard unsafe bpf_map_lookup_elem(module.map("counters"), &key, &values) == 0 else {
            return ClaimStatistics()
        }
        return values.reduce(into: ClaimStatistics()) { sum, value in
            sum.claimed += value.claimed
            sum.own += value.own
            sum.stale += value.stale
        }
    }
}
