// The XDP program on one interface: attached in the driver where that can be, else in generic mode, through
// a link that goes with the process.

import BPFPrograms
import CBPF
import CFlowABI
import CLinux
import Glibc
import Wire

/// How frames come to an interface's AF_XDP sockets.
public enum XDPMode: String, Sendable, CustomStringConvertible {
    /// The driver runs the program, and reads and writes the sockets' memory itself.
    case zeroCopy = "native zero-copy"
    /// The driver runs the program; the kernel copies frames in and out.
    case copy = "native copy"
    /// The kernel runs the program on socket buffers: bridges, the loopback, drivers without XDP.
    case generic

    public var description: String { rawValue }
}

final class Diversion {
    /// Whether the program runs in the kernel's generic mode.
    let isGeneric: Bool
    private let module: BPFModule
    private var link: Int32
    private var address: MACAddress?
    private var mtu: Int?

    /// Attaches the program. It passes everything until it knows an address and has sockets.
    init(interface: InterfaceIndex, sharing heartbeat: Int32) throws(BPFError) {
        module = try BPFModule(.divert, sharing: ["heartbeat": heartbeat])
        do throws(BPFError) {
            link = try module.attachXDP("sluice_divert", to: interface.rawValue, generic: false)
            isGeneric = false
        } catch {
            link = try module.attachXDP("sluice_divert", to: interface.rawValue, generic: true)
            isGeneric = true
        }
    }

    deinit { detach() }

    /// Gives the interface's frames back to the tap; the second time does nothing.
    func detach() {
        guard link >= 0 else { return }
        close(link)
        link = -1
    }

    /// The frames of a queue go to a socket from here on.
    func divert(_ queue: UInt32, to socket: Int32) throws(BPFError) {
        var value = socket
        try unsafe write("sockets", queue, &value)
    }

    /// Only frames to this address are diverted, and TCP only where every segment fits a chunk: in generic
    /// mode there are super-frames. Cheap if both are the same.
    func follow(_ new: MACAddress, mtu: Int) throws(BPFError) {
        guard new != address || mtu != self.mtu else { return }
        address = new
        self.mtu = mtu
        let word = { (shift: UInt64) in UInt16(truncatingIfNeeded: new.rawValue >> shift).bigEndian
        }
        var value = sluice_divert_settings()
        value.address = (word(32), word(16), word(0))
        value.largest = UInt16(Umem.largestFrame)
        value.is_generic = isGeneric ? 1 : 0
        value.leaves_tcp = isGeneric || mtu + 14 > Umem.largestFrame ? 1 : 0
        try unsafe write("settings", 0, &value)
    }

    private func write(_ map: String, _ key: UInt32, _ value: UnsafeRawPointer) throws(BPFError) {
        var key = key
        let result = unsafe bpf_map_update_elem(module.map(map), &key, value, UInt64(BPF_ANY))
        guard result == 0 else {
            throw BPFError(object: "divert", operation: "write \(map)", code: -result, log: "")
        }
    }
}
