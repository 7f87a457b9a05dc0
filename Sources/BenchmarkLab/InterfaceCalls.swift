// What is asked of an interface in the calling thread's network namespace.

import CLinux
import Glibc
import Lab
import Wire

enum InterfaceCalls {
    /// ETHTOOL_G… and ETHTOOL_S… of linux/ethtool.h.
    enum Offload: UInt32, CaseIterable {
        case transmitChecksum = 0x16
        case segmentation = 0x1e
        case genericSegmentation = 0x23
        case receiveOffload = 0x2b

        var name: String {
            switch self {
            case .transmitChecksum: "tx checksum"
            case .segmentation: "TSO"
            case .genericSegmentation: "GSO"
            case .receiveOffload: "GRO"
            }
        }
    }

    static func offloadsOn(_ interface: String) -> [String] {
        Offload.allCases.filter { unsafe sluice_offload_setting(interface, $0.rawValue) == 1 }
            .map(\.name)
    }

    static func set(_ offload: Offload, of interface: String, _ isOn: Bool) throws(LabError) {
        // Each setting's number for writing follows that for reading.
        let status = unsafe sluice_set_offload(interface, offload.rawValue + 1, isOn ? 1 : 0)
        try step(status, "set \(offload.name) of \(interface)")
    }

    static func index(_ interface: String) throws(LabError) -> UInt32 {
        let index = unsafe sluice_interface_index(interface)
        guard index > 0 else { throw LabError("there is no interface \(interface)") }
        return index
    }

    static func address(_ interface: String) throws(LabError) -> MACAddress {
        let socket = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
        defer { close(socket) }
        var bytes = [UInt8](repeating: 0, count: 6)
        let status = unsafe sluice_interface_address(socket, interface, &bytes)
        try step(status, "read the address of \(interface)")
        return MACAddress(rawValue: bytes.reduce(0) { $0 << 8 | UInt64($1) })
    }

    /// Has the calling thread run on some processors only.
    static func run(on processors: UInt) throws(LabError) {
        try step(sluice_run_on(processors), "choose the processors of a thread")
    }

    static func step(_ status: Int32, _ operation: String) throws(LabError) {
        guard status >= 0 else {
            throw LabError("cannot \(operation): \(unsafe String(cString: strerror(-status)))")
        }
    }
}
