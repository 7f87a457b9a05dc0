// What Sluice's ports can be measured against: forwarders in user space that think of nothing. They run only when they are
// asked for.

import CForwarder
import Glibc
public import Lab
import Wire

enum Forwarder: Sendable {
    /// Sources/CForwarder, by `packet` or by `xdp`, as a process of its own.
    case bare(String)
    /// DPDK's, with two devices of this driver.
    case testpmd(String)

    /// What it says when it forwards.
    var ready: String {
        switch self {
        case .bare: "forwarding"
        case .testpmd: "Port statistics"
        }
    }

    /// testpmd has a thread that waits beside the one that forwards.
    var processors: UInt {
        switch self {
        case .bare: Placement.node
        case .testpmd: Placement.load | Placement.node
        }
    }

    func words(_ network: BenchmarkNetwork) throws(LabError) -> [String] {
        guard let client = network.addresses["c0"], let server = network.addresses["s0"] else {
            preconditionFailure("every interface has an address")
        }
        switch self {
        case .bare(let mode):
            return [try ownBinary(), "lab", "forward", mode, "n0=\(client)", "n1=\(server)"]
        case .testpmd(let driver):
            guard let tool = SystemTool("dpdk-testpmd") else {
                throw LabError("not installed: dpdk-testpmd, of Debian's dpdk-dev")
            }
            let devices = ["n0", "n1"].enumerated().map { "--vdev=\(driver)\($0),iface=\($1)" }
            return [tool.path, "--no-huge", "-m", "512", "--no-pci", "--lcores=0@0,1@1"] + devices
                + [
                    "--", "--forward-mode=mac", "--eth-peer=0,\(client)", "--eth-peer=1,\(server)",
                    "--total-num-mbufs=16384", "--stats-period=60",
                ]
        }
    }
}

/// The bare forwarder's process.
public enum BareForwarder {
    /// Forwards until the process is ended.
    /// - Parameters:
    ///   - mode: `packet` or `xdp`.
    ///   - ports: two of `INTERFACE=NEIGHBOUR`.
    /// - Returns: why it does not.
    public static func run(mode: String, ports: [String]) -> LabError {
        let kinds = ["packet": FORWARDER_PACKET, "xdp": FORWARDER_XDP]
        let ends = ports.compactMap { port -> (name: String, neighbour: MACAddress)? in
            let parts = port.split(separator: "=").map(String.init)
            guard parts.count == 2, let neighbour = MACAddress(parts[1]) else { return nil }
            return (parts[0], neighbour)
        }
        guard let kind = kinds[mode], ends.count == 2 else {
            return LabError("expected packet or xdp, and two of INTERFACE=NEIGHBOUR")
        }
        print("forwarding")
        fflush(nil)
        let status = unsafe ends[0].name.withCString { first in
            unsafe ends[1].name.withCString { second in
                unsafe forwarder_run(
                    kind, forwarder_end(interface: first, neighbour: ends[0].neighbour.rawValue),
                    forwarder_end(interface: second, neighbour: ends[1].neighbour.rawValue))
            }
        }
        return LabError("cannot forward: \(unsafe String(cString: strerror(-status)))")
    }
}
