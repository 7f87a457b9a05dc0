// What an ipvsadm command line asks for, and how a command ends.

import Ruleset
import Wire

/// How a listing looks.
public struct IPVSFormat: Hashable, Sendable {
    public enum Columns: Hashable, Sendable {
        case load, traffic, rates, thresholds, persistent, tunnels
    }

    public var columns = Columns.load
    /// Numbers instead of the names of hosts and services.
    public var isNumeric = false
    /// Large numbers in full.
    public var isExact = false
    public var isSorted = true

    public init() {}
}

public enum IPVSRequest: Hashable, Sendable {
    case addService(VirtualService)
    case editService(VirtualService)
    case deleteService(ServiceKey)
    case clear
    case addServer(RealServer, ServiceKey)
    case editServer(RealServer, ServiceKey)
    case deleteServer(IPv4Address, Port, ServiceKey)
    case zero(ServiceKey?)
    case list(ServiceKey?, IPVSFormat)
    case connections(IPVSFormat)
    case timeouts
    case daemons
    case save(IPVSFormat)
    case restore
}

/// How a command ended.
public struct IPVSOutcome: Error, Hashable, Sendable {
    public var output: String
    public var error: String
    public var status: Int32

    public init(output: String = "", error: String = "", status: Int32 = 0) {
        self.output = output
        self.error = error
        self.status = status
    }

    /// What ipvsadm's `fail` does.
    static func fail(_ sentence: String) -> IPVSOutcome {
        IPVSOutcome(error: sentence + "\n", status: 2)
    }

    static let tryHelp = IPVSOutcome(
        error: "Try `ipvsadm -h' or 'ipvsadm --help' for more information.\n", status: 255)

    /// What the kernel would have refused, with a reason of Sluice's own in a second line.
    static func refused(_ sentence: String, _ reason: String? = nil) -> IPVSOutcome {
        IPVSOutcome(
            error: sentence + "\n" + (reason.map { "ipvsadm: \($0)\n" } ?? ""), status: 255)
    }
}
